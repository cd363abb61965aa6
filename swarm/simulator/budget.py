"""The simulator's own rate limit, and the headers that tell it as OpenAI's servers do.

A token bucket for requests and one for tokens. Pure: the clock's reading comes in as an argument, the caller keeps
two threads from using a budget at once.
"""

from __future__ import annotations

import math


class Bucket:
    """A bucket that holds `capacity` and fills up by `per_minute` every minute; 0 a minute means no limit."""

    def __init__(self, per_minute: int, capacity: int, at: float) -> None:
        self.per_minute = per_minute
        self._capacity = capacity
        self._level = float(capacity)
        self._at = at

    def wait_s(self, amount: int, at: float) -> float:
        """Seconds from the instant `at` until `amount` can be taken. More than ever fits counts as a full bucket."""
        if not self.per_minute:
            return 0.0
        self._level = min(self._capacity, self._level + (at - self._at) * self.per_minute / 60)
        self._at = at
        missing = min(amount, self._capacity) - self._level
        return max(0.0, missing * 60 / self.per_minute)

    def take(self, amount: int) -> None:
        """Take `amount`, or all there is; right after `wait_s` said 0."""
        if self.per_minute:
            self._level = max(0.0, self._level - amount)

    def owe(self, amount: int) -> None:
        """Take `amount` although it is not there; the debt grows to a minute's worth at most."""
        if self.per_minute:
            self._level = max(-float(self.per_minute), self._level - amount)

    def headers(self, unit: str) -> dict[str, str]:
        """`x-ratelimit-*` for `unit` as of the last look; none if there is no limit."""
        if not self.per_minute:
            return {}
        full_in_s = (self._capacity - self._level) * 60 / self.per_minute
        return {
            f"x-ratelimit-limit-{unit}": str(self.per_minute),
            f"x-ratelimit-remaining-{unit}": str(max(0, math.floor(self._level))),
            f"x-ratelimit-reset-{unit}": f"{full_in_s:.3f}s",
        }


class Budget:
    """Requests and tokens a minute of one server."""

    def __init__(self, *, rpm: int, tpm: int, burst: int, charges_rejected: bool, at: float) -> None:
        self._requests = Bucket(rpm, burst or rpm, at)
        self._tokens = Bucket(tpm, tpm, at)
        self._charges_rejected = charges_rejected

    def spend(self, tokens: int, at: float) -> tuple[str, float]:
        """Take one request of `tokens` tokens if both budgets allow.

        Returns the unit that is short ("" if none) and the seconds until it is not.
        """
        waits = {"requests": self._requests.wait_s(1, at), "tokens": self._tokens.wait_s(tokens, at)}
        unit = max(waits, key=waits.__getitem__)
        if waits[unit] > 0:
            self.reject()
            return unit, max(waits[unit], self._requests.wait_s(1, at))
        self._requests.take(1)
        self._tokens.take(tokens)
        return "", 0.0

    def reject(self) -> None:
        """Count a request that was turned away, for whatever reason, if such ones count."""
        if self._charges_rejected:
            self._requests.owe(1)

    def limit(self, unit: str) -> int:
        """The budget of `unit` a minute."""
        return (self._requests if unit == "requests" else self._tokens).per_minute

    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` headers as of the last `spend`."""
        return self._requests.headers("requests") | self._tokens.headers("tokens")
