"""The limiter's thread-safe shell: a waiting call sleeps until exactly it may go, its time is up or it is cancelled.

Every change runs the pure core once and wakes only whom it granted a slot; the thread at the head of the queue keeps
the timer for all. Nothing polls. It knows nothing of HTTP, nor of where the limiter lives.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from swarm.cancellation import Cancellation
from swarm.chat.errors import RateLimited, UpstreamOverloaded
from swarm.chat.limiter import Cause, Demand, Grant, Limiter, Reason, Ticket, Told, Wait

Result = TypeVar("Result")
Calls = Callable[[], tuple[list[Ticket], list[Ticket]]]


class Home(Protocol):
    """Where a limiter lives: in this process, or where other processes use it too."""

    @property
    def owner(self) -> str:
        """This process's name among those that use the limiter."""

    def start(self, on_news: Callable[[], None], calls: Calls) -> None:
        """From now on call `on_news` when others changed something for this process; never from within `change`.

        `calls` says which calls of this process wait, and which are in flight, as far as it knows.
        """

    def change(self, act: Callable[[Limiter, float], Result]) -> Result:
        """Return `act(limiter, now)`, run as if nobody else used the limiter. It may be tried more than once."""

    def state(self) -> dict[str, Any]:
        """What the limiter believes, and with how many processes it is shared; ready for JSON."""

    def close(self) -> None:
        """Take no more part; idempotent."""


class OwnHome:
    """A limiter that this process has for itself."""

    owner = "own"

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def start(self, on_news: Callable[[], None], calls: Calls) -> None:
        """Nobody else changes anything."""

    def change(self, act: Callable[[Limiter, float], Result]) -> Result:
        return act(self._limiter, time.monotonic())

    def state(self) -> dict[str, Any]:
        return self._limiter.state(time.monotonic()) | {"is_shared": False, "processes": 1}

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class _Sleeper:
    """A thread that waits with its ticket; it is woken once that `has_slot`."""

    ticket: Ticket
    woken: threading.Condition
    has_slot: bool = False


@dataclass(frozen=True)
class _Outcome:
    """What a change led to: who of ours has a slot, and what the head waits for. Instants are the limiter's."""

    granted: list[Ticket]
    head: str
    wait: Wait | None
    paused_until: float
    now: float


