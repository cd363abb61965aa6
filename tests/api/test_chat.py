"""/api/chat in front of a real model server on loopback, as OpenAI's clients call it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.test import RequestFactory

from swarm.api.errors import answer_error
from swarm.chat.errors import RateLimited
from swarm.chat.gateway import close_gateway, get_gateway
from swarm.chat.limiter import Told
from tests.api.client import ApiClient, problem
from tests.chat.server import Exchange, ModelServer, answer, refuse
from tests.factories import PATIENCE_S, wait_until

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
EVENTS = [b'data: {"choices":[{"delta":{"content":"he"}}]}\n\n', b"data: [DONE]\n\n"]


@pytest.fixture
def model(model: ModelServer, settings: Any) -> Iterator[ModelServer]:
    """The model server, with this process's gateway in front of it."""
    settings.SWARM_CHAT_BASE_URL = model.url
    settings.SWARM_CHAT_API_KEY = "upstream-secret"
    settings.SWARM_CHAT_MODEL = "test-model"
    settings.SWARM_CALL_TIMEOUT = 10 * PATIENCE_S
    close_gateway()
    yield model
    close_gateway()


def begin_events(exchange: Exchange) -> None:
    """Send the first event, and leave the line open for more."""
    headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
    exchange.send_raw(200, chunk(EVENTS[0]), headers)


def chunk(data: bytes) -> bytes:
    """One part of a chunked body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def in_flight() -> int:
    return sum(model["in_flight"] for model in get_gateway().state()["models"].values())


def test_a_model_that_is_not_allowed_is_refused_before_it_is_called(model: ModelServer, writer: ApiClient) -> None:
    response = writer.post("/api/chat", {**HELLO, "model": "dearer"})

    detail = problem(response, 404, "model_not_found")["detail"]
    assert "only test-model" in detail
    assert "SWARM_CHAT_MODELS" in detail
    assert model.received == []


def test_a_completion_is_answered_as_openai_answers(model: ModelServer, writer: ApiClient, settings: Any) -> None:
    settings.SWARM_CHAT_MODELS = ["other"]
    model.script = [answer("good day")]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]

    response = writer.post("/api/chat", {**HELLO, "temperature": 0.5, "tools": tools, "model": "other"})

    document = response.json()
    assert response.status_code == 200
    assert document["object"] == "chat.completion"
    assert document["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "good day"},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ]
    assert document["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    (received,) = model.received
    assert received.body == {**HELLO, "temperature": 0.5, "tools": tools, "model": "other"}
    assert received.headers["Authorization"] == "Bearer upstream-secret"


def test_a_call_without_a_model_goes_to_the_configured_one(model: ModelServer, writer: ApiClient) -> None:
    writer.post("/api/chat", HELLO)

    assert model.received[0].body == {**HELLO, "model": "test-model"}


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (refuse(400), 400, "bad_request"),
        (refuse(400, code="context_length_exceeded"), 400, "context_too_long"),
        (refuse(401), 502, "bad_credentials"),
        (refuse(404), 404, "model_not_found"),
        (refuse(429, code="insufficient_quota"), 402, "budget_exhausted"),
    ],
)
def test_what_the_model_refuses_is_a_problem_that_openais_clients_understand(
    refusal: Callable[[Exchange], None], status: int, code: str, model: ModelServer, writer: ApiClient
) -> None:
    model.always = refusal

    response = writer.post("/api/chat", HELLO)

    document = problem(response, status, code)
    assert document["error"] == {"message": document["detail"], "type": code, "code": code, "param": None}
    assert b"upstream-secret" not in response.content


def test_a_pause_longer_than_a_call_may_take_ends_the_call(
    model: ModelServer, writer: ApiClient, settings: Any
) -> None:
    settings.SWARM_CALL_TIMEOUT = 5
    model.always = refuse(429, headers={"Retry-After": "90"})

    problem(writer.post("/api/chat", HELLO), 429, "rate_limited")
    assert len(model.received) == 1


@pytest.mark.parametrize(("patience", "status"), [("5", 429), ("0.5", 429), ("soon", 200), ("-1", 200), ("nan", 200)])
def test_a_client_that_says_when_it_gives_up_is_answered_by_then(
    patience: str, status: int, model: ModelServer, writer: ApiClient, settings: Any
) -> None:
    model.script = [refuse(429, headers={"Retry-After": "90" if status == 429 else "0"})]

    response = writer.post("/api/chat", HELLO, headers={"X-Stainless-Read-Timeout": patience})

    assert response.status_code == status


def test_a_pause_that_the_model_asked_for_is_told_to_the_client(rf: RequestFactory) -> None:
    response = answer_error(rf.post("/api/chat"), RateLimited("Slow down.", Told(retry_after_s=1.2)))

    problem(response, 429, "rate_limited")
    assert response["Retry-After"] == "2"


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    "body",
    [{}, {"messages": []}, {"messages": "hello"}, {"messages": [1]}, {**HELLO, "stream": "maybe"}, {**HELLO, "n": 2}],
)
def test_a_request_that_is_no_chat_is_refused_before_the_model_sees_it(
    body: object, model: ModelServer, writer: ApiClient
) -> None:
    problem(writer.post("/api/chat", body), 422, "invalid_request")
    assert not model.received


def test_without_any_model_the_call_says_what_to_set(model: ModelServer, writer: ApiClient, settings: Any) -> None:
    settings.SWARM_CHAT_MODEL = ""
    close_gateway()

    assert "SWARM_CHAT_MODEL" in problem(writer.post("/api/chat", HELLO), 503, "misconfigured")["detail"]


class Caller:
    """An HTTP client right at Django's ASGI application, which can hang up when it likes."""

    def __init__(self, token: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "host": "localhost"}
        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/api/chat", "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ["127.0.0.1", 1], "server": ["localhost", 80], "asgi": {"version": "3.0"},
        }  # fmt: skip
        self._application: Any = cast(Any, ApplicationCommunicator)(get_asgi_application(), scope)
        self._data = data

    async def send(self) -> None:
        await self._application.send_input({"type": "http.request", "body": self._data})

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._application.receive_output(PATIENCE_S)
        return message

    async def hang_up(self) -> None:
        await self._application.send_input({"type": "http.disconnect"})
        await self._application.wait(PATIENCE_S)


