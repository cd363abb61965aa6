"""What happens to one chat request at the simulator: its key, its budget, the fault it may meet, the wait, the answer.

Knows nothing of HTTP connections. Any number of threads may come to one desk.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from swarm.simulator.budget import Budget
from swarm.simulator.developer import Reply, TooManyRequests, reply_to
from swarm.simulator.faults import TOOL_FAULTS, Fault, draw_fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.protocol import Answer, ApiError, count_usage, parse_request
from swarm.simulator.spoilt import spoil_call

_SLOW_S = 10.0


@dataclass
class Stats:
    """Counts since the server was made: chat requests, whatever their answer was, and the 429s among them.

    `tokens` are those of the requests that were let in, `faults` is how many of each were played.
    """

    requests: int = 0
    rate_limited: int = 0
    tokens: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    peak_in_flight: int = 0


class Desk:
    """Answers the chat requests of one server."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._stats = Stats()
        self._thinking = 0
        self._chance = random.Random(options.seed)  # noqa: S311 (jitter, no secret)
        self._budget = Budget(
            rpm=options.rpm,
            tpm=options.tpm,
            burst=options.burst,
            charges_rejected=options.charges_rejected,
            at=time.monotonic(),
        )
        self._closed = threading.Event()

    def open(self) -> None:
        """Answer again after `close`."""
        self._closed.clear()

    def close(self) -> None:
        """Wake everybody who waits; their requests get no answer."""
        self._closed.set()

    def stats(self) -> Stats:
        """The counts as of now."""
        with self._lock:
            return replace(self._stats, faults=self._stats.faults.copy())

    def pause(self, seconds: float) -> None:
        """Sleep. Raises `ConnectionAbortedError` as soon as the server stops."""
        if self._closed.wait(seconds):
            raise ConnectionAbortedError

    def check_key(self, authorization: str) -> None:
        """Raise `ApiError` (401) unless the header holds the right key, or none is asked for."""
        if self._options.api_key and authorization != f"Bearer {self._options.api_key}":
            raise ApiError(401, "Incorrect API key provided.", kind="invalid_request_error", code="invalid_api_key")

    def answer(self, body: bytes, retry_count: int) -> Answer:
        """Decide the reply to a chat request and sleep for as long as a model would think.

        Raises `ApiError` (400, 429, and a fault's status), and `ConnectionAbortedError` if the caller is to be hung up
        on, be it for a fault or because the server stops.
        """
        with self._lock:
            self._stats.requests += 1
            self._stats.in_flight += 1
            self._stats.peak_in_flight = max(self._stats.peak_in_flight, self._stats.in_flight)
        try:
            return self._answer(body, retry_count)
        finally:
            with self._lock:
                self._stats.in_flight -= 1

    def _answer(self, body: bytes, retry_count: int) -> Answer:
        request = parse_request(body)
        reply = reply_to(request, retry_count)
        if isinstance(reply, TooManyRequests):
            with self._lock:
                raise self._too_many_requests(
                    "The simulator turns this call away once, as its story asks.", reply.retry_after_s
                )
        fault = self._draw_fault(body, reply, retry_count)
        if fault in TOOL_FAULTS:
            reply = spoil_call(reply, fault)
        usage = count_usage(body, reply)
        with self._lock:
            headers = self._admit(usage["total_tokens"], fault)
            latency_s = self._options.latency_s + self._chance.uniform(0, self._options.jitter_s)
            self._thinking += 1
        try:
            self.pause(latency_s + (_SLOW_S if fault is Fault.SLOW else 0.0))
        finally:
            with self._lock:
                self._thinking -= 1
        if fault is Fault.HANG_UP:
            raise ConnectionAbortedError
        return Answer(request, reply, usage, headers, fault)

    def _draw_fault(self, body: bytes, reply: Reply, retry_count: int) -> Fault | None:
        fault = draw_fault(self._options.fault_shares, seed=self._options.seed, body=body, retry_count=retry_count)
        return None if fault in TOOL_FAULTS and not reply.tool_calls else fault

    def _admit(self, tokens: int, fault: Fault | None) -> dict[str, str]:
        """Let a request in; the headers that tell what is left of the budget.

        Raises `ApiError` if the fault is a status, which costs nothing, or if there is no room.
        """
        if fault is not None and fault.status is not None:
            self._stats.faults[fault] += 1
            raise ApiError(fault.status, "The simulator plays a server in trouble.", kind="server_error")
        headers = self._spend(tokens)
        self._stats.tokens += tokens
        if fault is not None:
            self._stats.faults[fault] += 1
        return headers

    def _spend(self, tokens: int) -> dict[str, str]:
        most = self._options.max_concurrent
        if most and self._thinking >= most:
            self._budget.reject()
            # When another one will be done is nothing that a server knows, so there is no Retry-After.
            raise self._too_many_requests(f"Too many concurrent requests: {most} at once.", None, kind="concurrency")
        unit, wait_s = self._budget.spend(tokens, time.monotonic())
        if unit:
            message = f"Rate limit reached: {self._budget.limit(unit)} {unit} per minute. Try again in {wait_s:.3f}s."
            raise self._too_many_requests(message, wait_s, kind=unit)
        return self._told_limits()

    def _told_limits(self) -> dict[str, str]:
        return {} if self._options.hides_limits else self._budget.headers()

    def _too_many_requests(self, message: str, retry_after_s: float | None, kind: str = "requests") -> ApiError:
        self._stats.rate_limited += 1
        if self._options.hides_limits:
            message, kind = "Too many requests.", "requests"
        error = ApiError(429, message, kind=kind, code="rate_limit_exceeded")
        error.headers = self._told_limits()
        if retry_after_s is not None:
            error.headers["Retry-After"] = str(math.ceil(retry_after_s))
        return error
