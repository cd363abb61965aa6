"""A streamed answer passed on as it comes, watched for its end, its usage, and for what is no answer."""

from __future__ import annotations

from collections.abc import Iterator

from swarm.chat.call import Call
from swarm.chat.errors import MalformedReply
from swarm.chat.limiter import Told
from swarm.chat.refusals import Refusals
from swarm.chat.replies import Usage, parse_json, read_usage
from swarm.chat.upstream import Exchange

LONGEST_LINE_BYTES = 1024 * 1024


class ChatStream:
    """The bytes of server-sent events. Iterate once; `close` frees its slot when a client hangs up."""

    def __init__(self, exchange: Exchange, call: Call, told: Told, refusals: Refusals) -> None:
        self._exchange = exchange
        self._call = call
        self._told = told
        self._refusals = refusals
        self._chunks = exchange.chunks()
        self._line = b""
        self._usage = Usage()
        self._has_choices = False
        self._is_done = False
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Raises as `Gateway.complete` does; a stream that ends before its `[DONE]` is a `MalformedReply`."""
        try:
            chunk = next(self._chunks, b"")
            self._watch(chunk)
            if not chunk:
                self._check_end()
        except BaseException as error:
            self._end(error)
            raise
        if not chunk:
            self.close()
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Free the slot and the line; idempotent."""
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        if self._is_open:
            self._is_open = False
            self._exchange.close()
            if error is None:
                self._call.settle(self._told, self._usage)
            else:
                self._call.fail(error)

    def _watch(self, chunk: bytes) -> None:
        *lines, self._line = (self._line + chunk).split(b"\n")
        if max(map(len, (*lines, self._line))) > LONGEST_LINE_BYTES:
            raise MalformedReply(f"The model's stream holds a line of more than {LONGEST_LINE_BYTES} bytes; ask again.")
        for line in lines:
            if line.startswith(b"data:"):
                self._read(line.removeprefix(b"data:").strip())

    def _read(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._is_done = True
            return
        try:
            document = parse_json(data)
        except ValueError as error:
            raise MalformedReply(f"The model's stream holds broken JSON ({error}); ask again.") from None
        if not isinstance(document, dict):
            raise MalformedReply("The model's stream holds JSON that is not a chunk of a completion; ask again.")
        if document.get("error"):
            raise self._refusals.of_error_body(document["error"], self._told)
        self._has_choices |= bool(document.get("choices"))
        usage = read_usage(document)
        if usage.total_tokens:
            self._usage = usage

    def _check_end(self) -> None:
        if not self._is_done:
            raise MalformedReply("The model's stream stopped before its end; ask again.")
        if not self._has_choices:
            raise MalformedReply("The model's stream holds no choices; ask again.")
