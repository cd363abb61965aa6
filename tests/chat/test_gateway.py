"""The one door to the model, against a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from swarm.cancellation import Cancellation
from swarm.chat import errors
from swarm.chat.gateway import (
    Caller,
    ChatStream,
    Completion,
    Gateway,
    GatewaySettings,
    Phase,
    close_gateway,
    get_gateway,
)
from swarm.errors import Cancelled, Misconfigured
from tests.chat.server import Exchange, Handler, ModelServer, answer, refuse

MakeGateway = Callable[..., Gateway]
LATE_S = 30.0
REQUEST = {"messages": [{"role": "user", "content": "hi"}]}


def complete(gateway: Gateway, request: dict[str, Any] | None = None, **options: Any) -> Completion:
    defaults: dict[str, Any] = {
        "caller": Caller("execution", "developer-1"),
        "deadline_s": LATE_S,
        "cancellation": Cancellation(),
    }
    return gateway.complete(request or REQUEST, **(defaults | options))


def stream(gateway: Gateway, **options: Any) -> ChatStream:
    defaults: dict[str, Any] = {
        "caller": Caller("execution", "developer-1"),
        "deadline_s": LATE_S,
        "cancellation": Cancellation(),
    }
    return gateway.stream(REQUEST, **(defaults | options))


def limiter_state(gateway: Gateway) -> dict[str, Any]:
    state: dict[str, Any] = gateway.state()["models"]["test-model"]
    return state


def malformed(exchange: Exchange) -> None:
    exchange.send(200, b"<html>", {"Content-Type": "text/html"})


# Plain calls


def test_a_call_is_answered_with_the_configured_model(server: ModelServer, make_gateway: MakeGateway) -> None:
    completion = complete(make_gateway())
    assert completion.reply.text == "hello"
    assert (completion.retries, completion.rate_limited_count) == (0, 0)
    assert server.received[0].path == "/v1/chat/completions"
    assert server.received[0].body == REQUEST | {"model": "test-model"}


def test_unknown_fields_and_another_model_are_passed_on(server: ModelServer, make_gateway: MakeGateway) -> None:
    request = REQUEST | {"model": "another", "seed": 7, "vendor_option": {"a": 1}}
    complete(make_gateway(), request)
    assert server.received[0].body == request


def test_without_a_model_the_setting_is_named(make_gateway: MakeGateway) -> None:
    with pytest.raises(Misconfigured, match="SWARM_CHAT_MODEL"):
        complete(make_gateway(model=""))


def test_a_call_that_need_not_wait_only_thinks(make_gateway: MakeGateway) -> None:
    phases: list[Phase] = []
    complete(make_gateway(), on_phase=phases.append)
    assert [phase.activity for phase in phases] == ["thinking"]


# Retries


@pytest.mark.parametrize(
    "failure",
    [refuse(408), refuse(409), refuse(500), refuse(502), refuse(503), refuse(529), Exchange.hang_up, malformed],
)
def test_what_may_succeed_later_is_sent_again(server: ModelServer, make_gateway: MakeGateway, failure: Handler) -> None:
    server.script = [failure, failure]
    assert complete(make_gateway()).retries == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_succeed_is_sent_once(server: ModelServer, make_gateway: MakeGateway, status: int) -> None:
    server.always = refuse(status)
    with pytest.raises(errors.ChatError):
        complete(make_gateway())
    assert len(server.received) == 1


def test_retries_end_with_the_last_error(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.always = refuse(500, "out of order")
    with pytest.raises(errors.UpstreamUnavailable, match="out of order"):
        complete(make_gateway())
    assert len(server.received) == 6


def test_all_tries_carry_one_idempotency_key_and_their_count(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.script = [refuse(500), refuse(429, headers={"retry-after-ms": "10"})]
    gateway = make_gateway()
    complete(gateway)
    complete(gateway)
    keys = [received.headers["Idempotency-Key"] for received in server.received]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert [received.headers["X-Stainless-Retry-Count"] for received in server.received] == ["0", "1", "2", "0"]


def test_a_429_is_waited_out_and_told(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.script = [refuse(429, headers={"retry-after-ms": "40"})]
    phases: list[Phase] = []
    pauses: list[float] = []
    completion = complete(make_gateway(), on_phase=phases.append, on_rate_limited=pauses.append)
    assert pauses == [0.04]
    assert [phase.activity for phase in phases] == ["thinking", "waiting_for_budget", "thinking"]
    assert "429" in phases[1].detail
    assert (completion.retries, completion.rate_limited_count) == (1, 1)
    assert completion.queued_s >= 0.03


def test_a_wait_between_retries_is_not_thinking(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.script = [refuse(500)]
    phases: list[Phase] = []
    complete(make_gateway(), on_phase=phases.append)
    assert [phase.activity for phase in phases] == ["thinking", "waiting_for_budget", "thinking"]


def test_a_429_that_outlasts_the_deadline_is_an_error(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.always = refuse(429, headers={"Retry-After": "3600"})
    with pytest.raises(errors.RateLimited, match="3600"):
        complete(make_gateway())
    assert len(server.received) == 1


def test_a_pause_of_an_overloaded_server_that_outlasts_the_deadline_is_no_rate_limit(
    server: ModelServer, make_gateway: MakeGateway
) -> None:
    gateway = make_gateway()
    server.script = [refuse(503, headers={"Retry-After": "3600"})]
    for _ in range(2):  # the call that was answered so, and one that only waits
        with pytest.raises(errors.UpstreamOverloaded, match="503"):
            complete(gateway)
    assert len(server.received) == 1
    assert limiter_state(gateway)["is_overloaded"]


def test_the_deadline_holds_over_queue_and_call(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.always = lambda exchange: server.is_closing.wait(LATE_S) and None
    with pytest.raises(errors.UpstreamTimeout):
        complete(make_gateway(), deadline_s=0.2)


# Slots


def test_a_slot_is_freed_whatever_became_of_its_call(server: ModelServer, make_gateway: MakeGateway) -> None:
    gateway = make_gateway(max_in_flight=1)
    server.script = [answer(), refuse(400), malformed, answer(), refuse(500), answer()]
    for _ in range(4):
        try:
            complete(gateway)
        except errors.BadRequest:
            continue
    assert limiter_state(gateway)["in_flight"] == 0


def test_an_error_of_whoever_is_told_frees_the_slot(server: ModelServer, make_gateway: MakeGateway) -> None:
    gateway = make_gateway()

    def fail(phase: Phase) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        complete(gateway, on_phase=fail)
    assert limiter_state(gateway)["in_flight"] == 0
    assert server.received == []


def test_cancelling_frees_the_slot_for_the_next(server: ModelServer, make_gateway: MakeGateway) -> None:
    gateway, cancellation, reached = make_gateway(max_in_flight=1), Cancellation(), threading.Event()

    def hang(exchange: Exchange) -> None:
        reached.set()
        server.is_closing.wait(LATE_S)

    server.script = [hang]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(complete, gateway, cancellation=cancellation)
        assert reached.wait(LATE_S)
        cancellation.cancel("stop")
        with pytest.raises(Cancelled):
            first.result(LATE_S)
    assert complete(gateway).reply.text == "hello"


def test_many_threads_never_pass_the_cap_and_lose_no_call(server: ModelServer, make_gateway: MakeGateway) -> None:
    gateway, four = make_gateway(max_in_flight=4, rpm=60_000), threading.Barrier(4)
    lock, inside, most = threading.Lock(), 0, 0

    def answer_four_at_once(exchange: Exchange) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        four.wait(LATE_S)
        with lock:  # before the answer, after which the client may send its next call
            inside -= 1
        answer()(exchange)

    server.always = answer_four_at_once
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: complete(gateway), range(60)))
    assert len(replies) == 60
    assert most == 4
    assert server.connections <= 12


def test_the_state_never_shows_the_key(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    complete(gateway)
    assert limiter_state(gateway)["calls"]["answered"] == 1
    assert "sk-secret" not in repr(gateway.state())
    assert "sk-secret" not in repr(GatewaySettings("http://model", api_key="sk-secret"))


# Streams


EVENTS = [
    b'data: {"choices": [{"delta": {"content": "hel"}}]}\n\n',
    b'data: {"usage": {"prompt_tokens": 5, "completion_to',
    b'kens": 2}}\n\ndata: [DONE]\n\n',
]


def send_events(events: list[bytes]) -> Handler:
    def handle(exchange: Exchange) -> None:
        exchange.send_raw(200, b"", {"Content-Type": "text/event-stream", "Connection": "close"})
        for event in events:
            exchange.write(event)
        exchange.hang_up()

    return handle


def test_a_stream_passes_on_what_comes_as_it_comes(server: ModelServer, make_gateway: MakeGateway) -> None:
    go_on = threading.Event()

    def handle(exchange: Exchange) -> None:
        exchange.send_raw(200, EVENTS[0], {"Content-Type": "text/event-stream", "Connection": "close"})
        assert go_on.wait(LATE_S)
        exchange.write(EVENTS[1] + EVENTS[2])
        exchange.hang_up()

    server.script = [handle]
    chunks = stream(make_gateway())
    assert next(chunks) == EVENTS[0]
    go_on.set()
    assert b"".join(chunks) == EVENTS[1] + EVENTS[2]
    assert server.received[0].body["stream"] is True


def test_a_stream_holds_its_slot_until_its_end_and_settles_its_usage(
    server: ModelServer, make_gateway: MakeGateway
) -> None:
    server.script = [send_events(EVENTS)]
    gateway = make_gateway(tpm=60_000)
    chunks = stream(gateway)
    assert limiter_state(gateway)["in_flight"] == 1
    list(chunks)
    assert limiter_state(gateway)["in_flight"] == 0
    assert limiter_state(gateway)["limits"]["tokens_per_minute"]["available"] >= 6000 - 7


def test_a_client_that_hangs_up_frees_the_slot_even_before_the_first_byte(
    server: ModelServer, make_gateway: MakeGateway
) -> None:
    server.script = [send_events(EVENTS)]
    gateway = make_gateway()
    stream(gateway).close()
    assert limiter_state(gateway)["in_flight"] == 0


def test_a_stream_that_stops_before_its_end_says_so(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.script = [send_events(EVENTS[:2])]
    gateway = make_gateway()
    with pytest.raises(errors.MalformedReply, match="stopped before its end"):
        list(stream(gateway))
    assert limiter_state(gateway)["in_flight"] == 0


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        (b'data: {"error": {"message": "too fast", "type": "rate_limit_error"}}', errors.RateLimited, "too fast"),
        (b'data: {"error": "out of order"}', errors.UpstreamUnavailable, "out of order"),
        (b'data: {"choices": [', errors.MalformedReply, "broken JSON"),
        (b"data: [1]", errors.MalformedReply, "not a chunk"),
        (b"data: " + b"x" * 1_100_000, errors.MalformedReply, "a line of more than"),
    ],
    ids=lambda value: value.decode()[:30] if isinstance(value, bytes) else "",
)
def test_a_stream_that_holds_something_else_than_an_answer_is_named_and_not_passed_on(
    server: ModelServer, make_gateway: MakeGateway, event: bytes, error: type[errors.ChatError], words: str
) -> None:
    server.script = [send_events([event + b"\n\n", b"data: [DONE]\n\n"])]
    gateway = make_gateway()
    passed_on: list[bytes] = []
    with pytest.raises(error, match=words):
        passed_on.extend(stream(gateway))
    assert event not in b"".join(passed_on)
    assert limiter_state(gateway)["in_flight"] == 0
    counts = limiter_state(gateway)["calls"]
    assert (counts["answered"], counts["refused"] + counts["failed"]) == (0, 1)


def test_a_stream_without_any_choice_is_no_answer(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.script = [send_events([b": a comment\n\n", EVENTS[1] + EVENTS[2]])]
    gateway = make_gateway()
    with pytest.raises(errors.MalformedReply, match="no choices"):
        list(stream(gateway))
    assert limiter_state(gateway)["calls"]["failed"] == 1


def test_a_stream_is_retried_before_its_first_byte(server: ModelServer, make_gateway: MakeGateway) -> None:
    server.script = [refuse(500), refuse(429, headers={"retry-after-ms": "10"}), send_events(EVENTS)]
    assert b"".join(stream(make_gateway())) == b"".join(EVENTS)


def test_a_server_that_does_not_stream_is_named(server: ModelServer, make_gateway: MakeGateway) -> None:
    with pytest.raises(errors.MalformedReply, match="does not stream"):
        stream(make_gateway())


# This process's gateway


def test_there_is_one_gateway_until_it_is_closed(settings: Any, server: ModelServer) -> None:
    settings.SWARM_CHAT_BASE_URL, settings.SWARM_CHAT_API_KEY, settings.SWARM_CHAT_MODEL = server.url, "sk-1", "m"
    close_gateway()
    try:
        first = get_gateway()
        assert get_gateway() is first
        complete(first)
        assert server.received[0].headers["Authorization"] == "Bearer sk-1"
    finally:
        close_gateway()
    settings.SWARM_CHAT_API_KEY = "sk-2"
    try:
        complete(get_gateway())
    finally:
        close_gateway()
    assert server.received[1].headers["Authorization"] == "Bearer sk-2"
