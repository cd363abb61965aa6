"""How many requests a second to send: given, told or learnt from refusals alone. Pure.

A hidden limit is found as follows. A refusal says that the server's bucket is empty. Between two such moments the
server let through what it refilled, so *accepted ÷ elapsed* is its rate, exactly if it never ran over and too low
otherwise. The pace drops to that and creeps up until the next refusal, so that an estimate that is too low heals;
the creep speeds up with time (cubic, as in Ha, Rhee & Xu, "CUBIC", 2008, and botocore's adaptive mode). Credit that
the server saved up during a pause is used afterwards, at three times the pace rather than at once.
"""

from __future__ import annotations

import math
from typing import Literal

from swarm.chat.limiter.bucket import Bucket
from swarm.chat.limiter.headers import Quota

Source = Literal["settings", "headers", "learnt", "guess"]

# Before anything is known: a few at once, then fast enough for a team and slow enough that a refusal is heard in time.
FIRST_GUESS_PER_S = 50.0
FIRST_BURST = 8.0
SLOWEST_PER_S = 1 / 120
# How much faster a second: until two refusals bracket the rate, and after. `PATIENCE_S` after the last refusal the
# latter has doubled.
BLIND_GROWTH = 2.0
LEARNT_GROWTH = 0.01
PATIENCE_S = 3.0
# The least that is left of the pace after a refusal: of one that was not spent, and of one that was.
BLIND_DECREASE = 0.5
DECREASE = 0.7
# Servers are taken to save up a second's worth; an estimate counts over ten seconds at most.
SAVED_UP_S = 1.0
EPOCH_S = 10.0
# After a pause savings are spent at three times the pace. Half a request is held back for jitter on the way.
RETURN_SPEED = 3.0
RESERVE = 0.5


