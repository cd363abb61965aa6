"""Where developer nodes send their calls, and that both ways look the same to them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.core import signing

from swarm.cancellation import Cancellation
from swarm.chat.errors import (
    BadCredentials,
    BadRequest,
    BudgetExhausted,
    ContentRefused,
    ContextTooLong,
    MalformedReply,
    ModelNotFound,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from swarm.chat.gateway import Caller, Completion, Gateway, Phase, close_gateway, get_gateway
from swarm.engine import node_token
from swarm.engine.chat_over_http import ChatAddress, ChatOverHttp
from swarm.engine.model_client import ModelDoor, model_door
from swarm.engine.node_token import issue_node_token, read_node_token
from swarm.errors import Cancelled, Misconfigured, SwarmError
from swarm.models import Event, Period
from tests.chat.server import Exchange, ModelServer, answer, model_server, refuse
from tests.factories import PATIENCE_S, in_thread, wait_until
from tests.main_job import MainJob, node_of, play
from tests.ports import free_port

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
CALLER = Caller(execution="an execution", node="a node", is_finishing=True)


@pytest.fixture
def model(model: ModelServer, settings: Any) -> Any:
    """The model server, behind this process's gateway."""
    settings.SWARM_CHAT_BASE_URL = model.url
    settings.SWARM_CHAT_API_KEY = "upstream-secret"
    settings.SWARM_CHAT_MODEL = "test-model"
    close_gateway()
    yield model
    model_door.close()
    close_gateway()


def ask(
    deadline_s: float = PATIENCE_S,
    *,
    cancellation: Cancellation | None = None,
    on_phase: Callable[[Phase], None] = lambda _: None,
    on_rate_limited: Callable[[float], None] = lambda _: None,
) -> Completion:
    return model_door.client().complete(
        HELLO, caller=CALLER, deadline_s=deadline_s, cancellation=cancellation or Cancellation(),
        on_phase=on_phase, on_rate_limited=on_rate_limited,
    )  # fmt: skip


def in_flight() -> int:
    return sum(state["in_flight"] for state in get_gateway().state()["models"].values())


# The door


def test_the_door_leads_to_the_gateway_to_the_own_server_while_it_serves_and_to_swarm_chat_url_before_all(
    settings: Any,
) -> None:
    door = ModelDoor()
    assert isinstance(door.client(), Gateway)
    door.serve_at(ChatAddress("http://127.0.0.1:1/api/chat", is_own=True))
    own = door.client()
    assert isinstance(own, ChatOverHttp)
    assert own.address.url == "http://127.0.0.1:1/api/chat"
    assert door.client() is own
    settings.SWARM_CHAT_URL = "http://elsewhere.invalid/api/chat"
    other = door.client()
    assert isinstance(other, ChatOverHttp)
    assert other.address == ChatAddress("http://elsewhere.invalid/api/chat")
    settings.SWARM_CHAT_URL = ""
    door.close()
    assert isinstance(door.client(), Gateway)
    close_gateway()


# Both ways


@pytest.mark.usefixtures("each_way")
def test_an_answer_comes_with_its_tools_its_usage_and_what_it_took(model: ModelServer) -> None:
    phases: list[Phase] = []
    pauses: list[float] = []
    model.script = [refuse(429, headers={"Retry-After": "0.3"}), answer("good day")]

    completion = ask(on_phase=phases.append, on_rate_limited=pauses.append)

    assert (completion.reply.text, completion.reply.usage.total_tokens) == ("good day", 10)
    assert (completion.retries, completion.rate_limited_count) == (1, 1)
    assert completion.queued_s >= 0.2
    assert len(pauses) == 1
    assert [phase.activity for phase in phases] == ["thinking", "waiting_for_budget", "thinking"]
    assert "429" in phases[1].detail


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (refuse(400), BadRequest),
        (refuse(400, code="context_length_exceeded"), ContextTooLong),
        (refuse(400, code="content_filter"), ContentRefused),
        (refuse(401), BadCredentials),
        (refuse(404), ModelNotFound),
        (refuse(429, code="insufficient_quota"), BudgetExhausted),
        (refuse(429, headers={"Retry-After": "90"}), RateLimited),
        (refuse(500, headers={"Retry-After": "90"}), UpstreamUnavailable),
        (refuse(504, headers={"Retry-After": "90"}), UpstreamTimeout),
    ],
)
def test_an_error_is_of_the_same_class_and_as_retryable(
    handler: Callable[[Exchange], None], kind: type[SwarmError], model: ModelServer
) -> None:
    model.always = handler

    with pytest.raises(SwarmError) as raised:
        ask(deadline_s=20)

    assert type(raised.value) is kind
    assert raised.value.retryable == kind.retryable
    assert raised.value.message
    assert in_flight() == 0


