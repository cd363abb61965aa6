"""OpenAI's chat-completions call in front of the gateway, so that any client of OpenAI's shares its budget.

Each call has a thread of this module's own pool to wait in, while the event loop goes on. A client that hangs up ends
its call, whose slot is free for the next at once.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from ninja import Router

from swarm.api.auth import CHATTERS
from swarm.api.errors import DEFECT, open_ai_error
from swarm.api.schemas import ChatBody
from swarm.cancellation import Cancellation
from swarm.chat.errors import ModelNotFound
from swarm.chat.gateway import Caller, ChatStream, Completion, get_gateway
from swarm.engine import narration
from swarm.errors import SwarmError

log = structlog.get_logger(__name__)
router = Router(tags=["chat"])

MAX_CALLS = 512
"""Calls that wait or run at once; any more wait for a thread."""
_threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="swarm-chat")


@router.post("/completions", auth=CHATTERS, response=dict[str, Any], include_in_schema=False)  # as OpenAI's clients ask
@router.post("", auth=CHATTERS, response=dict[str, Any])
async def chat(request: HttpRequest, body: ChatBody) -> HttpResponseBase:
    """A chat completion, plain or streamed; waits in the limiter's queue for as long as SWARM_CALL_TIMEOUT.

    A client that gives up earlier may say when, in seconds, in the header X-Stainless-Read-Timeout, as OpenAI's does.
    """
    _refuse_foreign(body.model)
    gateway, cancellation = get_gateway(), Cancellation()
    asked = body.model_dump(exclude_unset=True)
    caller, deadline_s = _caller(request), _deadline(request)
    stream = partial(gateway.stream, asked, caller=caller, deadline_s=deadline_s, cancellation=cancellation)
    complete = partial(gateway.complete, asked, caller=caller, deadline_s=deadline_s, cancellation=cancellation)
    try:
        if body.stream:
            return await _told(_Stream(stream), "text/event-stream", cancellation)
        if narration.MEDIA_TYPE in request.headers.get("Accept", ""):
            return await _told(_Narration(complete), narration.MEDIA_TYPE, cancellation)
        completion = await asyncio.get_running_loop().run_in_executor(_threads, complete)
    except asyncio.CancelledError:
        cancellation.cancel("The client hung up.")
        raise
    return JsonResponse(narration.open_ai_completion(completion))


def _refuse_foreign(model: str | None) -> None:
    """Raise `ModelNotFound` for a model that this server does not pass calls on to."""
    allowed = {settings.SWARM_CHAT_MODEL, *settings.SWARM_CHAT_MODELS}
    if model is not None and model not in allowed:
        raise ModelNotFound(
            f"The model {model!r} may not be called here, only {', '.join(sorted(allowed - {''})) or 'none'}. "
            "An administrator can add to SWARM_CHAT_MODELS."
        )


def _caller(request: HttpRequest) -> Caller:
    """A node, or a user, all of whose calls count as one execution's: queues are fair between executions."""
    node = getattr(request, "auth", None)
    return node if isinstance(node, Caller) else Caller(execution=f"user-{request.user.pk}", node=str(uuid.uuid4()))


def _deadline(request: HttpRequest) -> float:
    """Seconds that the call may take in all."""
    try:
        patience_s = float(request.headers["X-Stainless-Read-Timeout"])
    except (KeyError, ValueError):
        return settings.SWARM_CALL_TIMEOUT
    return min(patience_s, settings.SWARM_CALL_TIMEOUT) if patience_s > 0 else settings.SWARM_CALL_TIMEOUT


class _Source(Protocol):
    """Where the bytes of an answer come from, piece by piece, in a thread of this module's."""

    def produce(self, put: Callable[[bytes], None]) -> None: ...

    def tell_error(self, error: SwarmError) -> bytes:
        """How an error is told once the answer has begun and can have no other status any more."""


@dataclass(frozen=True)
class _Stream:
    """The events of a streamed completion, as the model sends them."""

    ask: Callable[[], ChatStream]

    def produce(self, put: Callable[[bytes], None]) -> None:
        with closing(self.ask()) as stream:
            put(b"")
            for chunk in stream:
                put(chunk)

    def tell_error(self, error: SwarmError) -> bytes:
        return f"data: {json.dumps({'error': open_ai_error(error)})}\n\n".encode()


@dataclass(frozen=True)
class _Narration:
    """What becomes of a node's call, and its completion."""

    ask: Callable[..., Completion]

    def produce(self, put: Callable[[bytes], None]) -> None:
        completion = self.ask(
            on_phase=lambda phase: put(narration.tell_phase(phase)),
            on_rate_limited=lambda pause_s: put(narration.tell_rate_limited(pause_s)),
        )
        put(narration.tell_completion(completion))

    def tell_error(self, error: SwarmError) -> bytes:
        return narration.tell_error(error)


async def _told(source: _Source, content_type: str, cancellation: Cancellation) -> StreamingHttpResponse:
    """The response that brings what `source` produces, once it begins to. Raises what kept it from that."""
    answer = _Answer(source, cancellation)
    await answer.begin()
    return StreamingHttpResponse(
        answer, content_type=content_type, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )


class _Answer:
    """An answer that is made in a thread and iterated over on the event loop; `close` ends the call if it still runs.

    The thread alone touches the source, so that its slot is freed once, whenever the client hangs up.
    """

    def __init__(self, source: _Source, cancellation: Cancellation) -> None:
        self._source = source
        self._cancellation = cancellation
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._first = b""

    async def begin(self) -> None:
        """Return at the first sign of an answer."""
        self._loop.run_in_executor(_threads, self._read)
        first = await self._chunks.get()
        if isinstance(first, Exception):
            raise first
        self._first = first or b""

    def __aiter__(self) -> _Answer:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes; an error, which can have no status any more, becomes the last of them."""
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            chunk = await self._chunks.get()
        except asyncio.CancelledError:
            # The server stops: nobody will close the response.
            self.close()
            raise
        if isinstance(chunk, Exception):
            self._put(None)
            if not isinstance(chunk, SwarmError):
                log.error("chat.answer_failed", exc_info=chunk)
                chunk = SwarmError(DEFECT)
            return self._source.tell_error(chunk)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def close(self) -> None:
        """The client hung up, or has been told everything."""
        self._cancellation.cancel("The client hung up.")

    def _read(self) -> None:
        """In the pool's thread."""
        try:
            self._source.produce(self._put)
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, chunk: bytes | Exception | None) -> None:
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
