"""A streamed answer passed on as it comes, watched for its end and its usage."""

from __future__ import annotations

from collections.abc import Iterator

from swarm.chat.call import Call
from swarm.chat.errors import MalformedReply
from swarm.chat.limiter import Told
from swarm.chat.replies import Usage, parse_json, read_usage
from swarm.chat.upstream import Exchange

LONGEST_LINE_BYTES = 1024 * 1024


class ChatStream:
    """The bytes of server-sent events. Iterate once; `close` frees its slot when a client hangs up."""

    def __init__(self, exchange: Exchange, call: Call, told: Told) -> None:
        self._exchange = exchange
        self._call = call
        self._told = told
        self._chunks = exchange.chunks()
        self._line = b""
        self._usage = Usage()
        self._is_done = False
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Raises as `Gateway.complete` does; a stream that ends before its `[DONE]` is a `MalformedReply`."""
        try:
            chunk = next(self._chunks)
        except BaseException as end:
            self.close()
            if isinstance(end, StopIteration) and not self._is_done:
                raise MalformedReply("The model's stream stopped before its end; ask again.") from None
            raise
        self._watch(chunk)
        return chunk

    def close(self) -> None:
        """Free the slot and the line; idempotent."""
        if self._is_open:
            self._is_open = False
            self._exchange.close()
            self._call.settle(self._told, self._usage)

    def _watch(self, chunk: bytes) -> None:
        *lines, self._line = (self._line + chunk).split(b"\n")
        self._line = self._line[-LONGEST_LINE_BYTES:]
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                self._is_done = True
            elif b'"usage"' in data:
                self._usage = _usage_in(data) or self._usage


def _usage_in(data: bytes) -> Usage | None:
    try:
        document = parse_json(data)
    except ValueError:
        return None
    usage = read_usage(document) if isinstance(document, dict) else Usage()
    return usage if usage.total_tokens else None