class Pace:
    """The request budget of one endpoint, key and model. All instants are monotonic seconds."""

    def __init__(self, setting_per_s: float | None, now: float) -> None:
        self._setting_per_s = setting_per_s
        self._told_per_s: float | None = None
        self._seen_burst = 0.0
        self.source: Source = "settings" if setting_per_s else "guess"
        rate = setting_per_s or FIRST_GUESS_PER_S
        self._bucket = Bucket(rate, max(1.0, rate * SAVED_UP_S) if setting_per_s else FIRST_BURST, now)
        self._taken = 0
        self._taken_at = now
        self._refused_at = now
        self._is_confirmed = False
        self._returns_at: float | None = None
        self._epoch_at = now - SAVED_UP_S
        self._epoch_number = self._epoch_refused = 0
        self._epoch_is_rough = True

    @property
    def rate_per_s(self) -> float:
        return self._bucket.rate_per_s

    @property
    def burst(self) -> float:
        return self._bucket.burst

    def ready_at(self, now: float, chance: float) -> float:
        """The instant from which the next request may go; `chance` in [0, 1) spreads the return after a pause."""
        ready_at = self._bucket.ready_at(1, now)
        if self._returns_at is not None:
            ready_at = max(ready_at, self._returns_at + chance / (RETURN_SPEED * self.rate_per_s))
        return ready_at

    def take(self, now: float) -> bool:
        """Send one request; returns whether this budget is what holds the next one back."""
        saved_up_s = self.burst / self.rate_per_s
        is_idle = self._bucket.level(now) >= self.burst
        if is_idle and (self._returns_at is None or now > self._returns_at + saved_up_s):
            self._start_epoch(now)
        self._bucket.take(1, now)
        self._taken += 1
        is_limiting = self._bucket.level(now) < 1
        if self._returns_at is not None:
            self._returns_at = None if is_limiting else now + 0.5 / (RETURN_SPEED * self.rate_per_s)
        elif is_limiting:
            self._grow(now)
        self._taken_at = now
        return is_limiting

    def told(self, quota: Quota, taken_since: int, sent_at: float, now: float) -> None:
        """Learn from an answer's headers; its request was sent at `sent_at`, `taken_since` others after it."""
        self._told_per_s = quota.rate_per_s
        ceiling = self._ceiling_per_s or quota.rate_per_s
        if self.source != "learnt" or self.rate_per_s >= ceiling:
            self.source = "headers" if ceiling == quota.rate_per_s else "settings"
            self._refit(ceiling, now)
        if quota.remaining is not None:
            if quota.remaining:
                self._seen_burst = max(self._seen_burst, quota.remaining + 1)
            self._refit(self.rate_per_s, now)
            left = quota.remaining - taken_since + (now - sent_at) * self.rate_per_s - RESERVE
            # Answers overtake each other, so less is believed at once and more only one request at a time.
            self._bucket.set_level(min(left, self._bucket.level(now) + 1), now)

    def refused(self, number: int, sent_at: float, *, was_limiting: bool, is_first: bool, now: float) -> None:
        """Slow down: request `number` (counted from 1), sent at `sent_at`, came too fast.

        Only the first refusal of a burst slows down. `was_limiting` is what `take` returned for it.
        """
        if is_first and number > self._epoch_number:
            self._slow_down(number, sent_at, was_limiting, now)
        if number > self._epoch_number:
            self._epoch_refused += 1
        self._refused_at = now

    def pause(self, until: float) -> None:
        """Nothing is sent until then; what the server saves up meanwhile is used gently afterwards."""
        self._returns_at = until

    @property
    def _ceiling_per_s(self) -> float | None:
        return min((rate for rate in (self._setting_per_s, self._told_per_s) if rate), default=None)

    def _slow_down(self, number: int, sent_at: float, was_limiting: bool, now: float) -> None:
        accepted: float = number - 1 - self._epoch_number - self._epoch_refused
        elapsed_s = max(sent_at - self._epoch_at, 0.001)
        if self._is_confirmed:  # a short epoch says little, so what was known counts as one second more
            accepted, elapsed_s = accepted + self.rate_per_s, elapsed_s + 1
        estimate = max(accepted, 0.5) / elapsed_s
        if not was_limiting:
            estimate = max(estimate, self.rate_per_s * BLIND_DECREASE)
        elif self.source != "guess":
            estimate = max(estimate, self.rate_per_s * DECREASE)
            self._is_confirmed = True
        self.source = "learnt"
        self._refit(max(SLOWEST_PER_S, min(estimate, self.rate_per_s)), now)
        self._bucket.set_level(min(self._bucket.level(now), 0.0) - RESERVE, now)
        if self._epoch_is_rough or sent_at - self._epoch_at > EPOCH_S:
            self._epoch_at, self._epoch_number, self._epoch_refused = sent_at, number, 0
            self._epoch_is_rough = False

    def _grow(self, now: float) -> None:
        """Go a little faster after a request that waited for this budget; never above what was given or told."""
        elapsed_s = min(now - self._taken_at, 2 / self.rate_per_s)
        if self.source not in ("guess", "learnt"):
            return
        growth = BLIND_GROWTH
        if self._is_confirmed:
            growth = min(growth, LEARNT_GROWTH * (1 + ((now - self._refused_at) / PATIENCE_S) ** 2))
        rate = self.rate_per_s * math.exp(growth * elapsed_s)
        ceiling = self._ceiling_per_s
        if ceiling and rate >= ceiling:
            rate, self.source = ceiling, "headers" if ceiling == self._told_per_s else "settings"
        self._refit(rate, now)

    def _refit(self, rate_per_s: float, now: float) -> None:
        if self.source == "guess":
            burst = FIRST_BURST
        elif self.source == "headers" and self._seen_burst:
            burst = max(1.0, self._seen_burst)
        else:
            burst = max(1.0, rate_per_s * SAVED_UP_S)
        self._bucket.refit(rate_per_s, burst, now)

    def _start_epoch(self, now: float) -> None:
        """Count from here. The server's bucket is not empty but full, presumably with a second's worth."""
        self._epoch_at = now - SAVED_UP_S
        self._epoch_number = self._taken
        self._epoch_refused = 0
        self._epoch_is_rough = True
