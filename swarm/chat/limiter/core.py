"""Who may call the model now, and if nobody, when and why not. Pure: clock and chance come in, decisions go out.

One `Limiter` for one endpoint, key and model. Only the head of the queue computes a delay and nothing is reserved
ahead, so a changed limit never has to be unwound. Four things hold a head back: a pause after a refusal (one gate for
all), calls in flight, requests a minute, tokens a minute. It knows nothing of threads, HTTP or the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from swarm.chat.limiter.bucket import Bucket
from swarm.chat.limiter.headers import Told
from swarm.chat.limiter.pace import Pace
from swarm.chat.limiter.queue import FairQueue, Ticket
from swarm.chat.limiter.slots import Slots

TOKENS_SAVED_UP_S = 6.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


class Reason(StrEnum):
    """Why the head of the queue waits."""

    PAUSED = "paused after a 429"
    IN_FLIGHT = "as many calls in flight as the model takes"
    REQUESTS = "requests per minute used up"
    TOKENS = "tokens per minute used up"
    QUEUE = "others came first"


class Cause(StrEnum):
    """What a refusal is about. `UNCLEAR` is decided by what has been accepted before."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENCY = "concurrency"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Limits:
    """What the operator set; 0 means not set."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_in_flight: int = 0


@dataclass(frozen=True)
class Grant:
    """`ticket` has a slot; it must be settled by exactly one of `answered`, `refused` and `failed`."""

    ticket: Ticket


@dataclass(frozen=True)
class Wait:
    """The head has to wait: until `until`, or (None) until a call ends."""

    until: float | None
    reason: Reason


class Limiter:
    """The queue and the budgets in front of one model. Instants are monotonic seconds; `chance` returns [0, 1)."""

    def __init__(self, limits: Limits, *, now: float, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._queue = FairQueue()
        self._pace = Pace(limits.requests_per_minute / 60 or None, now)
        self._token_setting_per_s = limits.tokens_per_minute / 60 or None
        self._tokens: Bucket | None = None
        if self._token_setting_per_s:
            self._tokens = Bucket(self._token_setting_per_s, self._token_setting_per_s * TOKENS_SAVED_UP_S, now)
        self._tokens_source = "settings"
        self._slots = Slots(limits.max_in_flight or None, now)
        self._paused_until = now
        self._gate_closed_at = now - 1
        self._bursts_in_a_row = 0
        self._head: Ticket | None = None
        self._head_chance = 0.0
        self._tokens_granted = 0
        self._granted = self._answered = self._refused = self._failed = self._bursts = 0

    # The queue

    def enqueue(self, execution: str, node: str, *, is_finishing: bool, tokens: int, now: float) -> Ticket:
        """Queue one call that will use about `tokens`."""
        ticket = Ticket(execution, node, is_finishing, max(1, tokens), queued_at=now)
        self._queue.push(ticket)
        return ticket

    def requeue(self, refused: Ticket, now: float) -> Ticket:
        """Queue a refused call again, in front of its own execution's others."""
        ticket = Ticket(refused.execution, refused.node, refused.is_finishing, refused.tokens, queued_at=now)
        self._queue.push(ticket, at_front=True)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Take a waiting call out of the queue. Raises KeyError or ValueError if it does not wait."""
        self._queue.remove(ticket)

    def next(self, now: float) -> Grant | Wait | None:
        """Give the head a slot, or say what it waits for; None when nobody waits. Call it again after each grant."""
        head = self._queue.head()
        if head is None:
            return None
        until, reason = self._obstacle(head, now)
        if reason is not None and (until is None or until > now):
            return Wait(until, reason)
        self._queue.pop()
        self._grant(head, now)
        return Grant(head)

    # How calls end

    def answered(self, ticket: Ticket, told: Told, *, tokens: int | None, now: float) -> None:
        """A call was answered and used `tokens` (None: not said, so the estimate stands)."""
        self._answered += 1
        self._bursts_in_a_row = 0
        self._slots.release(ticket, is_accepted=True, now=now)
        self._settle_tokens(ticket, ticket.tokens if tokens is None else tokens, now)
        self._learn(ticket, told, now)

    def failed(self, ticket: Ticket, *, now: float) -> None:
        """A call ended without an answer; how much it used is not known, so the estimate stands."""
        self._failed += 1
        self._slots.release(ticket, is_accepted=False, now=now)
        self._settle_tokens(ticket, ticket.tokens, now)

    def withdrawn(self, ticket: Ticket, *, now: float) -> None:
        """A granted call was never sent."""
        self._slots.release(ticket, is_accepted=False, now=now)
        self._settle_tokens(ticket, 0, now)

    def overloaded(self, ticket: Ticket, told: Told, *, now: float) -> None:
        """Upstream has too much to do (503, 529): fewer at once, and a pause for all if it asks for one."""
        self.failed(ticket, now=now)
        if self._is_new_burst(ticket):
            self._slots.shrink(now)
            self._gate_closed_at = now
        if told.retry_after_s is not None:
            self._pause(told.retry_after_s, now)

    def refused(self, ticket: Ticket, told: Told, cause: Cause, *, now: float) -> float:
        """A call was answered 429: close the gate for all, slow down once a burst. Returns the pause in seconds."""
        self._refused += 1
        self._slots.release(ticket, is_accepted=False, now=now)
        self._settle_tokens(ticket, 0, now)
        rate_before = self._pace.rate_per_s
        self._learn(ticket, told, now)
        is_first = self._is_new_burst(ticket)
        cause = self._diagnose(cause, told, ticket, is_first)
        if cause is Cause.CONCURRENCY:
            self._slots.refused(ticket, is_first=is_first, now=now)
        elif cause is not Cause.TOKENS or self._tokens is None:
            is_explained = self._pace.rate_per_s < rate_before
            self._pace.refused(
                ticket.number, ticket.sent_at,
                was_limiting=ticket.was_limiting, is_first=is_first and not is_explained, now=now,
            )  # fmt: skip
        if is_first:
            self._bursts += 1
            self._bursts_in_a_row += 1
            self._gate_closed_at = now
        pause_s = self._pause_after(told, cause)
        self._pause(pause_s, now)
        return pause_s

    # What it believes

    def state(self, now: float) -> dict[str, Any]:
        """Everything it believes, ready for JSON; durations in seconds, rates per minute."""
        return {
            "limits": {
                "requests_per_minute": {
                    "value": round(self._pace.rate_per_s * 60, 2),
                    "burst": round(self._pace.burst, 2),
                    "source": self._pace.source,
                },
                "tokens_per_minute": self._tokens_state(now),
                "in_flight": {"value": self._slots.cap, "source": self._slots.source},
            },
            "in_flight": self._slots.in_flight,
            "paused_for_s": round(max(0.0, self._paused_until - now), 3),
            "queue": self._queue_state(now),
            "calls": {
                "granted": self._granted,
                "answered": self._answered,
                "refused": self._refused,
                "failed": self._failed,
            },
            "refusal_bursts": self._bursts,
        }

    @property
    def head(self) -> Ticket | None:
        """Whoever is next."""
        return self._queue.head()

    @property
    def paused_until(self) -> float:
        """Nobody is granted a slot before this instant."""
        return self._paused_until

    # Inside

    def _obstacle(self, head: Ticket, now: float) -> tuple[float | None, Reason | None]:
        """What holds the head back the longest, and until when; (…, None) if nothing does."""
        if head is not self._head:
            self._head, self._head_chance = head, self._chance()
        if now < self._paused_until:
            return self._paused_until, Reason.PAUSED
        if self._slots.is_full:
            return None, Reason.IN_FLIGHT
        waits = [(self._pace.ready_at(now, self._head_chance), Reason.REQUESTS)]
        if self._tokens:
            waits.append((self._tokens.ready_at(head.tokens, now), Reason.TOKENS))
        until, reason = max(waits)
        return (until, reason) if until > now else (now, None)

    def _grant(self, ticket: Ticket, now: float) -> None:
        ticket.was_limiting = self._pace.take(now)
        if self._tokens:
            self._tokens.take(ticket.tokens, now)
        self._granted += 1
        self._tokens_granted += ticket.tokens
        ticket.number, ticket.sent_at, ticket.tokens_granted = self._granted, now, self._tokens_granted
        self._slots.take(ticket)

    def _settle_tokens(self, ticket: Ticket, used: int, now: float) -> None:
        if self._tokens:
            self._tokens.take(used - ticket.tokens, now)

    def _learn(self, ticket: Ticket, told: Told, now: float) -> None:
        if told.requests:
            self._pace.told(told.requests, self._granted - ticket.number, ticket.sent_at, now)
        if told.tokens:
            rate = min(told.tokens.rate_per_s, self._token_setting_per_s or told.tokens.rate_per_s)
            self._tokens_source = "headers" if rate == told.tokens.rate_per_s else "settings"
            if self._tokens is None:
                self._tokens = Bucket(rate, rate * TOKENS_SAVED_UP_S, now)
            burst = max(self._tokens.burst, told.tokens.remaining or 0)
            self._tokens.refit(rate, burst, now)
            if told.tokens.remaining is not None:
                spent_since = self._tokens_granted - ticket.tokens_granted
                refilled = (now - ticket.sent_at) * rate
                self._tokens.set_level(told.tokens.remaining - spent_since + refilled, now)

    def _diagnose(self, cause: Cause, told: Told, ticket: Ticket, is_first: bool) -> Cause:
        """What an unexplained refusal is about: what is told to be used up; else too many at once, or too fast."""
        if cause is not Cause.UNCLEAR:
            return cause
        if told.tokens and told.tokens.remaining is not None and told.tokens.remaining < ticket.tokens:
            return Cause.TOKENS
        if told.requests and told.requests.remaining is not None:
            return Cause.REQUESTS if told.requests.remaining < 1 else Cause.CONCURRENCY
        return Cause.CONCURRENCY if self._slots.looks_full(ticket, is_first=is_first) else Cause.REQUESTS

    def _is_new_burst(self, ticket: Ticket) -> bool:
        return ticket.sent_at > self._gate_closed_at

    def _pause_after(self, told: Told, cause: Cause) -> float:
        """As long as upstream says; else none if a slot's release is the better signal; else doubling."""
        if told.retry_after_s is not None:
            return told.retry_after_s
        if cause is Cause.CONCURRENCY and self._slots.in_flight:
            return 0.0
        return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._bursts_in_a_row - 1, 10)))

    def _pause(self, pause_s: float, now: float) -> None:
        if now + pause_s > max(now, self._paused_until):
            self._paused_until = now + pause_s
            self._pace.pause(self._paused_until)

    def _tokens_state(self, now: float) -> dict[str, Any] | None:
        if self._tokens is None:
            return None
        return {
            "value": round(self._tokens.rate_per_s * 60, 2),
            "available": round(self._tokens.level(now)),
            "source": self._tokens_source,
        }

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