@pytest.mark.usefixtures("each_way")
def test_without_a_model_the_call_says_what_to_set(model: ModelServer, settings: Any) -> None:
    settings.SWARM_CHAT_MODEL = ""
    close_gateway()

    with pytest.raises(Misconfigured, match="SWARM_CHAT_MODEL"):
        ask()


@pytest.mark.usefixtures("each_way")
def test_a_call_whose_time_is_up_ends_as_timed_out_and_frees_its_slot(model: ModelServer) -> None:
    model.always = lambda exchange: model.is_closing.wait(PATIENCE_S) and exchange.hang_up()

    with pytest.raises(UpstreamTimeout):
        ask(deadline_s=0.3)

    wait_until(lambda: in_flight() == 0)


@pytest.mark.usefixtures("each_way")
def test_a_cancelled_call_ends_at_once_and_frees_its_slot(model: ModelServer) -> None:
    model.always = lambda exchange: model.is_closing.wait(PATIENCE_S) and exchange.hang_up()
    cancellation = Cancellation()
    call = in_thread(lambda: ask(cancellation=cancellation))
    wait_until(lambda: model.in_flight == 1)

    cancellation.cancel("Enough.")

    with pytest.raises(Cancelled, match="Enough"):
        call.result(PATIENCE_S)
    wait_until(lambda: in_flight() == 0)


@pytest.mark.usefixtures("each_way")
def test_an_error_of_whoever_is_told_ends_the_call_and_frees_its_slot(model: ModelServer) -> None:
    def refuse_to_listen(_: Phase) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(on_phase=refuse_to_listen)

    wait_until(lambda: in_flight() == 0)


@pytest.mark.usefixtures("each_way")
def test_the_queue_knows_which_execution_and_node_a_call_is_of(model: ModelServer, settings: Any) -> None:
    settings.SWARM_MAX_IN_FLIGHT = 1
    close_gateway()
    may_answer = threading.Event()

    def answer_late(exchange: Exchange) -> None:
        may_answer.wait(PATIENCE_S)
        answer()(exchange)

    model.always = answer_late
    calls = [in_thread(ask), in_thread(ask)]

    def queue() -> list[dict[str, Any]]:
        return [wait for state in get_gateway().state()["models"].values() for wait in state["queue"]]

    wait_until(lambda: len(queue()) == 1)
    [waiting] = queue()
    assert (waiting["execution"], waiting["node"], waiting["is_finishing"]) == ("an execution", "a node", True)
    may_answer.set()
    assert [call.result(PATIENCE_S).reply.text for call in calls] == ["hello", "hello"]


def test_waits_in_the_limiter_are_seen_while_they_last_over_http(
    main_job: MainJob, own_server: str, settings: Any
) -> None:
    settings.SWARM_CHAT_URL = f"{own_server}/api/chat"
    settings.SWARM_MAX_IN_FLIGHT = 1
    close_gateway()
    is_seen = threading.Event()

    def hold_until_the_wait_is_seen(exchange: Exchange) -> None:
        is_seen.wait(PATIENCE_S)
        play(exchange)

    main_job.behaviours = dict.fromkeys(("1.1", "2.3"), hold_until_the_wait_is_seen)
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Event.objects.filter(data__activity="waiting_for_budget").exists())
    is_seen.set()
    report = main_job.finish(execution)

    assert report["progress"]["completed"] == 2
    waited = [node["budget_wait"] for node in report["nodes"]]
    assert sum(waited) == pytest.approx(
        sum(Period.objects.filter(activity="waiting_for_budget").values_list("seconds", flat=True))
    )
    assert max(waited) > 0


# Over HTTP alone


def test_calls_really_go_over_http_with_a_token_of_the_node_and_not_with_the_key(
    main_job: MainJob, settings: Any
) -> None:
    """A plain OpenAI-compatible server at SWARM_CHAT_URL does as well as Swarm's own."""
    with model_server() as elsewhere:
        elsewhere.always = play
        settings.SWARM_CHAT_URL = f"{elsewhere.url}/chat/completions"
        settings.SWARM_CHAT_API_KEY = "upstream-secret"
        execution = main_job.run("1.1")

    assert node_of(execution, "1.1")["status"] == "completed"
    assert main_job.model.received == []
    for received in elsewhere.received:
        token = received.headers["Authorization"].removeprefix("Bearer ")
        caller = read_node_token(token)
        assert caller is not None
        assert (caller.execution, caller.node) == (str(execution["id"]), str(node_of(execution, "1.1")["id"]))
        assert set(received.body) == {"model", "messages", "tools"}
        assert "upstream-secret" not in str(received)
    finishing = [read_node_token(it.headers["Authorization"].removeprefix("Bearer ")) for it in elsewhere.received]
    assert [caller.is_finishing for caller in finishing if caller] == [False, False, False, True]
    assert node_of(execution, "1.1")["work_time"] > 0


