"""The one gate that a refusal closes for everybody, and what belongs to one burst of refusals. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0


@dataclass
class Gate:
    """Closed until `paused_until`. Refusals of calls that left before `closed_at` belong to one burst.

    `is_overload`: it is closed since upstream has too much to do, not since it is asked too much.
    """

    paused_until: float
    closed_at: float
    bursts: int = 0
    bursts_in_a_row: int = 0
    is_overload: bool = False

    def is_new_burst(self, sent_at: float) -> bool:
        return sent_at > self.closed_at

    def begin_burst(self, now: float) -> None:
        self.closed_at = now
        self.bursts += 1
        self.bursts_in_a_row += 1

    def backoff_s(self) -> float:
        """How long to pause when upstream does not say: doubling with each burst that no answer came between."""
        return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(max(0, self.bursts_in_a_row - 1), 10)))

    def pause(self, until: float, now: float, *, is_overload: bool) -> bool:
        """Close until then; False if it is closed for longer anyway."""
        if until <= max(now, self.paused_until):
            return False
        self.paused_until, self.is_overload = until, is_overload
        return True
