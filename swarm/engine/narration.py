"""What /api/chat tells a developer node of its call while that lasts: lines of JSON, the last of them its end.

A node must know at every moment whether its call thinks or waits, since waits are not work. Both ends of the line are
here; neither knows the other's transport.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from swarm.chat import errors
from swarm.chat.gateway import Completion, Phase
from swarm.chat.limiter import Told
from swarm.chat.refusals import Refusals
from swarm.chat.replies import parse_json, parse_reply
from swarm.engine.errors import InternalError
from swarm.errors import Misconfigured, SwarmError

MEDIA_TYPE = "application/x-ndjson"

ERRORS: Mapping[str, type[SwarmError]] = {
    kind.code: kind
    for kind in (
        errors.BadCredentials,
        errors.BadRequest,
        errors.BudgetExhausted,
        errors.ContentRefused,
        errors.ContextTooLong,
        errors.MalformedReply,
        errors.ModelNotFound,
        errors.RateLimited,
        errors.UpstreamTimeout,
        errors.UpstreamUnavailable,
        InternalError,
        Misconfigured,
    )
}
"""What a call can end in, by code."""


def tell_phase(phase: Phase) -> bytes:
    return _line({"phase": asdict(phase)})


def tell_rate_limited(pause_s: float) -> bytes:
    return _line({"rate_limited": pause_s})


def tell_completion(completion: Completion) -> bytes:
    spent = {"queued_s": completion.queued_s, "upstream_s": completion.upstream_s}
    counts = {"retries": completion.retries, "rate_limited_count": completion.rate_limited_count}
    return _line({"completion": open_ai_completion(completion), "spent": spent | counts})


def tell_error(error: SwarmError) -> bytes:
    return _line({"error": {"code": error.code, "message": error.message}})


def open_ai_completion(completion: Completion) -> dict[str, Any]:
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


def follow(
    chunks: Iterable[bytes],
    refusals: Refusals,
    *,
    on_phase: Callable[[Phase], None],
    on_rate_limited: Callable[[float], None],
) -> Completion:
    """Read a call's lines to its end, passing on what they tell. Raises what the call ended in."""
    foreign = errors.MalformedReply(f"{refusals.base_url} does not speak as Swarm's /api/chat does.")
    for line in _lines(chunks):
        try:
            told = parse_json(line)
        except ValueError:
            raise foreign from None
        match told:
            case {"phase": dict(phase)}:
                on_phase(Phase(**phase))
            case {"rate_limited": pause_s}:
                on_rate_limited(float(pause_s))
            case {"completion": document, "spent": dict(spent)}:
                reply = parse_reply(json.dumps(document).encode(), "application/json", Told(), refusals)
                return Completion(reply, **spent)
            case {"error": {"code": str(code), "message": str(message)}}:
                raise error_of(code, message)
            case _:
                raise foreign
    raise errors.UpstreamUnavailable(f"{refusals.base_url} stopped in the middle of a call.")


def error_of(code: str, message: str) -> SwarmError:
    """The error that was told as `code`, of the class that it had on the other side."""
    return ERRORS.get(code, errors.ChatError)(message)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
