"""Reading answers, good and bad."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.chat import errors
from swarm.chat.limiter import Told
from swarm.chat.refusals import Refusals
from swarm.chat.replies import ChatReply, ToolCall, Usage, parse_reply
from tests.chat.server import completion


def read(document: Any, content_type: str = "application/json") -> ChatReply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_reply(body, content_type, Told(), Refusals("http://model/v1"))


def with_tool_call(arguments: Any, **call: Any) -> dict[str, Any]:
    function = {"name": "read_file", "arguments": arguments}
    return completion("", tool_calls=[{"id": "call_a", "type": "function", "function": function, **call}])


def test_a_text_answer_is_read() -> None:
    assert read(completion("hello")) == ChatReply(
        message={"role": "assistant", "content": "hello"},
        tool_calls=(),
        text="hello",
        finish_reason="stop",
        usage=Usage(7, 3),
        model="test-model",
    )


def test_tool_calls_are_read_and_the_message_stays_as_given() -> None:
    document = with_tool_call('{"path": "a.py"}')
    reply = read(document)
    assert reply.tool_calls == (ToolCall("call_a", "read_file", {"path": "a.py"}),)
    assert reply.message == document["choices"][0]["message"]


@pytest.mark.parametrize("arguments", ["", None, "{}", {}])
def test_no_arguments_are_an_empty_object(arguments: Any) -> None:
    assert read(with_tool_call(arguments)).tool_calls[0].arguments == {}


@pytest.mark.parametrize(
    "arguments",
    ['{"path": "\\u0000"}', '{"path": "\\ud800"}', "{'path': 1}", '{"path": ', "[1]", "7", '{"n": NaN}', "[" * 100_000],
)
def test_arguments_that_are_no_json_object_are_for_the_model_to_mend(arguments: str) -> None:
    call = read(with_tool_call(arguments)).tool_calls[0]
    assert call.arguments is None
    assert call.arguments_error


def test_a_tool_call_without_an_id_gets_one_that_the_message_carries_too() -> None:
    reply = read(with_tool_call("{}", id=None))
    assert reply.tool_calls[0].id == "call_0"
    assert reply.message["tool_calls"][0]["id"] == "call_0"


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert read(completion(parts)).text == "one two"  # type: ignore[arg-type]


def test_characters_that_no_database_holds_are_replaced() -> None:
    assert read(completion("a\x00b\ud800c")).message["content"] == "a\ufffdb\ufffdc"


def test_an_answer_without_usage_counts_nothing() -> None:
    assert read(completion() | {"usage": None}).usage == Usage(0, 0)


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (completion() | {"choices": []}, "application/json"),
        (completion() | {"choices": None}, "application/json"),
        (completion() | {"choices": ["hello"]}, "application/json"),
        ({"choices": [{"message": None}]}, "application/json"),
        ({"choices": [{"message": {"tool_calls": "all"}}]}, "application/json"),
        ({"choices": [{"message": {"tool_calls": [{"id": "a"}]}}]}, "application/json"),
        (b'{"choices": [{"mess', "application/json"),
        (b"", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"choices": NaN}', "application/json"),
        (b"[" * 100_000, "application/json"),
        ([], "application/json"),
        (b"<html>Sign in</html>", "text/html; charset=utf-8"),
        (b"<html>Sign in</html>", "application/json"),
        (completion(), "text/plain"),
    ],
)
def test_what_is_no_chat_completion_is_a_malformed_reply(document: Any, content_type: str) -> None:
    with pytest.raises(errors.MalformedReply):
        read(document, content_type)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "slow down", "code": 429}, errors.RateLimited),
        ({"message": "slow down", "type": "rate_limit_error"}, errors.RateLimited),
        ({"message": "busy", "type": "overloaded_error"}, errors.UpstreamOverloaded),
        (
            {"message": "too long", "code": "context_length_exceeded", "type": "invalid_request_error"},
            errors.ContextTooLong,
        ),
        ("something happened", errors.UpstreamUnavailable),
    ],
)
def test_an_error_in_a_200_is_that_error(error: Any, kind: type[errors.ChatError]) -> None:
    with pytest.raises(kind):
        read({"error": error})


def test_an_answer_that_the_filter_stopped_is_refused_content() -> None:
    document = completion("")
    document["choices"][0]["finish_reason"] = "content_filter"
    with pytest.raises(errors.ContentRefused):
        read(document)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)
messages = st.fixed_dictionaries({}, optional={"content": json_values, "tool_calls": json_values})
choices = st.fixed_dictionaries({}, optional={"message": messages | json_values, "finish_reason": json_values})
documents = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(choices | json_values, max_size=2), "usage": json_values, "model": json_values}
)


@given(documents | json_values)
def test_no_document_raises_anything_but_a_chat_error(document: Any) -> None:
    try:
        reply = read(document)
    except errors.ChatError:
        return
    json.dumps(reply.message, ensure_ascii=False).encode()
