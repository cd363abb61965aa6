"""OpenAI's chat-completions protocol as values: what a request must look like, how replies and errors are written.

Knows nothing of HTTP connections, time or chance.
Source: OpenAI API reference, "Chat completions", "Streaming" and "Error codes".
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from swarm.simulator.developer import Reply
from swarm.simulator.faults import Fault

MODEL = "simulator"

_CHARACTERS_A_TOKEN = 4
_DELTA_CHARACTERS = 24
_ROLES = ("system", "developer", "user", "assistant", "tool")

Json = dict[str, Any]


class ApiError(Exception):
    """A request is answered with an error: HTTP status, headers and a body of OpenAI's shape."""

    def __init__(
        self, status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body: Json = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True)
class Answer:
    """The reply to a request, with all that is needed to write it down."""

    request: Json
    reply: Reply
    usage: Json
    headers: dict[str, str]
    fault: Fault | None = None

    @property
    def is_streamed(self) -> bool:
        return bool(self.request.get("stream"))


def parse_request(body: bytes) -> Json:
    """Read a chat-completions request. Raises `ApiError` (400) that says what is wrong with it."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("We could not parse the JSON body of your request.") from None
    if not isinstance(request, dict):
        raise _invalid("The body must be a JSON object.")
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise _invalid("You must provide a model parameter.", "model")
    if not request.get("messages"):
        raise _invalid("You must provide messages.", "messages")
    _check_items(request, "messages", _is_message)
    _check_items(request, "tools", _is_function)
    if not isinstance(request.get("stream_options") or {}, dict):
        raise _invalid("'stream_options' must be an object.", "stream_options")
    return request


def completion(answer: Answer, created: int) -> Json:
    """The body that answers a plain request; `created` is in Unix seconds."""
    reply = answer.reply
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    return _envelope("chat.completion", answer.request, created) | {"choices": [choice], "usage": answer.usage}


def completion_chunks(answer: Answer, created: int) -> Iterator[Json]:
    """The chunks that answer a streamed request, without the closing `[DONE]`."""
    tells_usage = bool((answer.request.get("stream_options") or {}).get("include_usage"))
    envelope = _envelope("chat.completion.chunk", answer.request, created)
    if tells_usage:
        envelope["usage"] = None
    for delta in _deltas(answer.reply):
        yield envelope | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": answer.reply.finish_reason}
    yield envelope | {"choices": [last]}
    if tells_usage:
        yield envelope | {"choices": [], "usage": answer.usage}


def count_usage(body: bytes, reply: Reply) -> Json:
    """Estimated tokens: four characters each, as OpenAI's rule of thumb goes."""
    answered = len(reply.text) + sum(len(call.name) + len(call.arguments) for call in reply.tool_calls)
    prompt_tokens = math.ceil(len(body) / _CHARACTERS_A_TOKEN)
    completion_tokens = math.ceil(answered / _CHARACTERS_A_TOKEN)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def models() -> Json:
    """The body of `GET /v1/models`."""
    return {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "swarm"}]}


def _invalid(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, kind="invalid_request_error", param=param)


def _check_items(request: Json, param: str, is_item: Callable[[object], bool]) -> None:
    items = request.get(param) or []
    if not isinstance(items, list):
        raise _invalid(f"'{param}' must be a list.", param)
    for number, item in enumerate(items):
        if not is_item(item):
            raise _invalid(
                f"'{param}[{number}]' does not have the form that the API reference shows.", f"{param}[{number}]"
            )


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False
    content = message.get("content")
    if isinstance(content, list):
        is_content = all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in content)
    else:
        is_content = content is None or isinstance(content, str)
    calls = message.get("tool_calls") or []
    return is_content and isinstance(calls, list) and all(_is_call(call) for call in calls)


def _is_call(call: object) -> bool:
    if not isinstance(call, dict) or not isinstance(call.get("id"), str) or not _is_function(call):
        return False
    return isinstance(call["function"].get("arguments"), str)


def _is_function(value: object) -> bool:
    """Whether `value` holds `{"function": {"name": …}}`, as a tool and a call of one do."""
    function = value.get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _envelope(kind: str, request: Json, created: int) -> Json:
    digest = hashlib.sha256(json.dumps(request["messages"], sort_keys=True).encode()).hexdigest()[:24]
    return {
        "id": f"chatcmpl-{digest}",
        "object": kind,
        "created": created,
        "model": request["model"],
        "system_fingerprint": "swarm-simulator",
    }


def _deltas(reply: Reply) -> Iterator[Json]:
    yield {"role": "assistant", "content": ""}
    for piece in _pieces(reply.text):
        yield {"content": piece}
    for index, call in enumerate(reply.tool_calls):
        opening = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield {"tool_calls": [opening]}
        for piece in _pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _DELTA_CHARACTERS):
        yield text[start : start + _DELTA_CHARACTERS]