def test_an_address_where_nobody_listens_is_named(settings: Any) -> None:
    settings.SWARM_CHAT_URL = f"http://127.0.0.1:{free_port()}/api/chat"
    with pytest.raises(UpstreamUnavailable, match="SWARM_CHAT_URL") as raised:
        ask()
    assert raised.value.retryable
    model_door.close()


def test_a_connection_that_breaks_before_anything_is_told_is_tried_once_more(settings: Any) -> None:
    with model_server() as elsewhere:
        elsewhere.script = [lambda exchange: exchange.http.connection.shutdown(socket.SHUT_RDWR)]
        settings.SWARM_CHAT_URL = elsewhere.url
        assert ask().reply.text == "hello"
        assert len(elsewhere.received) == 2
    model_door.close()


@pytest.mark.parametrize("line", [b"no json\n", b'{"model": "llama", "done": false}\n', b'{"phase": 1}\n'])
def test_a_server_that_speaks_otherwise_is_a_malformed_reply(line: bytes, settings: Any) -> None:
    with model_server() as elsewhere:
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(len(line))}
        elsewhere.always = lambda exchange: exchange.send_raw(200, line, headers)
        settings.SWARM_CHAT_URL = elsewhere.url
        with pytest.raises(MalformedReply, match="does not speak"):
            ask()
    model_door.close()


def test_a_call_that_stops_in_the_middle_can_be_tried_again(settings: Any) -> None:
    line = b'{"phase": {"activity": "thinking", "detail": "", "expected_s": null}}\n'
    with model_server() as elsewhere:
        headers = {"Content-Type": "application/x-ndjson", "Content-Length": str(len(line))}
        elsewhere.always = lambda exchange: exchange.send_raw(200, line, headers)
        settings.SWARM_CHAT_URL = elsewhere.url
        with pytest.raises(UpstreamUnavailable, match="in the middle"):
            ask()
        assert len(elsewhere.received) == 1
    model_door.close()


def test_a_proxy_of_the_environment_is_not_asked_for_the_own_server(
    model: ModelServer, own_server: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "localhost")
    settings.SWARM_CHAT_BASE_URL = model.url.replace("127.0.0.1", "localhost")
    close_gateway()
    model_door.serve_at(ChatAddress(f"{own_server}/api/chat", is_own=True))
    assert ask().reply.text == "hello"


# The token


def test_a_token_names_its_caller() -> None:
    assert read_node_token(issue_node_token(CALLER)) == CALLER


def test_a_token_is_worth_nothing_after_its_time_with_another_key_or_if_changed(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issue_node_token(CALLER)
    assert read_node_token(token.replace("node.", "node.x")) is None
    assert read_node_token("node." + signing.dumps({"execution": "e", "node": "n"})) is None
    assert read_node_token("swarm_whatever") is None
    settings.SECRET_KEY = "another"
    assert read_node_token(token) is None
    settings.SECRET_KEY = "the first"
    token = issue_node_token(CALLER)
    monkeypatch.setattr(node_token, "LIFE_S", -1)
    assert read_node_token(token) is None


@pytest.mark.django_db
def test_a_token_is_good_for_chat_and_for_nothing_else(own_server: str, model: ModelServer) -> None:
    headers = {"Authorization": f"Bearer {issue_node_token(CALLER)}"}
    chat = requests.post(f"{own_server}/api/chat", json=HELLO, headers=headers, timeout=PATIENCE_S)
    assert chat.json()["choices"][0]["message"]["content"] == "hello"
    for path in ("/api/swarm/executions", "/api/stories", "/api/files/locks"):
        assert requests.get(own_server + path, headers=headers, timeout=PATIENCE_S).status_code == 401
    refused = requests.post(
        f"{own_server}/api/chat", json=HELLO, headers={"Authorization": "Bearer node.x"}, timeout=PATIENCE_S
    )
    assert refused.status_code == 401


def test_a_node_whose_token_is_refused_says_what_both_servers_need(settings: Any) -> None:
    problem = {"code": "not_signed_in", "detail": "Sign in."}
    with model_server() as elsewhere:
        elsewhere.always = lambda exchange: exchange.send(401, problem, {"Content-Type": "application/problem+json"})
        settings.SWARM_CHAT_URL = elsewhere.url
        with pytest.raises(BadCredentials, match="SECRET_KEY"):
            ask()
    model_door.close()
