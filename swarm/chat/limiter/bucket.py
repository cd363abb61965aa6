"""A continuous budget. Pure: every instant is an argument, in seconds of any monotonic clock."""

from __future__ import annotations


class Bucket:
    """A budget that refills at `rate_per_s` up to `burst`; in any window of T seconds it gives out burst + rate·T.

    The token bucket, which decides exactly as GCRA does (ITU-T I.371, the "continuous-state leaky bucket"). An
    amount above `burst` is given out when the bucket is full, and leaves a debt that later amounts wait for.
    """

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._level = burst
        self._at = now

    def level(self, now: float) -> float:
        """What is there; negative while in debt."""
        return min(self.burst, self._level + max(0.0, now - self._at) * self.rate_per_s)

    def ready_at(self, amount: float, now: float) -> float:
        """The instant from which `amount` can be taken; not after `now` if it can be taken at once."""
        return now + (min(amount, self.burst) - self.level(now)) / self.rate_per_s

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, whether it is there or not; a negative one gives back."""
        self.set_level(self.level(now) - amount, now)

    def set_level(self, level: float, now: float) -> None:
        self._level = level
        self._at = max(self._at, now)

    def refit(self, rate_per_s: float, burst: float, now: float) -> None:
        """Change the rate and the size from `now` on; what is there stays, as far as it fits."""
        level = self.level(now)
        self.rate_per_s, self.burst = rate_per_s, burst
        self.set_level(min(level, burst), now)
