"""The token budget: reserved before a call by an estimate, settled after it by what was used. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarm.chat.limiter.bucket import Bucket
from swarm.chat.limiter.headers import Quota
from swarm.chat.limiter.queue import Ticket

SAVED_UP_S = 6.0


@dataclass
class TokenBudget:
    """Tokens a second, if a limit is given or told; without one, `bucket` is None and nothing is held back."""

    setting_per_s: float | None
    bucket: Bucket | None
    source: str = "settings"
    granted: int = 0

    @classmethod
    def starting(cls, setting_per_s: float | None, now: float) -> TokenBudget:
        return cls(setting_per_s, _bucket(setting_per_s, now) if setting_per_s else None)

    @classmethod
    def load(cls, saved: dict[str, Any]) -> TokenBudget:
        """The inverse of `save`."""
        return cls(**(saved | {"bucket": Bucket(**saved["bucket"]) if saved["bucket"] else None}))

    def save(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return vars(self) | {"bucket": self.bucket and vars(self.bucket)}

    def ready_at(self, ticket: Ticket, now: float) -> float:
        """The instant from which the tokens of `ticket` can be reserved."""
        return self.bucket.ready_at(ticket.tokens, now) if self.bucket else now

    def reserve(self, ticket: Ticket, now: float) -> None:
        self.granted += ticket.tokens
        ticket.tokens_granted = self.granted
        if self.bucket:
            self.bucket.take(ticket.tokens, now)

    def settle(self, ticket: Ticket, used: int, now: float) -> None:
        """Replace what was reserved by what was used."""
        if self.bucket:
            self.bucket.take(used - ticket.tokens, now)

    def told(self, quota: Quota, ticket: Ticket, now: float) -> None:
        """Learn from the headers of the answer to `ticket`; never above the setting."""
        rate = min(quota.rate_per_s, self.setting_per_s or quota.rate_per_s)
        self.source = "headers" if rate == quota.rate_per_s else "settings"
        if self.bucket is None:
            self.bucket = _bucket(rate, now)
        self.bucket.refit(rate, max(self.bucket.burst, quota.remaining or 0), now)
        if quota.remaining is not None:
            spent_since = self.granted - ticket.tokens_granted
            refilled = (now - ticket.sent_at) * rate
            self.bucket.set_level(quota.remaining - spent_since + refilled, now)

    def divide(self, parts: int) -> None:
        """Keep one of `parts` equal parts."""
        self.setting_per_s = self.setting_per_s and self.setting_per_s / parts
        if self.bucket:
            self.bucket.divide(parts)

    def state(self, now: float) -> dict[str, Any] | None:
        """The limit and what is left of it, ready for JSON."""
        if self.bucket is None:
            return None
        return {
            "value": round(self.bucket.rate_per_s * 60, 2),
            "available": round(self.bucket.level(now)),
            "source": self.source,
        }


def _bucket(rate_per_s: float, now: float) -> Bucket:
    return Bucket.full(rate_per_s, rate_per_s * SAVED_UP_S, now)
