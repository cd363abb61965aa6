"""Who may call the model now, and if nobody, when and why not. Pure: clock and chance come in, decisions go out.

One `Limiter` for one endpoint, key and model. Only the head of the queue computes a delay and nothing is reserved
ahead, so a changed limit never has to be unwound. Four things hold a head back: a pause after a refusal (one gate for
all), calls in flight, requests a minute, tokens a minute. It can be saved as JSON and loaded elsewhere, so that several
processes can share one. It knows nothing of threads, HTTP or the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from swarm.chat.limiter.decisions import Cause, Grant, Limits, Reason, Wait
from swarm.chat.limiter.gate import Gate
from swarm.chat.limiter.headers import Told
from swarm.chat.limiter.history import History
from swarm.chat.limiter.pace import Pace
from swarm.chat.limiter.queue import FairQueue, Ticket
from swarm.chat.limiter.slots import Slots
from swarm.chat.limiter.tokens import TokenBudget

# Between an answer's leaving the server and the next request's reaching it, at most.
ON_THE_WAY_S = 0.05


@dataclass
class Counts:
    """How many calls were let go, and how they ended."""

    granted: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0


class Limiter:
    """The queue and the budgets in front of one model. Instants are seconds of one clock; `chance` returns [0, 1)."""

    def __init__(self, limits: Limits, *, now: float, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._queue = FairQueue()
        self._in_flight: dict[str, Ticket] = {}
        self._pace = Pace.starting(limits.requests_per_minute / 60 or None, now)
        self._tokens = TokenBudget.starting(limits.tokens_per_minute / 60 or None, now)
        self._slots = Slots(limits.max_in_flight or None, limits.max_in_flight or None, now)
        self._gate = Gate(now, now - 1)
        self._counts = Counts()
        self._history = History()
        self._parts = 1
        self._wait: Wait | None = None
        self._head_key = ""
        self._head_chance = 0.0

    @classmethod
    def load(cls, saved: dict[str, Any], chance: Callable[[], float]) -> Self:
        """The inverse of `save`."""
        limiter = cls(Limits(), now=0.0, chance=chance)
        limiter._queue = FairQueue.load(saved["queue"])
        limiter._in_flight = {ticket["key"]: Ticket(**ticket) for ticket in saved["in_flight"]}
        limiter._pace = Pace.load(saved["pace"])
        limiter._tokens = TokenBudget.load(saved["tokens"])
        limiter._slots = Slots(**saved["slots"])
        limiter._gate = Gate(**saved["gate"])
        limiter._counts = Counts(**saved["counts"])
        limiter._history = History(**saved["history"])
        limiter._wait = Wait(saved["wait"][0], Reason(saved["wait"][1])) if saved["wait"] else None
        limiter._head_key, limiter._head_chance = saved["head"]
        return limiter

    def save(self) -> dict[str, Any]:
        """Everything but the source of chance, ready for JSON."""
        return {
            "queue": self._queue.save(),
            "in_flight": [vars(ticket) for ticket in self._in_flight.values()],
            "pace": self._pace.save(),
            "tokens": self._tokens.save(),
            "slots": vars(self._slots),
            "gate": vars(self._gate),
            "counts": vars(self._counts),
            "history": vars(self._history),
            "wait": self._wait and [self._wait.until, self._wait.reason],
            "head": [self._head_key, self._head_chance],
        }

    # The queue

    def enqueue(self, ticket: Ticket, now: float, *, at_front: bool = False) -> None:
        """Queue one call; `at_front` of its own execution's others if it had been refused. Twice is harmless."""
        if ticket.key not in self._in_flight and all(other.key != ticket.key for other in self._queue):
            ticket.queued_at = now
            self._queue.push(ticket, at_front=at_front)

    def leave(self, key: str, *, now: float) -> None:
        """Take a call out of the queue, or back if it was granted but not sent."""
        granted = self._in_flight.get(key)
        if granted:
            self.withdrawn(granted, now=now)
        for waiting in [ticket for ticket in self._queue if ticket.key == key]:
            self._queue.remove(waiting)

    def next(self, now: float) -> Grant | Wait | None:
        """Give the head a slot, or say what it waits for; None when nobody waits. Call it again after each grant."""
        self._wait = None
        head = self._queue.head()
        if head is None:
            return None
        until, reason = self._obstacle(head, now)
        if reason is not None and (until is None or until > now):
            self._wait = Wait(until, reason)
            return self._wait
        self._queue.pop()
        self._grant(head, now)
        return Grant(head)

    # How calls end

    def answered(self, ticket: Ticket, told: Told, *, tokens: int | None, now: float) -> None:
        """A call was answered and used `tokens` (None: not said, so the estimate stands)."""
        used = ticket.tokens if tokens is None else tokens
        self._counts.answered += 1
        self._history.answered(used, now)
        self._gate.bursts_in_a_row = 0
        self._release(ticket, used, now, is_accepted=True)
        self._learn(ticket, told, now)

    def failed(self, ticket: Ticket, *, now: float) -> None:
        """A call ended without an answer; how much it used is not known, so the estimate stands."""
        self._counts.failed += 1
        self._release(ticket, ticket.tokens, now)

    def withdrawn(self, ticket: Ticket, *, now: float) -> None:
        """A granted call was never sent."""
        self._release(ticket, 0, now)

    def overloaded(self, ticket: Ticket, told: Told, *, now: float) -> None:
        """Upstream has too much to do (503, 529): fewer at once, and a pause for all if it asks for one."""
        self.failed(ticket, now=now)
        if self._gate.is_new_burst(ticket.sent_at):
            self._slots.shrink(now)
            self._gate.closed_at = now
        if told.retry_after_s is not None:
            self.pause(told.retry_after_s, now, is_overload=True)

    def refused(self, ticket: Ticket, told: Told, cause: Cause, *, now: float) -> float:
        """A call was answered 429: close the gate for all, slow down once a burst. Returns the pause in seconds."""
        self._counts.refused += 1
        self._history.refused(now)
        self._release(ticket, 0, now)
        rate_before = self._pace.rate_per_s
        self._learn(ticket, told, now)
        is_first = self._gate.is_new_burst(ticket.sent_at)
        diagnosis = self._diagnose(cause, told, ticket, is_first)
        if is_first:
            self._gate.begin_burst(now)
        if diagnosis is Cause.CONCURRENCY:
            is_inferred = cause is Cause.UNCLEAR and told.requests is None
            self._slots.refused(ticket, is_first=is_first, is_inferred=is_inferred, now=now)
            self._pace.turned_away()
            if is_inferred:
                self._pace.acquit(now)
        elif diagnosis is Cause.TOKENS and self._tokens.bucket:
            self._pace.turned_away()
        else:
            is_explained = self._pace.rate_per_s < rate_before
            self._pace.refused(ticket.number, ticket.sent_at, is_first=is_first and not is_explained, now=now)
            if cause is Cause.UNCLEAR and is_first and self._slots.times_refused > 1:
                self._pace.doubt()
        pause_s = self._pause_after(told, diagnosis)
        self.pause(pause_s, now)
        return pause_s

    def pause(self, pause_s: float, now: float, *, is_overload: bool = False) -> None:
        """Let nobody go for so long."""
        if self._gate.pause(now + pause_s, now, is_overload=is_overload):
            self._pace.pause(self._gate.paused_until)

    # Shared between processes

    def tickets(self, owner: str) -> tuple[list[Ticket], list[Ticket]]:
        """The waiting and the granted tickets of one process."""
        return (
            [ticket for ticket in self._queue if ticket.owner == owner],
            [ticket for ticket in self._in_flight.values() if ticket.owner == owner],
        )

    @property
    def owners(self) -> set[str]:
        """The processes whose calls wait or are in flight."""
        return {ticket.owner for ticket in [*self._queue, *self._in_flight.values()]}

    def adopt(self, owner: str, waiting: Iterable[Ticket], granted: Iterable[Ticket], now: float) -> None:
        """Replace the tickets of a process, which used another limiter meanwhile, by those that it has now."""
        self._drop(owner, now)
        for ticket in waiting:
            self._queue.push(ticket)
        for ticket in granted:
            self._in_flight[ticket.key] = ticket
            self._slots.take(ticket)

    def forget(self, owner: str, now: float) -> None:
        """Drop the tickets of a process that is gone; its calls in flight have failed."""
        self._counts.failed += len(self.tickets(owner)[1])
        self._drop(owner, now)

    def divide(self, parts: int) -> None:
        """Keep one of `parts` equal parts of all budgets, and of whatever upstream tells from now on."""
        self._parts = parts
        for budget in (self._pace, self._tokens, self._slots):
            budget.divide(parts)

    def spend_savings(self, now: float) -> None:
        """Count on nothing that was saved up: others may have spent it unseen."""
        self._pace.bucket.set_level(min(0.0, self._pace.bucket.level(now)), now)
        if self._tokens.bucket:
            self._tokens.bucket.set_level(min(0.0, self._tokens.bucket.level(now)), now)

    # What it believes

    def state(self, now: float) -> dict[str, Any]:
        """Everything it believes, ready for JSON; durations in seconds, rates per minute."""
        return {
            "limits": {
                "requests_per_minute": {
                    "value": round(self._pace.rate_per_s * 60, 2),
                    "burst": round(self._pace.bucket.burst, 2),
                    "source": self._pace.source,
                },
                "tokens_per_minute": self._tokens.state(now),
                "in_flight": {"value": self._slots.cap, "source": self._slots.source},
            },
            "in_flight": self._slots.in_flight,
            "paused_for_s": round(max(0.0, self._gate.paused_until - now), 3),
            "is_overloaded": self._gate.is_overload and now < self._gate.paused_until,
            "queue": self._queue_state(now),
            "calls": vars(self._counts).copy(),
            "refusal_bursts": self._gate.bursts,
            "throughput": self._history.state(now),
            "warnings": self._warnings(),
        }

    @property
    def in_flight(self) -> Mapping[str, Ticket]:
        """The tickets that have a slot, by key."""
        return self._in_flight

    @property
    def wait(self) -> Wait | None:
        """What the head waits for, as of the last `next`."""
        return self._wait

    @property
    def head(self) -> Ticket | None:
        """Whoever is next."""
        return self._queue.head()

    @property
    def paused_until(self) -> float:
        """Nobody is granted a slot before this instant."""
        return self._gate.paused_until

    # Inside

    def _obstacle(self, head: Ticket, now: float) -> tuple[float | None, Reason | None]:
        """What holds the head back the longest, and until when; (…, None) if nothing does."""
        if head.key != self._head_key:
            self._head_key, self._head_chance = head.key, self._chance()
        if now < self._gate.paused_until:
            return self._gate.paused_until, Reason.OVERLOADED if self._gate.is_overload else Reason.PAUSED
        if self._slots.is_full:
            return None, Reason.IN_FLIGHT
        until, reason = max(
            (self._pace.ready_at(now, self._head_chance), Reason.REQUESTS),
            (self._tokens.ready_at(head, now), Reason.TOKENS),
        )
        return (until, reason) if until > now else (now, None)

    def _grant(self, ticket: Ticket, now: float) -> None:
        self._pace.take(now)
        self._tokens.reserve(ticket, now)
        self._counts.granted += 1
        ticket.number, ticket.sent_at = self._counts.granted, now
        self._in_flight[ticket.key] = ticket
        self._slots.take(ticket)

    def _release(self, ticket: Ticket, used: int, now: float, *, is_accepted: bool = False) -> None:
        """Free the slot and settle the tokens, unless its process was taken for gone and that has been done."""
        held = self._in_flight.pop(ticket.key, None)
        if held is None:
            return
        self._slots.release(held, is_accepted=is_accepted, now=now)
        self._tokens.settle(ticket, used, now)
        for other in self._in_flight.values():
            # This call may have ended before the other arrived, so that they were not in flight together.
            if is_accepted and now - other.sent_at < ON_THE_WAY_S:
                other.level -= 1

    def _drop(self, owner: str, now: float) -> None:
        waiting, granted = self.tickets(owner)
        for ticket in waiting:
            self._queue.remove(ticket)
        for ticket in granted:
            self._release(ticket, ticket.tokens, now)

    def _learn(self, ticket: Ticket, told: Told, now: float) -> None:
        if told.requests:
            quota = told.requests.divided(self._parts)
            self._pace.told(quota, self._counts.granted - ticket.number, ticket.sent_at, now)
        if told.tokens:
            self._tokens.told(told.tokens.divided(self._parts), ticket, now)

    def _diagnose(self, cause: Cause, told: Told, ticket: Ticket, is_first: bool) -> Cause:
        """What an unexplained refusal is about: what is told to be used up; else too many at once, or too fast."""
        if cause is not Cause.UNCLEAR:
            return cause
        if told.tokens and told.tokens.remaining is not None and told.tokens.remaining < ticket.tokens:
            return Cause.TOKENS
        if told.requests and told.requests.remaining is not None:
            return Cause.REQUESTS if told.requests.remaining < 1 else Cause.CONCURRENCY
        return Cause.CONCURRENCY if self._slots.looks_full(ticket, is_first=is_first) else Cause.REQUESTS

    def _pause_after(self, told: Told, cause: Cause) -> float:
        """As long as upstream says; else none if a slot's release is the better signal; else doubling."""
        if told.retry_after_s is not None:
            return told.retry_after_s
        if cause is Cause.CONCURRENCY and self._slots.in_flight:
            return 0.0
        return self._gate.backoff_s()

    def _queue_state(self, now: float) -> list[dict[str, Any]]:
        head = self._queue.head()
        if head is None:
            return []
        reason = self._obstacle(head, now)[1] or Reason.REQUESTS
        return [
            {
                "execution": ticket.execution,
                "node": ticket.node,
                "is_finishing": ticket.is_finishing,
                "waiting_s": round(now - ticket.queued_at, 3),
                "reason": reason if ticket is head else Reason.QUEUE,
            }
            for ticket in self._queue
        ]

    def _warnings(self) -> list[str]:
        setting_per_s = self._pace.setting_per_s
        if setting_per_s and self._pace.source == "learnt":
            return [
                f"SWARM_RPM is {setting_per_s * 60:.0f}, but the model takes about {self._pace.rate_per_s * 60:.0f} "
                "requests a minute. Lower it, or raise the limit at the provider."
            ]
        return []
