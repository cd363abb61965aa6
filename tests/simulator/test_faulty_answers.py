"""Every fault as a client sees it, on a real connection, for plain and for streamed requests."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests

from swarm.simulator.faults import Fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.spoilt import BOMB_MIB, HUGE_MIB
from tests.simulator.team import request_for, story

PLAIN = request_for(story())
STREAMED = PLAIN | {"stream": True}
MEBIBYTE = 1024 * 1024

either = pytest.mark.parametrize("request_body", [PLAIN, STREAMED], ids=["plain", "streamed"])


@contextmanager
def asked(fault: Fault, body: dict[str, Any]) -> Iterator[requests.Response]:
    """The answer of a server that always has one fault; the body is still to be read."""
    with SimulatorServer(SimulatorOptions(fault_shares={fault: 1.0})) as server, requests.Session() as session:
        with session.post(f"{server.base_url}/chat/completions", json=body, stream=True, timeout=30) as response:
            yield response
        assert server.stats.faults == {fault: 1}


def data_of(text: str) -> list[str]:
    """The data of each server-sent event."""
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line]


def text_of(response: requests.Response) -> str:
    return response.content.decode()


def first_call(response: requests.Response) -> dict[str, str]:
    function: dict[str, str] = response.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    return function


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.status])
def test_a_status_is_answered_with_an_error(fault: Fault) -> None:
    with asked(fault, PLAIN) as response:
        assert response.status_code == fault.status
        assert response.json()["error"]["type"] == "server_error"


def test_choices_may_be_empty() -> None:
    with asked(Fault.EMPTY_CHOICES, PLAIN) as response:
        assert response.json()["choices"] == []


def test_a_stream_may_have_no_choices() -> None:
    with asked(Fault.EMPTY_CHOICES, STREAMED) as response:
        *chunks, done = data_of(text_of(response))
    assert done == "[DONE]"
    assert {str(json.loads(chunk)["choices"]) for chunk in chunks} == {"[]"}


def test_json_may_end_half_way() -> None:
    with asked(Fault.TRUNCATED_JSON, PLAIN) as response:
        text = text_of(response)
    assert text.startswith('{"id": "chatcmpl-')
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(text)


def test_the_json_of_a_stream_may_end_half_way() -> None:
    with asked(Fault.TRUNCATED_JSON, STREAMED) as response:
        chunk, done = data_of(text_of(response))
    assert chunk.startswith('{"id": "chatcmpl-')
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(chunk)
    assert done == "[DONE]"


def test_arguments_may_be_no_json() -> None:
    with asked(Fault.BAD_TOOL_ARGUMENTS, PLAIN) as response:
        call = first_call(response)
    assert call == {"name": "read_file", "arguments": '{"path": "src/a.py"'}


def test_arguments_may_be_none_that_the_tool_takes() -> None:
    with asked(Fault.WRONG_SCHEMA_ARGUMENTS, PLAIN) as response:
        call = first_call(response)
    assert (call["name"], json.loads(call["arguments"])) == ("read_file", {"arguments": {"path": "src/a.py"}})


def test_a_tool_may_be_one_that_nobody_offered() -> None:
    with asked(Fault.UNKNOWN_TOOL, PLAIN) as response:
        call = first_call(response)
    assert call["name"] not in {tool["function"]["name"] for tool in PLAIN["tools"]}
    assert json.loads(call["arguments"]) == {"path": "src/a.py"}


def test_a_reply_without_tool_calls_has_none_that_could_be_wrong() -> None:
    options = SimulatorOptions(fault_shares={Fault.UNKNOWN_TOOL: 1.0})
    hello = {"model": "simulator", "messages": [{"role": "user", "content": "Hello"}]}
    with SimulatorServer(options) as server:
        response = requests.post(f"{server.base_url}/chat/completions", json=hello, timeout=30)
        assert response.json()["choices"][0]["message"]["content"].startswith("I am Swarm's simulator")
        assert server.stats.faults == {}


@either
def test_an_html_page_may_come(request_body: dict[str, Any]) -> None:
    with asked(Fault.HTML_PAGE, request_body) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/html")
        assert text_of(response).startswith("<!DOCTYPE html>")


def test_an_error_may_come_with_200() -> None:
    with asked(Fault.ERROR_WITH_200, PLAIN) as response:
        assert response.status_code == 200
        assert response.json()["error"]["type"] == "server_error"


def test_an_error_may_come_as_an_event() -> None:
    with asked(Fault.ERROR_WITH_200, STREAMED) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        error, _ = data_of(text_of(response))
    assert json.loads(error)["error"]["type"] == "server_error"


@either
def test_the_content_type_may_be_wrong_and_the_body_right(request_body: dict[str, Any]) -> None:
    with asked(Fault.WRONG_CONTENT_TYPE, request_body) as response:
        assert response.headers["Content-Type"] == "text/plain"
        body = text_of(response)
    assert json.loads(data_of(body)[0] if "stream" in request_body else body)["choices"]


@either
def test_a_body_may_stop_half_way(request_body: dict[str, Any]) -> None:
    read: list[bytes] = []
    with asked(Fault.STREAM_STOPS, request_body) as response, pytest.raises(requests.exceptions.ChunkedEncodingError):
        read.extend(response.iter_content(16))
    assert b"chatcmpl-" in b"".join(read)
    assert b"[DONE]" not in b"".join(read)


@either
def test_a_connection_may_end_without_an_answer(request_body: dict[str, Any]) -> None:
    with pytest.raises(requests.ConnectionError), asked(Fault.HANG_UP, request_body):
        pass


def test_a_body_may_come_byte_by_byte() -> None:
    options = SimulatorOptions(fault_shares={Fault.DRIP: 1.0})
    with SimulatorServer(options) as server, requests.Session() as session:
        url = f"{server.base_url}/chat/completions"
        with session.post(url, json=PLAIN, stream=True, timeout=30) as response:
            assert response.status_code == 200
            assert [response.raw.read1(1024), response.raw.read1(1024)] == [b"{", b'"']


def test_a_slow_answer_is_thought_about_for_longer() -> None:
    options = SimulatorOptions(fault_shares={Fault.SLOW: 1.0})
    with SimulatorServer(options) as server:

        def call() -> None:
            with suppress(requests.ConnectionError):
                requests.post(f"{server.base_url}/chat/completions", json=PLAIN, timeout=30)

        caller = threading.Thread(target=call)
        caller.start()
        while not server.stats.faults:
            time.sleep(0.01)
        assert server.stats.in_flight == 1
    caller.join()


@either
def test_a_reply_may_be_huge(request_body: dict[str, Any]) -> None:
    size = 0
    with asked(Fault.HUGE, request_body) as response:
        for piece in response.iter_content(MEBIBYTE):
            size += len(piece)
            end = piece[-20:]
    assert HUGE_MIB * MEBIBYTE < size < (HUGE_MIB + 1) * MEBIBYTE
    assert end.endswith(b"[DONE]\n\n" if "stream" in request_body else b"}")


@either
def test_a_small_answer_may_be_a_bomb(request_body: dict[str, Any]) -> None:
    with asked(Fault.GZIP_BOMB, request_body) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        packed = response.raw.read(decode_content=False)
    assert len(packed) < 2 * MEBIBYTE
    assert packed.count(gzip.compress(b"x" * MEBIBYTE, mtime=0)[10:]) == BOMB_MIB
    head = zlib.decompressobj(wbits=31).decompress(packed, 1024)
    assert b'"choices": [{' in head
