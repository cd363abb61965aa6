"""How much went through in the last minutes, in intervals of ten seconds, for the limiter's chart. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

INTERVAL_S = 10.0
INTERVALS = 30


@dataclass
class History:
    """One row for each interval in which something happened: its number, calls answered, calls refused, tokens used."""

    rows: list[list[int]] = field(default_factory=list)

    def answered(self, tokens: int, now: float) -> None:
        row = self._row(now)
        row[1] += 1
        row[3] += tokens

    def refused(self, now: float) -> None:
        self._row(now)[2] += 1

    def state(self, now: float) -> dict[str, Any]:
        """Counts by interval, the oldest first and the current one last; ready for JSON."""
        current = int(now // INTERVAL_S)
        rows = {row[0]: row for row in self.rows}
        last = [rows.get(number, [number, 0, 0, 0]) for number in range(current - INTERVALS + 1, current + 1)]
        return {
            "interval_s": INTERVAL_S,
            "calls": [row[1] for row in last],
            "refused": [row[2] for row in last],
            "tokens": [row[3] for row in last],
        }

    def _row(self, now: float) -> list[int]:
        number = int(now // INTERVAL_S)
        if not self.rows or self.rows[-1][0] < number:
            self.rows = [row for row in self.rows if row[0] > number - INTERVALS] + [[number, 0, 0, 0]]
        return self.rows[-1]
