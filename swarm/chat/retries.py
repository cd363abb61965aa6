"""Whether and when a failed call is sent again. Pure: the decision is a value, chance an argument."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.chat.errors import ChatError, RateLimited


@dataclass(frozen=True)
class Retry:
    """Send it again after `after_s` seconds."""

    after_s: float


@dataclass(frozen=True)
class RetryPolicy:
    """Full jitter: uniform in [0, min(cap_s, base_s · 2ⁿ)] before retry n (from 0); `Retry-After` is a floor.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; RFC 9110, 10.2.3.
    """

    max_retries: int = 5
    base_s: float = 0.5
    cap_s: float = 20.0

    def decide(self, error: ChatError, *, retries: int, left_s: float, chance: float) -> Retry | None:
        """What to do about `error` after `retries` retries with `left_s` seconds to go; None is to give up.

        After a 429 the limiter does the waiting, so it goes back to the queue at once and as often as time allows.
        """
        if isinstance(error, RateLimited):
            return Retry(0.0) if left_s > 0 else None
        if not error.retryable or retries >= self.max_retries:
            return None
        after_s = max(chance * min(self.cap_s, self.base_s * 2**retries), error.told.retry_after_s or 0.0)
        return Retry(after_s) if after_s < left_s else None
