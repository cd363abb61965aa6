"""How many requests a second to send: given, told or learnt from refusals alone. Pure.

A hidden limit is measured, not searched. Whatever bucket the server keeps, in a window of T seconds it accepts what
it had saved up before and what it refills in T. So every window says *rate ≥ (accepted - saved up) ÷ T* (arrival
curves: Le Boudec & Thiran, "Network Calculus", 2001, 1.2), where nothing is saved up when a window begins with a
refusal, and otherwise no more than it ever took at once from idle. On a refusal the pace drops to the best of these
bounds and creeps up until the next one, so that a bound that was too low heals. The creep speeds up with time (cubic,
as in Ha, Rhee & Xu, "CUBIC", 2008, and botocore's adaptive mode) and starts slower each time that a measurement
confirms the one before. Credit that the server saves up during a pause is used afterwards, at three times the pace
rather than at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from swarm.chat.limiter.bucket import Bucket
from swarm.chat.limiter.headers import Quota

Source = Literal["settings", "headers", "learnt", "guess"]

# Before anything is known: a few at once, then fast enough for a team and slow enough that a refusal is heard in time.
FIRST_GUESS_PER_S = 50.0
FIRST_BURST = 8.0
SLOWEST_PER_S = 1 / 120
# How much faster a second: until two refusals bracket the rate; after; and after many that agree within `AGREEMENT`.
# `PATIENCE_S` after the last refusal the latter two have doubled, the last up to `DEAREST` times later.
BLIND_GROWTH = 2.0
LEARNT_GROWTH = 0.01
SLOWEST_GROWTH = 0.001
AGREEMENT = 0.1
PATIENCE_S = 3.0
DEAREST = 4.0
# The least that is left of the pace after a refusal.
DECREASE = 0.4
# Before it is known otherwise, servers are taken to save up a second's worth.
SAVED_UP_S = 1.0
# Windows begin at the last ten marks, of which one is made each second of activity and one at each refusal.
MARK_EVERY_S = 1.0
MARKS = 10
SHORTEST_WINDOW_S = 0.3
# After a pause savings are spent at three times the pace. Half a request is held back for jitter on the way.
RETURN_SPEED = 3.0
RESERVE = 0.5


class Mark(NamedTuple):
    """The beginning of a window: how many had been accepted by then, and the most that was saved up."""

    at: float
    accepted: int
    saved_up: float


@dataclass
class Pace:
    """The request budget of one endpoint, key and model. All instants are seconds of one clock.

    `savings` is the most that the server saves up, `returns_at` the end of a pause whose savings are being spent,
    and everything `began_…` is about the time since the last idleness.
    """

    bucket: Bucket
    source: Source
    refused_at: float
    began_at: float
    setting_per_s: float | None = None
    told_per_s: float | None = None
    seen_burst: float = 0.0
    taken: int = 0
    taken_at: float = 0.0
    refusals: int = 0
    savings: float = math.inf
    growth: float = BLIND_GROWTH
    measured_per_s: float | None = None
    began_accepted: int = 0
    began_bursts: int = 0
    returns_at: float | None = None
    marks: list[Mark] = field(default_factory=list)

    @classmethod
    def starting(cls, setting_per_s: float | None, now: float) -> Pace:
        if setting_per_s:
            bucket = Bucket.full(setting_per_s, max(1.0, setting_per_s * SAVED_UP_S), now)
            return cls(bucket, "settings", now, now, setting_per_s)
        return cls(Bucket.full(FIRST_GUESS_PER_S, FIRST_BURST, now), "guess", now, now)

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Pace:
        """The inverse of `save`."""
        return cls(**(saved | {"bucket": Bucket(**saved["bucket"]), "marks": [Mark(*mark) for mark in saved["marks"]]}))

    def save(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return vars(self) | {"bucket": vars(self.bucket)}

    @property
    def rate_per_s(self) -> float:
        return self.bucket.rate_per_s

    @property
    def accepted(self) -> int:
        """How many were accepted, those on their way included."""
        return self.taken - self.refusals

    def ready_at(self, now: float, chance: float) -> float:
        """The instant from which the next request may go; `chance` in [0, 1) spreads the return after a pause."""
        ready_at = self.bucket.ready_at(1, now)
        if self.returns_at is not None:
            ready_at = max(ready_at, self.returns_at + chance / (RETURN_SPEED * self.rate_per_s))
        return ready_at

    def take(self, now: float) -> None:
        """Send one request."""
        saved_up_s = self.bucket.burst / self.rate_per_s
        is_idle = self.bucket.level(now) >= self.bucket.burst
        if is_idle and (self.returns_at is None or now > self.returns_at + saved_up_s):
            self.began_at, self.began_accepted, self.began_bursts = now, self.accepted, 0
        if not self.marks or now - self.marks[-1].at >= MARK_EVERY_S:
            self._mark(now, self.savings)
        self.bucket.take(1, now)
        self.taken += 1
        is_limiting = self.bucket.level(now) < 1
        if self.returns_at is not None:
            self.returns_at = None if is_limiting else now + 0.5 / (RETURN_SPEED * self.rate_per_s)
        elif is_limiting:
            self._grow(now)
        self.taken_at = now

    def told(self, quota: Quota, taken_since: int, sent_at: float, now: float) -> None:
        """Learn from an answer's headers; its request was sent at `sent_at`, `taken_since` others after it."""
        self.told_per_s = quota.rate_per_s
        ceiling = self._ceiling_per_s or quota.rate_per_s
        if self.source != "learnt" or self.rate_per_s >= ceiling:
            self.source = "headers" if ceiling == quota.rate_per_s else "settings"
            self._refit(ceiling, now)
        if quota.remaining is not None:
            if quota.remaining:
                self.seen_burst = max(self.seen_burst, quota.remaining + 1)
            self._refit(self.rate_per_s, now)
            left = quota.remaining - taken_since + (now - sent_at) * self.rate_per_s - RESERVE
            # Answers overtake each other, so less is believed at once and more only one request at a time.
            self.bucket.set_level(min(left, self.bucket.level(now) + 1), now)

    def refused(self, number: int, sent_at: float, *, is_first: bool, now: float) -> None:
        """Slow down: request `number` (counted from 1), sent at `sent_at`, came too fast.

        Only the first refusal of a burst slows down.
        """
        self.turned_away()
        if is_first:
            self._slow_down(number, sent_at, now)
        else:
            last = self.marks.pop()
            self.marks.append(last._replace(accepted=last.accepted - 1))
        if self.began_bursts == 1:
            self.savings = max(1.0, self.accepted - self.began_accepted)
            self._refit(self.rate_per_s, now)
        self.refused_at = now

    def turned_away(self) -> None:
        """A request was not accepted, for whatever reason."""
        self.refusals += 1

    def doubt(self) -> None:
        """Perhaps requests do not come too fast but are too many at once: find out soon, by going faster again."""
        self.growth, self.measured_per_s = BLIND_GROWTH, None

    def acquit(self, now: float) -> None:
        """It turned out that requests did not come too fast but were too many at once: forget what was learnt."""
        fresh = Pace.starting(self.setting_per_s, now)
        self.bucket, self.source, self.growth, self.measured_per_s = fresh.bucket, fresh.source, fresh.growth, None
        self.marks, self.savings = [], math.inf

    def pause(self, until: float) -> None:
        """Nothing is sent until then; what the server saves up meanwhile is used gently afterwards."""
        self.returns_at = until

    def divide(self, parts: int) -> None:
        """Keep one of `parts` equal parts."""
        self.bucket.divide(parts)
        self.setting_per_s = self.setting_per_s and self.setting_per_s / parts
        self.told_per_s = self.told_per_s and self.told_per_s / parts
        self.seen_burst, self.savings = self.seen_burst / parts, self.savings / parts

    @property
    def _ceiling_per_s(self) -> float | None:
        return min((rate for rate in (self.setting_per_s, self.told_per_s) if rate), default=None)

    def _slow_down(self, number: int, sent_at: float, now: float) -> None:
        is_measured = math.isfinite(self.savings)
        if is_measured:
            bound = max(self._bounds(number - self.refusals, sent_at), default=0.0)
        else:
            bound = (self.accepted - self.began_accepted) / (sent_at - self.began_at + SAVED_UP_S)
        rate = max(bound, self.rate_per_s * DECREASE)
        if is_measured:
            is_agreed = self.measured_per_s and abs(rate / self.measured_per_s - 1) < AGREEMENT
            self.growth = max(SLOWEST_GROWTH, self.growth / 2) if is_agreed else LEARNT_GROWTH
            self.measured_per_s = rate
        self.source = "learnt"
        self._refit(max(SLOWEST_PER_S, min(rate, self.rate_per_s)), now)
        self.bucket.set_level(min(self.bucket.level(now), 0.0) - RESERVE, now)
        self.began_bursts += 1
        # What left before this was heard may have met an empty bucket too; the refusals to come take it off the mark.
        self._mark(self.taken_at, 0.0)

    def _bounds(self, accepted: int, until: float) -> list[float]:
        """What each window up to the refusal at `until` says that the rate is at least."""
        return [
            (accepted - mark.accepted - mark.saved_up) / (until - mark.at)
            for mark in self.marks
            if until - mark.at >= SHORTEST_WINDOW_S
        ]

    def _mark(self, at: float, saved_up: float) -> None:
        self.marks = [*self.marks[1 - MARKS :], Mark(at, self.accepted, saved_up)]

    def _grow(self, now: float) -> None:
        """Go a little faster after a request that waited for this budget; never above what was given or told."""
        elapsed_s = min(now - self.taken_at, 2 / self.rate_per_s)
        if self.source not in ("guess", "learnt"):
            return
        growth = self.growth
        if self.measured_per_s:
            patience_s = PATIENCE_S
            if growth < LEARNT_GROWTH:
                # The rate is known. Where little is saved up, a refusal costs most of the pause it brings: meet fewer.
                patience_s *= min(DEAREST, max(1.0, self.measured_per_s * SAVED_UP_S / self.savings))
            growth = min(BLIND_GROWTH, growth * (1 + ((now - self.refused_at) / patience_s) ** 2))
        rate = self.rate_per_s * math.exp(growth * elapsed_s)
        ceiling = self._ceiling_per_s
        if ceiling and rate >= ceiling:
            rate, self.source = ceiling, "headers" if ceiling == self.told_per_s else "settings"
        self._refit(rate, now)

    def _refit(self, rate_per_s: float, now: float) -> None:
        if self.source == "guess":
            burst = FIRST_BURST
        elif self.source == "headers" and self.seen_burst:
            burst = max(1.0, self.seen_burst)
        else:
            burst = max(1.0, min(self.savings, rate_per_s * SAVED_UP_S))
        self.bucket.refit(rate_per_s, burst, now)
