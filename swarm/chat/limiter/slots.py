"""How many calls may be in flight at once: unbounded until upstream refuses, then AIMD. Pure.

Additive increase, multiplicative decrease (Chiu & Jain, 1989). A refusal for *too many at once* is more precise than
congestion: as many as stayed in flight are what upstream takes. One more is tried after a while; the while doubles
each time that the try is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarm.chat.limiter.queue import Ticket

DECREASE = 0.7
FIRST_PROBE_S = 5.0
LONGEST_PROBE_S = 300.0
# So many bursts of unexplained refusals in a row must begin at one level before they are put down to it.
TIMES_TO_BELIEVE = 3


@dataclass
class Slots:
    """Calls in flight and the cap on them; `cap` None means no cap. Instants are seconds of one clock.

    `is_inferred`: upstream did not say that the cap is one. `highest_accepted` is since the last burst of refusals.
    """

    setting: int | None
    cap: int | None
    changed_at: float
    in_flight: int = 0
    highest_accepted: int = 0
    refused_level: int = 0
    times_refused: int = 0
    probe_s: float = FIRST_PROBE_S
    is_probing: bool = False
    is_inferred: bool = False

    @property
    def source(self) -> str:
        if self.cap is None:
            return "none"
        return "settings" if self.cap == self.setting else "learnt"

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
        self.highest_accepted = max(self.highest_accepted, ticket.level)
        if self.cap is None or self.cap == self.setting:
            return
        if self.is_inferred and self.is_probing and ticket.level >= self.cap:
            self.cap, self.is_inferred = self.setting, False  # it took more, so what was supposed is wrong
        elif was_full and now - self.changed_at >= self.probe_s:
            self._set_cap(self.cap + 1, now)
            self.is_probing = True

    def looks_full(self, ticket: Ticket, *, is_first: bool) -> bool:
        """Whether unexplained refusals are about too many at once: all began at one level, none was accepted there.

        A server for which calls come too fast refuses at any level, sooner or later at one that it took before.
        """
        if is_first:
            is_repeated = ticket.level == self.refused_level > self.highest_accepted
            self.times_refused = self.times_refused + 1 if is_repeated or self._is_probe(ticket) else 1
            self.refused_level, self.highest_accepted = ticket.level, 0
        return self.times_refused >= TIMES_TO_BELIEVE

    def _is_probe(self, ticket: Ticket) -> bool:
        """Whether it tried, or left with what tried, whether a supposed cap is one."""
        return self.is_inferred and self.is_probing and self.cap is not None and ticket.level >= self.cap - 1

    def refused(self, ticket: Ticket, *, is_first: bool, is_inferred: bool, now: float) -> None:
        """Too many at once: allow as many as are left in flight. Each of a burst's refusals may lower it further."""
        if is_first and self.is_probing:
            self.probe_s = min(LONGEST_PROBE_S, self.probe_s * 2)
        self.is_probing, self.is_inferred = False, is_inferred
        cap = max(1, ticket.level - 1, self.in_flight)
        self._set_cap(cap if self.cap is None else min(cap, self.cap), now)

    def shrink(self, now: float) -> None:
        """Congestion: multiply by 0.7, once for each burst."""
        self.is_inferred = False
        self._set_cap(max(1, int((self.in_flight + 1) * DECREASE)), now)

    def divide(self, parts: int) -> None:
        """Keep one of `parts` equal parts, but one slot at least."""
        self.setting = self.setting and max(1, self.setting // parts)
        self.cap = self.cap and max(1, self.cap // parts)

    def _set_cap(self, cap: int, now: float) -> None:
        self.cap = min(cap, self.setting or cap)
        self.changed_at = now
