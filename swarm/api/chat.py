"""OpenAI's chat-completions call in front of the gateway, so that any client of OpenAI's shares its budget.

Each call has a thread of this module's own pool to wait in, while the event loop goes on. A client that hangs up ends
its call, whose slot is free for the next at once.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from ninja import Router

from swarm.api.auth import CHATTERS
from swarm.api.errors import DEFECT, open_ai_error
from swarm.api.schemas import ChatBody
from swarm.cancellation import Cancellation
from swarm.chat.gateway import Caller, ChatStream, Completion, get_gateway
from swarm.errors import SwarmError

log = structlog.get_logger(__name__)
router = Router(tags=["chat"])

MAX_CALLS = 512
"""Calls that wait or run at once; any more wait for a thread."""
_threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="swarm-chat")


@router.post("", auth=CHATTERS, response=dict[str, Any])
async def chat(request: HttpRequest, body: ChatBody) -> HttpResponseBase:
    """A chat completion, plain or streamed; waits in the limiter's queue for as long as SWARM_CALL_TIMEOUT."""
    gateway, cancellation = get_gateway(), Cancellation()
    # Queues are fair between executions; all calls of one user count as one execution.
    caller = Caller(execution=f"user-{request.user.pk}", node=str(uuid.uuid4()))
    asked, deadline_s = body.model_dump(exclude_unset=True), settings.SWARM_CALL_TIMEOUT
    try:
        if body.stream:
            return await _streamed(
                lambda: gateway.stream(asked, caller=caller, deadline_s=deadline_s, cancellation=cancellation),
                cancellation,
            )
        completion = await asyncio.get_running_loop().run_in_executor(
            _threads,
            lambda: gateway.complete(asked, caller=caller, deadline_s=deadline_s, cancellation=cancellation),
        )
    except asyncio.CancelledError:
        cancellation.cancel("The client hung up.")
        raise
    return JsonResponse(_document(completion))


async def _streamed(ask: Callable[[], ChatStream], cancellation: Cancellation) -> StreamingHttpResponse:
    """The response to a streamed call, once the model begins to answer. Raises what kept it from that."""
    answer = _Answer(ask, cancellation)
    await answer.begin()
    return StreamingHttpResponse(
        answer, content_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )


class _Answer:
    """A streamed answer, read in a thread and iterated over on the event loop; `close` ends the call if it still runs.

    The thread alone touches the stream, so that its slot is freed once, whenever the client hangs up.
    """

    def __init__(self, ask: Callable[[], ChatStream], cancellation: Cancellation) -> None:
        self._ask = ask
        self._cancellation = cancellation
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    async def begin(self) -> None:
        """Return at the first sign of an answer."""
        self._loop.run_in_executor(_threads, self._read)
        first = await self._chunks.get()
        if isinstance(first, Exception):
            raise first

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes; an error, which can have no status any more, becomes the last event."""
        chunk = await self._chunks.get()
        if isinstance(chunk, Exception):
            self._put(None)
            if not isinstance(chunk, SwarmError):
                log.error("chat.stream_failed", exc_info=chunk)
                chunk = SwarmError(DEFECT)
            return f"data: {json.dumps({'error': open_ai_error(chunk)})}\n\n".encode()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        self._cancellation.cancel("The client hung up.")

    def _read(self) -> None:
        """In the pool's thread: the first thing put is an empty chunk, or the error that came instead."""
        try:
            with closing(self._ask()) as stream:
                self._put(b"")
                for chunk in stream:
                    self._put(chunk)
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, chunk: bytes | Exception | None) -> None:
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)


def _document(completion: Completion) -> dict[str, Any]:
    """A completion as OpenAI sends it."""
    reply, usage = completion.reply, completion.reply.usage
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": reply.model,
        "choices": [
            {"index": 0, "message": reply.message, "finish_reason": reply.finish_reason or "stop", "logprobs": None}
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }
