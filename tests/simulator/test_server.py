from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from swarm.simulator.errors import CannotListen, InvalidOption
from swarm.simulator.faults import Fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from tests.simulator.team import IMPLEMENTATION, Conversation, answering, request_for, story

HELLO = {"model": "any-model", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as server:
        yield server


def chat(session: requests.Session, server: SimulatorServer, body: Any, **headers: str) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return session.post(f"{server.base_url}/chat/completions", data=data, headers=headers, timeout=30)


def events(response: requests.Response) -> list[dict[str, Any]]:
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_a_plain_reply_has_openais_shape(session: requests.Session, server: SimulatorServer) -> None:
    response = chat(session, server, HELLO)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "any-model"
    assert isinstance(body["created"], int)
    (choice,) = body["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert choice["message"]["role"] == "assistant"
    assert "not a real model" in choice["message"]["content"]
    assert "tool_calls" not in choice["message"]


def test_usage_is_a_quarter_of_the_characters(session: requests.Session, server: SimulatorServer) -> None:
    short = chat(session, server, HELLO).json()["usage"]
    longer = HELLO | {"messages": [{"role": "user", "content": "Hello" + 400 * "x"}]}
    assert chat(session, server, longer).json()["usage"]["prompt_tokens"] == short["prompt_tokens"] + 100
    assert short["total_tokens"] == short["prompt_tokens"] + short["completion_tokens"]
    assert short["completion_tokens"] > 0


def test_tool_calls_have_openais_shape(session: requests.Session, server: SimulatorServer) -> None:
    (choice,) = chat(session, server, request_for(story())).json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["type"] == "function"
    assert call["function"]["name"] == "read_file"
    assert json.loads(call["function"]["arguments"]) == {"path": "src/a.py"}


def test_a_stream_adds_up_to_the_plain_reply(session: requests.Session, server: SimulatorServer) -> None:
    talk = Conversation(story())
    talk.turn(answering())
    plain = chat(session, server, talk.request).json()
    response = chat(session, server, talk.request | {"stream": True})
    chunks = events(response)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["id"] for chunk in chunks} == {plain["id"]}
    assert not any("usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    message: dict[str, Any] = {"role": deltas[0]["role"], "content": "", "refusal": None, "tool_calls": []}
    for delta in deltas:
        message["content"] += delta.get("content", "")
        for call in delta.get("tool_calls", ()):
            if call["index"] == len(message["tool_calls"]):
                message["tool_calls"].append({"id": call["id"], "type": call["type"], "function": call["function"]})
            else:
                message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
    assert message == plain["choices"][0]["message"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "tool_calls"]


def test_a_stream_tells_its_usage_when_asked(session: requests.Session, server: SimulatorServer) -> None:
    chunks = events(chat(session, server, HELLO | {"stream": True, "stream_options": {"include_usage": True}}))
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0


def test_a_connection_goes_on_after_a_stream_and_after_an_error(
    session: requests.Session, server: SimulatorServer
) -> None:
    with socket.create_connection((server.base_url.split("/")[2].split(":")[0], _port(server)), timeout=30) as client:
        stream = client.makefile("rb")
        for body in (HELLO | {"stream": True}, {"model": "x"}, HELLO):
            data = json.dumps(body).encode()
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
            assert stream.readline().startswith(b"HTTP/1.1 ")
            headers = dict(line.split(b": ") for line in iter(lambda: stream.readline().strip(), b""))
            if b"Transfer-Encoding" in headers:
                while size := int(stream.readline(), 16):
                    stream.read(size + 2)
                stream.readline()
            else:
                answer = json.loads(stream.read(int(headers[b"Content-Length"])))
        stream.close()
    assert answer["choices"]


def test_models_are_listed(session: requests.Session, server: SimulatorServer) -> None:
    body = session.get(f"{server.base_url}/models", timeout=30).json()
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["simulator"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        ([], None),
        ({"messages": HELLO["messages"]}, "model"),
        ({"model": 1, "messages": HELLO["messages"]}, "model"),
        ({"model": "x"}, "messages"),
        ({"model": "x", "messages": []}, "messages"),
        ({"model": "x", "messages": "Hello"}, "messages"),
        ({"model": "x", "messages": ["Hello"]}, "messages[0]"),
        ({"model": "x", "messages": [{"role": "narrator", "content": "x"}]}, "messages[0]"),
        ({"model": "x", "messages": [{"role": ["user"], "content": "x"}]}, "messages[0]"),
        ({"model": "x", "messages": [{"role": "user", "content": 1}]}, "messages[0]"),
        ({"model": "x", "messages": [{"role": "user", "content": [{"text": 1}]}]}, "messages[0]"),
        ({"model": "x", "messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "messages[0]"),
        ({"model": "x", "messages": [{"role": "assistant", "tool_calls": 1}]}, "messages[0]"),
        (HELLO | {"tools": [{"type": "function"}]}, "tools[0]"),
        (HELLO | {"tools": {"name": "x"}}, "tools"),
        (HELLO | {"stream_options": True}, "stream_options"),
    ],
)
def test_a_malformed_request_is_named(
    session: requests.Session, server: SimulatorServer, body: Any, param: str
) -> None:
    response = chat(session, server, body)
    error = response.json()["error"]
    assert response.status_code == 400
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


def test_unknown_paths_and_wrong_methods_are_refused(session: requests.Session, server: SimulatorServer) -> None:
    unknown = session.post(f"{server.base_url}/completions", json={}, timeout=30)
    wrong = session.get(f"{server.base_url}/chat/completions", timeout=30)
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    assert (wrong.status_code, wrong.json()["error"]["message"]) == (405, "Use POST for /v1/chat/completions.")


def test_a_body_of_unknown_length_is_refused(session: requests.Session, server: SimulatorServer) -> None:
    response = session.post(f"{server.base_url}/chat/completions", data=iter([b"{}"]), timeout=30)
    assert response.status_code == 400


def test_a_wrong_key_is_refused_and_the_right_one_is_not(session: requests.Session) -> None:
    with SimulatorServer(SimulatorOptions(api_key="right")) as server:
        refused = [chat(session, server, HELLO), chat(session, server, HELLO, Authorization="Bearer wrong")]
        refused.append(session.get(f"{server.base_url}/models", timeout=30))
        assert {response.status_code for response in refused} == {401}
        assert {response.json()["error"]["code"] for response in refused} == {"invalid_api_key"}
        assert chat(session, server, HELLO, Authorization="Bearer right").status_code == 200


def test_the_budget_is_told_and_kept(session: requests.Session) -> None:
    with SimulatorServer(SimulatorOptions(rpm=2, tpm=6000)) as server:
        first, second, third = (chat(session, server, HELLO) for _ in range(3))
        tokens = first.json()["usage"]["total_tokens"]
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert 29 < float(first.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 30
        assert first.headers["x-ratelimit-limit-tokens"] == "6000"
        assert first.headers["x-ratelimit-remaining-tokens"] == str(6000 - tokens)
        assert second.headers["x-ratelimit-remaining-requests"] == "0"
        assert third.status_code == 429
        assert third.headers["Retry-After"] == "30"
        error = third.json()["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        assert "2 requests per minute" in error["message"]
        assert server.stats.rate_limited == 1


def test_without_a_budget_there_are_no_headers_of_one(session: requests.Session, server: SimulatorServer) -> None:
    assert not [name for name in chat(session, server, HELLO).headers if name.lower().startswith("x-ratelimit")]


def test_a_marked_story_is_turned_away_once(session: requests.Session, server: SimulatorServer) -> None:
    talk = Conversation(story("<!-- simulator: 429 -->\n\n" + IMPLEMENTATION))
    talk.turn(answering())
    refused = chat(session, server, talk.request)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    first_try = {"X-Stainless-Retry-Count": "0"}
    assert chat(session, server, talk.request, **first_try).status_code == 429
    assert chat(session, server, talk.request, **{"X-Stainless-Retry-Count": "1"}).status_code == 200


def test_hidden_limits_leave_nothing_but_retry_after(session: requests.Session) -> None:
    with SimulatorServer(SimulatorOptions(rpm=2, tpm=6000, hides_limits=True)) as server:
        responses = [chat(session, server, HELLO) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2].headers["Retry-After"] == "30"
    assert responses[2].json()["error"]["message"] == "Too many requests."
    assert not [name for response in responses for name in response.headers if name.lower().startswith("x-")]


def test_rejected_requests_count_where_they_are_charged(session: requests.Session) -> None:
    with SimulatorServer(SimulatorOptions(rpm=2, charges_rejected=True)) as server:
        waits = [chat(session, server, HELLO).headers.get("Retry-After") for _ in range(4)]
    assert waits == [None, None, "60", "90"]


def test_too_many_at_once_are_refused_and_the_slot_is_free_afterwards(session: requests.Session) -> None:
    with SimulatorServer(SimulatorOptions(latency_s=600, max_concurrent=1)) as server:
        caller = threading.Thread(target=_call_until_hung_up, args=(server,))
        caller.start()
        while not server.stats.in_flight:
            time.sleep(0.01)
        refused = chat(session, server, HELLO)
    caller.join()
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "concurrency")
    assert "Retry-After" not in refused.headers
    assert server.stats.rate_limited == 1
    with SimulatorServer(SimulatorOptions(max_concurrent=1)) as server:
        assert [chat(session, server, HELLO).status_code for _ in range(3)] == [200, 200, 200]


def test_two_servers_give_one_story_the_same_replies(session: requests.Session) -> None:
    with SimulatorServer() as one, SimulatorServer() as other:
        talk = Conversation(story())
        for _ in range(4):
            replies = [chat(session, server, talk.request).json() for server in (one, other, one)]
            for reply in replies:
                del reply["created"]
            assert replies[0] == replies[1] == replies[2]
            talk.turn(answering())


def test_a_hundred_and_twenty_calls_wait_at_the_same_time() -> None:
    # The server only lets a call go when it is stopped, so all of them are in flight together.
    server = SimulatorServer(SimulatorOptions(latency_s=600))
    server.start()
    outcomes: list[type[Exception] | int] = []

    def call() -> None:
        try:
            with requests.Session() as session:
                outcomes.append(chat(session, server, HELLO).status_code)
        except requests.ConnectionError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=call) for _ in range(120)]
    for thread in threads:
        thread.start()
    while server.stats.in_flight < 120:
        assert not outcomes
        time.sleep(0.01)
    server.stop()
    for thread in threads:
        thread.join()
    assert outcomes == [requests.ConnectionError] * 120
    assert server.stats.peak_in_flight == 120


def test_the_counts_are_told(session: requests.Session, server: SimulatorServer) -> None:
    tokens = chat(session, server, HELLO).json()["usage"]["total_tokens"]
    chat(session, server, b"{")
    session.get(f"{server.base_url}/models", timeout=30)
    counts = session.get(server.base_url.removesuffix("/v1") + "/stats", timeout=30).json()
    assert counts == {
        "requests": 2,
        "rate_limited": 0,
        "tokens": tokens,
        "faults": {},
        "in_flight": 0,
        "peak_in_flight": 1,
    }


def test_it_may_be_stopped_and_started_again_at_the_same_address(session: requests.Session) -> None:
    server = SimulatorServer()
    server.stop()
    server.start()
    address = server.base_url
    server.start()
    assert chat(session, server, HELLO).status_code == 200
    server.stop()
    server.stop()
    with pytest.raises(requests.ConnectionError):
        chat(session, server, HELLO)
    with server:
        assert server.base_url == address
        assert chat(session, server, HELLO).status_code == 200


def test_a_port_in_use_is_named(server: SimulatorServer) -> None:
    with pytest.raises(CannotListen, match=f"port {_port(server)}"):
        SimulatorServer(SimulatorOptions(port=_port(server))).start()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"port": -1}, "port"),
        ({"port": 65536}, "port"),
        ({"latency_s": -0.1}, "latency"),
        ({"latency_s": float("nan")}, "latency"),
        ({"jitter_s": float("inf")}, "jitter"),
        ({"rpm": -1}, "rpm"),
        ({"tpm": -1}, "tpm"),
        ({"burst": -1}, "burst"),
        ({"max_concurrent": -1}, "max-concurrent"),
        ({"fault_shares": {Fault.SLOW: 1.1}}, "share of slow"),
        ({"fault_shares": {Fault.SLOW: float("nan")}}, "share of slow"),
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=f"The {named} is"):
        SimulatorOptions(**options)


def test_shares_of_faults_that_add_up_to_more_than_all_are_refused() -> None:
    with pytest.raises(InvalidOption, match=r"add up to 1\.2"):
        SimulatorOptions(fault_shares={Fault.SLOW: 0.6, Fault.DRIP: 0.6})


def _call_until_hung_up(server: SimulatorServer) -> None:
    with requests.Session() as session, suppress(requests.ConnectionError):
        chat(session, server, HELLO)


def _port(server: SimulatorServer) -> int:
    return int(server.base_url.removesuffix("/v1").rpartition(":")[2])
