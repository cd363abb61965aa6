"""Reads a chat-completions answer into a small frozen value, or says what is wrong with it. Knows no HTTP client.

What only the model can mend (tool arguments that are not a JSON object) is no exception but stands in the tool call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from swarm.chat.errors import ContentRefused, MalformedReply
from swarm.chat.limiter import Told
from swarm.chat.refusals import Refusals

# What PostgreSQL's JSON and UTF-8 cannot hold.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class ToolCall:
    """One call that the model asks for. `arguments` is None where `arguments_error` says what is wrong with them."""

    id: str
    name: str
    arguments: dict[str, Any] | None
    arguments_error: str | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens of one call; 0 where the server does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class ChatReply:
    """A checked answer. `message` is the assistant's message to send back, as given."""

    message: dict[str, Any]
    tool_calls: tuple[ToolCall, ...]
    text: str
    finish_reason: str
    usage: Usage
    model: str


def parse_reply(body: bytes, content_type: str, told: Told, refusals: Refusals) -> ChatReply:
    """Read the body of a 200.

    Raises `MalformedReply` if it is no chat completion, `ContentRefused` if a filter stopped it, and what an `error`
    in it stands for.
    """
    document = _document(body, content_type, refusals.base_url)
    if document.get("error"):
        raise refusals.of_error_body(document["error"], told)
    choice = _first_choice(document)
    message = _storable(choice.get("message"))
    finish_reason = str(choice.get("finish_reason") or "")
    if not isinstance(message, dict):
        raise MalformedReply("The model's answer holds no message; it is asked again.")
    reply = ChatReply(
        message={"role": "assistant", **message},
        tool_calls=read_tool_calls(message),
        text=_text(message.get("content")),
        finish_reason=finish_reason,
        usage=read_usage(document),
        model=str(document.get("model") or ""),
    )
    if finish_reason == "content_filter":
        raise ContentRefused("The content filter stopped the model's answer. Reword the story.", told)
    return reply


def read_usage(document: Mapping[str, Any]) -> Usage:
    """The tokens that an answer, or a chunk of a streamed one, says it used."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def parse_json(text: str | bytes) -> Any:
    """JSON as its standard has it. Raises ValueError, also for NaN, Infinity and for nesting without end."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _document(body: bytes, content_type: str, base_url: str) -> dict[str, Any]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise MalformedReply(
            f"{base_url} answered with {media_type} instead of JSON. Does SWARM_CHAT_BASE_URL name the API "
            "(it often ends in /v1)?"
        )
    try:
        document = parse_json(body)
    except ValueError as error:
        raise MalformedReply(f"{base_url} answered with broken JSON ({error}); it is asked again.") from None
    if not isinstance(document, dict):
        raise MalformedReply(f"{base_url} answered with JSON that is not a chat completion.")
    return document


def _first_choice(document: Mapping[str, Any]) -> dict[str, Any]:
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedReply("The model's answer holds no choices; it is asked again.")
    return choices[0]


def read_tool_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    """The calls that an assistant's message asks for, each with an id. Raises `MalformedReply`."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise MalformedReply("The model's answer holds tool calls in an unknown shape; it is asked again.")
    return tuple(_tool_call(call, number) for number, call in enumerate(calls))


def _tool_call(call: dict[str, Any], number: int) -> ToolCall:
    """Read one call, and give it an id if it has none, since its answer must name one."""
    call_id = call["id"] = str(call.get("id") or f"call_{number}")
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise MalformedReply("The model's answer holds a tool call without a name; it is asked again.")
    arguments = function.get("arguments")
    try:
        parsed = arguments if isinstance(arguments, dict) else parse_json(str(arguments or "{}"))
    except ValueError as error:
        return ToolCall(call_id, function["name"], None, f"The arguments are not JSON: {error}.")
    if not isinstance(parsed, dict):
        return ToolCall(call_id, function["name"], None, "The arguments must be one JSON object.")
    if _storable(parsed) != parsed:
        return ToolCall(
            call_id, function["name"], None, "The arguments hold a NUL or half a surrogate pair: leave it out."
        )
    return ToolCall(call_id, function["name"], parsed)


def _text(content: object) -> str:
    """The text of a message's content, which may come in parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _storable(value: Any) -> Any:
    """`value` with U+FFFD for characters that no database or file can hold."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
