"""One limiter that several processes share, as a text that any of them can load, change and save. Pure.

A process is taken to be alive for `LEASE_S` after it last took part, so that the slots of a killed one come back.
Whoever stores the text sees to it that nobody else stored another meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from swarm.chat.limiter.core import Limiter
from swarm.chat.limiter.decisions import Wait

LEASE_S = 15.0
# A head need not be woken for less.
NOTICEABLE_S = 0.001


@dataclass
class Commons:
    """The limiter, and until when each process is taken to be alive; `saved_at` is when it was last saved."""

    limiter: Limiter
    alive_until: dict[str, float]
    saved_at: float

    @classmethod
    def load(cls, text: str, chance: Callable[[], float]) -> Commons:
        """The inverse of `save`."""
        saved = json.loads(text)
        return cls(Limiter.load(saved["limiter"], chance), saved["alive_until"], saved["saved_at"])

    def save(self, now: float) -> str:
        """All of it but the source of chance."""
        return json.dumps({"limiter": self.limiter.save(), "alive_until": self.alive_until, "saved_at": now})

    def enter(self, owner: str, now: float) -> bool:
        """Note that `owner` is alive, and forget who is not; returns whether it took part already."""
        self.alive_until = {name: until for name, until in self.alive_until.items() if until > now}
        is_known = owner in self.alive_until
        self.alive_until[owner] = now + LEASE_S
        for gone in self.limiter.owners - self.alive_until.keys():
            self.limiter.forget(gone, now)
        return is_known

    def without_calls(self, now: float) -> Commons:
        """Only what was learnt, with nobody in it: whoever is alive brings its calls along again."""
        for owner in self.limiter.owners:
            self.limiter.forget(owner, now)
        return Commons(self.limiter, {}, self.saved_at)


@dataclass(frozen=True)
class Outlook:
    """What the processes sleep on: who has a slot, and what the head waits for."""

    granted: frozenset[str]
    head: str
    wait: Wait | None

    @classmethod
    def of(cls, limiter: Limiter) -> Outlook:
        return cls(frozenset(limiter.in_flight), limiter.head.key if limiter.head else "", limiter.wait)

    def news_for(self, after: Outlook) -> set[str]:
        """The processes that have something to do once this outlook has become `after`."""
        concerned = after.granted - self.granted
        if after.head and (after.head != self.head or _differ(self.wait, after.wait)):
            concerned |= {after.head}
        return {key.rpartition("/")[0] for key in concerned}


def _differ(one: Wait | None, other: Wait | None) -> bool:
    if one is None or other is None or one.until is None or other.until is None:
        return one != other
    return one.reason != other.reason or abs(one.until - other.until) > NOTICEABLE_S
