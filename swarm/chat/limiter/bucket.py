"""A continuous budget. Pure: every instant is an argument, in seconds of any clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Bucket:
    """A budget that refills at `rate_per_s` up to `burst`; in any window of T seconds it gives out burst + rate·T.

    The token bucket, which decides exactly as GCRA does (ITU-T I.371, the "continuous-state leaky bucket"). An
    amount above `burst` is given out when the bucket is full, and leaves a debt that later amounts wait for.
    `left` is what was there at the instant `at`.
    """

    rate_per_s: float
    burst: float
    left: float
    at: float

    @classmethod
    def full(cls, rate_per_s: float, burst: float, now: float) -> Bucket:
        return cls(rate_per_s, burst, burst, now)

    def level(self, now: float) -> float:
        """What is there; negative while in debt."""
        return min(self.burst, self.left + max(0.0, now - self.at) * self.rate_per_s)

    def ready_at(self, amount: float, now: float) -> float:
        """The instant from which `amount` can be taken; not after `now` if it can be taken at once."""
        return now + (min(amount, self.burst) - self.level(now)) / self.rate_per_s

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, whether it is there or not; a negative one gives back."""
        self.set_level(self.level(now) - amount, now)

    def set_level(self, level: float, now: float) -> None:
        self.left = level
        self.at = max(self.at, now)

    def refit(self, rate_per_s: float, burst: float, now: float) -> None:
        """Change the rate and the size from `now` on; what is there stays, as far as it fits."""
        level = self.level(now)
        self.rate_per_s, self.burst = rate_per_s, burst
        self.set_level(min(level, burst), now)

    def divide(self, parts: int) -> None:
        """Keep one of `parts` equal parts."""
        self.rate_per_s, self.burst, self.left = self.rate_per_s / parts, self.burst / parts, self.left / parts
