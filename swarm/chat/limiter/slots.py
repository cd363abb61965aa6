"""How many calls may be in flight at once: unbounded until upstream refuses, then AIMD. Pure.

Additive increase, multiplicative decrease (Chiu & Jain, 1989). A refusal for *too many at once* is more precise than
congestion: the level at which it happened less one is what upstream takes. One more is tried after a while; the while
doubles each time that the try is refused.
"""

from __future__ import annotations

from swarm.chat.limiter.queue import Ticket

DECREASE = 0.7
FIRST_PROBE_S = 5.0
LONGEST_PROBE_S = 300.0


class Slots:
    """Calls in flight and the cap on them; `cap` None means no cap. Instants are monotonic seconds."""

    def __init__(self, setting: int | None, now: float) -> None:
        self._setting = setting
        self.cap = setting
        self.in_flight = 0
        self._highest_accepted = 0
        self._refused_level = -1
        self._is_level_repeated = False
        self._probe_s = FIRST_PROBE_S
        self._changed_at = now
        self._is_probing = False

    @property
    def source(self) -> str:
        if self.cap is None:
            return "none"
        return "settings" if self.cap == self._setting else "learnt"

    @property
    def is_full(self) -> bool:
        return self.cap is not None and self.in_flight >= self.cap

    def take(self, ticket: Ticket) -> None:
        self.in_flight += 1
        ticket.level = self.in_flight

    def release(self, ticket: Ticket, *, is_accepted: bool, now: float) -> None:
        """Free the slot of a call that ended; an accepted one at the cap may raise it."""
        was_full = self.is_full
        self.in_flight -= 1
        if not is_accepted:
            return
        self._highest_accepted = max(self._highest_accepted, ticket.level)
        is_capped = self.cap is not None and self.cap != self._setting
        if is_capped and was_full and now - self._changed_at >= self._probe_s:
            self._set_cap((self.cap or 0) + 1, now)
            self._is_probing = True

    def looks_full(self, ticket: Ticket, *, is_first: bool) -> bool:
        """Whether an unexplained refusal is about too many at once: twice running at one level, never accepted at it.

        A refusal for going too fast comes at any level.
        """
        if is_first:
            level_before, self._refused_level = self._refused_level, ticket.level
            self._is_level_repeated = ticket.level == level_before
        return self._is_level_repeated and ticket.level > self._highest_accepted

    def refused(self, ticket: Ticket, *, is_first: bool, now: float) -> None:
        """Too many at once: take one less than there were. Each of a burst's refusals may lower it further."""
        if is_first and self._is_probing:
            self._probe_s = min(LONGEST_PROBE_S, self._probe_s * 2)
        self._is_probing = False
        cap = max(1, ticket.level - 1)
        self._set_cap(cap if self.cap is None else min(cap, self.cap), now)
        self._highest_accepted = min(self._highest_accepted, cap)

    def shrink(self, now: float) -> None:
        """Congestion: multiply by 0.7, once for each burst."""
        self._set_cap(max(1, int((self.in_flight + 1) * DECREASE)), now)

    def _set_cap(self, cap: int, now: float) -> None:
        self.cap = cap if self._setting is None else min(cap, self._setting)
        self._changed_at = now