@pytest.mark.django_db(transaction=True)
def test_a_streamed_answer_is_passed_on_byte_by_byte_as_it_comes(model: ModelServer, writer: ApiClient) -> None:
    may_end = threading.Event()

    def send_slowly(exchange: Exchange) -> None:
        begin_events(exchange)
        may_end.wait(PATIENCE_S)
        exchange.write(chunk(EVENTS[1]) + chunk(b""))

    model.script = [send_slowly]

    @async_to_sync
    async def call() -> None:
        caller = Caller(writer.token, {**HELLO, "stream": True})
        await caller.send()
        start = await caller.receive()
        assert start["status"] == 200
        assert dict(start["headers"])[b"Content-Type"] == b"text/event-stream"
        received = b""
        while received != EVENTS[0]:
            received += (await caller.receive())["body"]
        may_end.set()
        while (message := await caller.receive()).get("more_body"):
            received += message["body"]
        assert received == b"".join(EVENTS)

    call()
    assert in_flight() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_slot(stream: bool, model: ModelServer, writer: ApiClient) -> None:
    is_asked = threading.Event()

    def never_end(exchange: Exchange) -> None:
        if stream:
            begin_events(exchange)
        is_asked.set()
        model.is_closing.wait()

    model.script = [never_end]

    @async_to_sync
    async def call() -> None:
        caller = Caller(writer.token, {**HELLO, "stream": stream})
        await caller.send()
        if stream:
            assert (await caller.receive())["status"] == 200
        assert await asyncio.to_thread(is_asked.wait, PATIENCE_S)
        assert in_flight() == 1
        await caller.hang_up()

    call()
    wait_until(lambda: in_flight() == 0)


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_breaks_ends_with_an_event_that_says_so(model: ModelServer, writer: ApiClient) -> None:
    def break_off(exchange: Exchange) -> None:
        begin_events(exchange)
        exchange.write(chunk(b""))

    model.script = [break_off]

    @async_to_sync
    async def call() -> bytes:
        caller = Caller(writer.token, {**HELLO, "stream": True})
        await caller.send()
        assert (await caller.receive())["status"] == 200
        received = b""
        while (message := await caller.receive()).get("more_body"):
            received += message["body"]
        return received

    received = call()
    assert received.startswith(EVENTS[0])
    last = json.loads(received.removeprefix(EVENTS[0]).removeprefix(b"data: "))
    assert last["error"]["code"] == "malformed_reply"
    assert in_flight() == 0


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_is_refused_at_once_has_the_status_of_the_refusal(model: ModelServer, writer: ApiClient) -> None:
    model.script = [refuse(400, "no such thing")]

    problem(writer.post("/api/chat", {**HELLO, "stream": True}), 400, "bad_request")


def test_the_limiter_tells_of_its_calls_and_never_of_the_key(model: ModelServer, writer: ApiClient) -> None:
    writer.post("/api/chat", HELLO)

    response = writer.get("/api/swarm/limiter")

    assert response.json()["endpoint"] == model.url
    assert response.json()["models"]["test-model"]["in_flight"] == 0
    assert b"upstream-secret" not in response.content
