"""What happens to one chat request at the simulator: its key, its budget, the fault it may meet, the wait, the answer.

Knows nothing of HTTP connections. Any number of threads may come to one desk.
"""

from __future__ import annotations

import math
import random
import threading
import time
from dataclasses import dataclass, replace

from swarm.simulator.budget import Budget
from swarm.simulator.developer import TooManyRequests, reply_to
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.protocol import Answer, ApiError, count_usage, parse_request


@dataclass
class Stats:
    """Counts of chat requests since the server was made, whatever their answer was; `rate_limited` counts the 429s."""

    requests: int = 0
    rate_limited: int = 0
    faults: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0


class Desk:
    """Answers the chat requests of one server."""

    def __init__(self, options: SimulatorOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._stats = Stats()
        self._chance = random.Random(options.seed)  # noqa: S311 (chance of faults, no secret)
        self._budget = Budget(rpm=options.rpm, tpm=options.tpm, burst=options.burst, at=time.monotonic())
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
            return replace(self._stats)

    def check_key(self, authorization: str) -> None:
        """Raise `ApiError` (401) unless the header holds the right key, or none is asked for."""
        if self._options.api_key and authorization != f"Bearer {self._options.api_key}":
            raise ApiError(401, "Incorrect API key provided.", kind="invalid_request_error", code="invalid_api_key")

    def answer(self, body: bytes, retry_count: int) -> Answer:
        """Decide the reply to a chat request and sleep for as long as a model would think.

        Raises `ApiError` (400, 429, 503), and `ConnectionAbortedError` if the server stops meanwhile.
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
        usage = count_usage(body, reply)
        with self._lock:
            self._break_down()
            headers = self._spend(usage["total_tokens"])
            latency_s = self._options.latency_s + self._chance.uniform(0, self._options.jitter_s)
        if self._closed.wait(latency_s):
            raise ConnectionAbortedError
        return Answer(request, reply, usage, headers)

    def _break_down(self) -> None:
        if self._chance.random() < self._options.fault_rate:
            self._stats.faults += 1
            raise ApiError(503, "The simulator plays a server that is overloaded.", kind="server_error")

    def _spend(self, tokens: int) -> dict[str, str]:
        """Take from the budget; the headers that tell what is left of it."""
        unit, wait_s = self._budget.spend(tokens, time.monotonic())
        if unit:
            message = f"Rate limit reached: {self._budget.limit(unit)} {unit} per minute. Try again in {wait_s:.3f}s."
            raise self._too_many_requests(message, wait_s, kind=unit)
        return self._budget.headers()

    def _too_many_requests(self, message: str, retry_after_s: float, kind: str = "requests") -> ApiError:
        self._stats.rate_limited += 1
        error = ApiError(429, message, kind=kind, code="rate_limit_exceeded")
        error.headers = self._budget.headers() | {"Retry-After": str(math.ceil(retry_after_s))}
        return error
