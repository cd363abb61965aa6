"""An HTTP response as a value: what stands in its head, and the bytes of its body piece by piece. Knows no socket."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from swarm.simulator.protocol import Json


@dataclass(frozen=True)
class Response:
    """A response; `length` in bytes is None if nobody knows it beforehand: chunked coding is used then.

    To iterate over `pieces` may take time, and may raise `ConnectionAbortedError`: the connection is to end there.
    """

    pieces: Iterable[bytes]
    length: int | None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def plain(body: bytes, content_type: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response that is there as a whole."""
    return Response([body], len(body), status, {"Content-Type": content_type, **(headers or {})})


def json_response(document: Json, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON document."""
    return plain(json.dumps(document).encode(), "application/json", status=status, headers=headers)


def event_stream(chunks: Iterable[Json], headers: dict[str, str]) -> Response:
    """Server-sent events as OpenAI's servers send them, the closing `[DONE]` included."""
    events = [event(json.dumps(chunk)) for chunk in chunks]
    return Response([*events, event("[DONE]")], None, 200, {"Content-Type": "text/event-stream", **headers})


def event(data: str) -> bytes:
    """One server-sent event."""
    return f"data: {data}\n\n".encode()
