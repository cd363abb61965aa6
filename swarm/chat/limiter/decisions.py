"""What the limiter is told, what it decides and why, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swarm.chat.limiter.queue import Ticket


class Reason(StrEnum):
    """Why the head of the queue waits."""

    PAUSED = "paused after a 429"
    OVERLOADED = "paused since the model has too much to do"
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
    """`ticket` has a slot; it must be settled by one of `answered`, `refused`, `failed`, `overloaded`, `withdrawn`."""

    ticket: Ticket


@dataclass(frozen=True)
class Wait:
    """The head has to wait: until `until`, or (None) until a call ends."""

    until: float | None
    reason: Reason
