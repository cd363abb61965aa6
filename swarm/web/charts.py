"""Bar charts as numbers for an SVG; the template draws them, the style sheet colours them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 120
GAP = 3


@dataclass(frozen=True)
class Bar:
    """A rectangle; `series` names what it counts."""

    series: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """Stacked bars over a scale from 0 to `top`; `is_empty` if there is nothing to see."""

    bars: tuple[Bar, ...]
    top: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_empty(self) -> bool:
        return not self.bars


def stacked(series: Sequence[tuple[str, Sequence[int]]]) -> Chart:
    """A bar for each interval, the series on top of each other in their order; all have the same length."""
    columns = list(zip(*(values for _, values in series), strict=True))
    top = round_up(max((sum(column) for column in columns), default=0))
    step = WIDTH / max(1, len(columns))
    bars = []
    for number, column in enumerate(columns):
        below = 0.0
        for (name, _), value in zip(series, column, strict=True):
            height = HEIGHT * value / top
            if value:
                x, y = number * step + GAP / 2, HEIGHT - below - height
                bars.append(Bar(name, round(x, 2), round(y, 2), round(step - GAP, 2), round(height, 2)))
            below += height
    return Chart(tuple(bars), top)


def round_up(value: int) -> int:
    """The next 1, 2 or 5 times a power of ten: a scale that people can read."""
    magnitude = int(10 ** max(0, math.ceil(math.log10(max(1, value))) - 1))
    return next(it for it in (magnitude, 2 * magnitude, 5 * magnitude, 10 * magnitude) if it >= value)
