"""The limiter's thread-safe shell: a waiting call sleeps until exactly it may go, its time is up or it is cancelled.

Every change runs the pure core once and wakes only whom it granted a slot; the thread at the head of the queue keeps
the timer for all. Nothing polls. It knows nothing of HTTP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from swarm.cancellation import Cancellation
from swarm.chat.errors import RateLimited
from swarm.chat.limiter import Cause, Grant, Limiter, Reason, Ticket, Told, Wait


class Throttle:
    """One `Limiter` shared by threads. Every granted ticket must be settled once."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._lock = threading.Lock()
        self._sleepers: dict[Ticket, threading.Condition] = {}
        self._wait: Wait | None = None
        self._head: Ticket | None = None

    def acquire(
        self,
        queue: Callable[[Limiter, float], Ticket],
        *,
        deadline_at: float,
        cancellation: Cancellation,
        on_wait: Callable[[Reason, float | None], None],
    ) -> Ticket:
        """Queue a ticket by `queue(limiter, now)` and return it once it is granted.

        `on_wait(reason, seconds)` is called once if it has to wait, without a lock. `deadline_at` is monotonic.
        Raises `RateLimited` when the deadline passes, or at once when a pause outlasts it, and `Cancelled`.
        """
        with self._lock:
            ticket = queue(self._limiter, time.monotonic())
            self._sleepers[ticket] = threading.Condition(self._lock)
            self._advance()
            wait = self._wait
        try:
            if not ticket.is_granted and wait:
                on_wait(wait.reason, wait.until and wait.until - time.monotonic())
            with cancellation.calling(lambda: self._wake(ticket)):
                self._sleep(ticket, deadline_at, cancellation)
        except BaseException:
            self._give_up(ticket)
            raise
        with self._lock:
            del self._sleepers[ticket]
        return ticket

    def answered(self, ticket: Ticket, told: Told, tokens: int | None) -> None:
        """Settle: answered, having used `tokens` (None: not said)."""
        with self._lock:
            self._limiter.answered(ticket, told, tokens=tokens, now=time.monotonic())
            self._advance()

    def failed(self, ticket: Ticket) -> None:
        """Settle: ended without an answer."""
        with self._lock:
            self._limiter.failed(ticket, now=time.monotonic())
            self._advance()

    def overloaded(self, ticket: Ticket, told: Told) -> None:
        """Settle: upstream has too much to do."""
        with self._lock:
            self._limiter.overloaded(ticket, told, now=time.monotonic())
            self._advance()

    def refused(self, ticket: Ticket, told: Told, cause: Cause) -> float:
        """Settle: answered 429. Returns for how many seconds everybody pauses."""
        with self._lock:
            pause_s = self._limiter.refused(ticket, told, cause, now=time.monotonic())
            self._advance()
            return pause_s

    def state(self) -> dict[str, Any]:
        """What the limiter believes, ready for JSON."""
        with self._lock:
            return self._limiter.state(time.monotonic())

    def _sleep(self, ticket: Ticket, deadline_at: float, cancellation: Cancellation) -> None:
        with self._lock:
            while not ticket.is_granted:
                cancellation.raise_if_cancelled()
                now = time.monotonic()
                wait = self._wait
                paused_until = self._limiter.paused_until
                if now >= deadline_at or paused_until > deadline_at:
                    raise RateLimited(_too_late(wait, paused_until - now))
                wake_at = deadline_at
                if wait and wait.until is not None and self._head is ticket:
                    wake_at = min(wake_at, wait.until)
                self._sleepers[ticket].wait(max(0.0, wake_at - now))
                self._advance()

    def _advance(self) -> None:
        """Grant what can be granted, and let the head set its timer anew if what it waits for has changed."""
        before = (self._wait, self._head)
        while isinstance(decision := self._limiter.next(time.monotonic()), Grant):
            self._sleepers[decision.ticket].notify()
        self._wait, self._head = decision, self._limiter.head
        if self._head and (self._wait, self._head) != before:
            self._sleepers[self._head].notify()

    def _wake(self, ticket: Ticket) -> None:
        with self._lock:
            if sleeper := self._sleepers.get(ticket):  # it may have been granted and gone meanwhile
                sleeper.notify()

    def _give_up(self, ticket: Ticket) -> None:
        with self._lock:
            del self._sleepers[ticket]
            if ticket.is_granted:
                self._limiter.withdrawn(ticket, now=time.monotonic())
            else:
                self._limiter.leave(ticket)
            self._advance()


def _too_late(wait: Wait | None, paused_for_s: float) -> str:
    if paused_for_s > 0:
        return f"The model asked for a pause of {paused_for_s:.0f} s, longer than this call may wait."
    reason = wait.reason if wait else Reason.QUEUE
    return f"No turn at the model within this call's time: {reason}. Raise SWARM_CALL_TIMEOUT or the model's limits."
