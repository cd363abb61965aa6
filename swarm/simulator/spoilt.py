"""What an answer with a fault looks like: a reply whose tool call is wrong, a response that is none.

Knows neither when a fault happens nor sockets; the faults that are a status alone, or no answer at all, need nothing
from here.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from swarm.simulator.developer import Reply
from swarm.simulator.faults import Fault
from swarm.simulator.protocol import Answer, ApiError, Json, completion, completion_chunks
from swarm.simulator.response import Response, event, event_stream, json_response, plain

HUGE_MIB = 100
BOMB_MIB = 1024

_MEBIBYTE = b"x" * 1024 * 1024
_PLACE = "<the long text>"
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>This page is no API.</body></html>\n"


def spoil_call(reply: Reply, fault: Fault) -> Reply:
    """`reply` with its first tool call made wrong by one of the `TOOL_FAULTS`."""
    first, *others = reply.tool_calls
    if fault is Fault.UNKNOWN_TOOL:
        first = replace(first, name=f"{first.name}_in_editor")
    elif fault is Fault.WRONG_SCHEMA_ARGUMENTS:
        first = replace(first, arguments=json.dumps({"arguments": json.loads(first.arguments)}))
    else:
        first = replace(first, arguments=first.arguments[:-1])
    return replace(reply, tool_calls=(first, *others))


def response_to(answer: Answer, created: int, pause: Callable[[float], None]) -> Response:
    """The response that an answer is sent as; `created` is in Unix seconds, `pause` sleeps for seconds."""
    match answer.fault:
        case Fault.EMPTY_CHOICES:
            return _written(answer, created, lambda document: document | {"choices": []})
        case Fault.TRUNCATED_JSON:
            return _truncated(answer, created)
        case Fault.HTML_PAGE:
            return plain(_PAGE, "text/html; charset=utf-8")
        case Fault.ERROR_WITH_200:
            error = ApiError(500, "The simulator plays a server that calls an error a success.", kind="server_error")
            return event_stream([error.body], answer.headers) if answer.is_streamed else json_response(error.body)
        case Fault.WRONG_CONTENT_TYPE:
            response = _written(answer, created)
            return replace(response, headers=response.headers | {"Content-Type": "text/plain"})
        case Fault.STREAM_STOPS:
            response = _written(answer, created)
            return replace(response, pieces=_half(b"".join(response.pieces)))
        case Fault.DRIP:
            response = _written(answer, created)
            return replace(response, pieces=_drops(response.pieces, pause))
        case Fault.HUGE:
            return _inflated(answer, created)
        case Fault.GZIP_BOMB:
            return _bomb(answer, created)
        case _:
            return _written(answer, created)


def _written(answer: Answer, created: int, change: Callable[[Json], Json] = lambda document: document) -> Response:
    """The right response, but for what `change` does to each JSON document in it."""
    if answer.is_streamed:
        return event_stream((change(chunk) for chunk in completion_chunks(answer, created)), answer.headers)
    return json_response(change(completion(answer, created)), headers=answer.headers)


def _truncated(answer: Answer, created: int) -> Response:
    """A response, whole by HTTP's rules, whose JSON ends half-way."""
    if not answer.is_streamed:
        body = json.dumps(completion(answer, created))
        return plain(body[: len(body) // 2].encode(), "application/json", headers=answer.headers)
    response = event_stream(completion_chunks(answer, created), answer.headers)
    first, *_, last = response.pieces
    return replace(response, pieces=[event(first[: len(first) // 2].decode().removeprefix("data: ")), last])


def _half(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionAbortedError


def _drops(pieces: Iterable[bytes], pause: Callable[[float], None]) -> Iterator[bytes]:
    for piece in pieces:
        for byte in piece:
            yield bytes([byte])
            pause(1.0)


def _inflated(answer: Answer, created: int) -> Response:
    head, tail = _around_the_text(answer, created)

    def pieces() -> Iterator[bytes]:
        yield head
        for _ in range(HUGE_MIB):
            yield _MEBIBYTE
        yield tail

    response = _written(answer, created)
    return replace(response, pieces=pieces(), length=len(head) + HUGE_MIB * len(_MEBIBYTE) + len(tail))


def _bomb(answer: Answer, created: int) -> Response:
    """Gzip may consist of many members (RFC 1952, 2.2), so that one compressed mebibyte does for all."""
    head, tail = _around_the_text(answer, created)
    packed = gzip.compress(head) + BOMB_MIB * gzip.compress(_MEBIBYTE) + gzip.compress(tail)
    response = _written(answer, created)
    return Response([packed], len(packed), 200, response.headers | {"Content-Encoding": "gzip"})


def _around_the_text(answer: Answer, created: int) -> tuple[bytes, bytes]:
    """The right body before and after a text that takes the reply's place."""
    response = _written(replace(answer, reply=replace(answer.reply, text=_PLACE)), created)
    head, _, tail = b"".join(response.pieces).partition(_PLACE.encode())
    return head, tail