class Throttle:
    """One limiter in front of threads. Every granted ticket must be settled once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._sleepers: dict[str, _Sleeper] = {}
        self._in_flight: dict[str, Ticket] = {}
        self._wait: Wait | None = None
        self._head = ""
        # Of the head, if it is one of ours and waits for an instant; and of everybody. Both monotonic.
        self._wake_at: float | None = None
        self._paused_until = 0.0
        home.start(self._refresh, self._calls)

    def acquire(
        self,
        demand: Demand,
        *,
        deadline_at: float,
        cancellation: Cancellation,
        on_wait: Callable[[Reason, float | None], None],
    ) -> Ticket:
        """Wait for a slot and return it.

        `on_wait(reason, seconds)` is called once if it has to wait, without a lock. `deadline_at` is monotonic.
        Raises `RateLimited`, or `UpstreamOverloaded` while upstream has too much to do, when the deadline passes or at
        once when a pause outlasts it, and `Cancelled`.
        """
        ticket = demand.ticket(f"{self._home.owner}/{next(self._numbers)}")
        sleeper = _Sleeper(ticket, threading.Condition(self._lock))
        try:
            with self._lock:
                self._sleepers[ticket.key] = sleeper
                self._change(lambda limiter, now: limiter.enqueue(ticket, now, at_front=demand.was_refused))
                wait, wake_at = self._wait, self._wake_at
            if not sleeper.has_slot and wait:
                on_wait(wait.reason, wake_at and wake_at - time.monotonic())
            with cancellation.calling(lambda: self._wake(sleeper)):
                self._sleep(sleeper, deadline_at, cancellation)
        except BaseException:
            with self._lock:
                del self._sleepers[ticket.key]
                self._change(lambda limiter, now: limiter.leave(ticket.key, now=now))
            raise
        with self._lock:
            del self._sleepers[ticket.key]
            self._in_flight[ticket.key] = sleeper.ticket
        return sleeper.ticket

    def answered(self, ticket: Ticket, told: Told, tokens: int | None) -> None:
        """Settle: answered, having used `tokens` (None: not said)."""
        self._settle(ticket, lambda limiter, now: limiter.answered(ticket, told, tokens=tokens, now=now))

    def failed(self, ticket: Ticket) -> None:
        """Settle: ended without an answer."""
        self._settle(ticket, lambda limiter, now: limiter.failed(ticket, now=now))

    def overloaded(self, ticket: Ticket, told: Told) -> None:
        """Settle: upstream has too much to do."""
        self._settle(ticket, lambda limiter, now: limiter.overloaded(ticket, told, now=now))

    def refused(self, ticket: Ticket, told: Told, cause: Cause) -> float:
        """Settle: answered 429. Returns for how many seconds everybody pauses."""
        return self._settle(ticket, lambda limiter, now: limiter.refused(ticket, told, cause, now=now))

    def state(self) -> dict[str, Any]:
        """What the limiter believes, ready for JSON."""
        with self._lock:
            return self._home.state()

    def close(self) -> None:
        """Take no more part in a shared limiter; idempotent."""
        self._home.close()

    def _settle(self, ticket: Ticket, act: Callable[[Limiter, float], Result]) -> Result:
        with self._lock:
            del self._in_flight[ticket.key]
            return self._change(act)

    def _calls(self) -> tuple[list[Ticket], list[Ticket]]:
        return [sleeper.ticket for sleeper in self._sleepers.values() if not sleeper.has_slot], [
            *(sleeper.ticket for sleeper in self._sleepers.values() if sleeper.has_slot),
            *self._in_flight.values(),
        ]

    def _sleep(self, sleeper: _Sleeper, deadline_at: float, cancellation: Cancellation) -> None:
        with self._lock:
            while not sleeper.has_slot:
                cancellation.raise_if_cancelled()
                now = time.monotonic()
                if now >= deadline_at or self._paused_until > deadline_at:
                    raise _too_late(self._wait, self._paused_until - now)
                wake_at = deadline_at
                if self._wake_at is not None and self._head == sleeper.ticket.key:
                    wake_at = min(wake_at, self._wake_at)
                if now < wake_at:
                    sleeper.woken.wait(wake_at - now)
                else:
                    self._change(_nothing)

    def _refresh(self) -> None:
        with self._lock:
            self._change(_nothing)

    def _change(self, act: Callable[[Limiter, float], Result]) -> Result:
        """Change the limiter, grant what can be granted, and let the head set its timer anew if that has changed."""

        def step(limiter: Limiter, now: float) -> tuple[Result, _Outcome]:
            result = act(limiter, now)
            while isinstance(limiter.next(now), Grant):
                pass
            granted = [limiter.in_flight[key] for key in self._sleepers if key in limiter.in_flight]
            head = limiter.head.key if limiter.head else ""
            return result, _Outcome(granted, head, limiter.wait, limiter.paused_until, now)

        result, outcome = self._home.change(step)
        self._take_in(outcome)
        return result

    def _take_in(self, outcome: _Outcome) -> None:
        for ticket in outcome.granted:
            sleeper = self._sleepers[ticket.key]
            sleeper.ticket, sleeper.has_slot = ticket, True
            sleeper.woken.notify()
        behind_s = time.monotonic() - outcome.now
        is_new = (self._head, self._wait) != (outcome.head, outcome.wait)
        self._head, self._wait = outcome.head, outcome.wait
        until = outcome.wait.until if outcome.wait else None
        self._wake_at = None if until is None else until + behind_s
        self._paused_until = outcome.paused_until + behind_s
        if is_new and self._head in self._sleepers:
            self._sleepers[self._head].woken.notify()

    def _wake(self, sleeper: _Sleeper) -> None:
        with self._lock:
            sleeper.woken.notify()


def _nothing(limiter: Limiter, now: float) -> None:
    """Only grant what has become due."""


def _too_late(wait: Wait | None, paused_for_s: float) -> RateLimited | UpstreamOverloaded:
    reason = wait.reason if wait else Reason.QUEUE
    if paused_for_s > 0:
        pause = f"asked for a pause of {paused_for_s:.0f} s, longer than this call may wait."
        if reason is Reason.OVERLOADED:
            return UpstreamOverloaded(f"The model has too much to do (503 or 529) and {pause} Try again later.")
        return RateLimited(f"The model {pause}")
    return RateLimited(
        f"No turn at the model within this call's time: {reason}. Raise SWARM_CALL_TIMEOUT or the model's limits."
    )
