"""The map of files and time as numbers for SVGs: a row a file, across it time; holds above, waits below. Pure.

Places along the time are percent of the row's width, so that rows fit every screen without bending their text; heights
are pixels. The templates draw it, the style sheet colours it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from swarm.locks.history import ExecutionHistory, FileHistory, Hold
from swarm.models import Conflict, Node
from swarm.templatetags.pages import clock, duration, words

HUES = 8
"""How many colours tell developers apart; their names tell the rest."""
HOLD_PX, WAIT_PX, GAP_PX = 22, 14, 3
LEAST_PERCENT = 0.4
"""What is shorter is drawn this wide, or nobody would see it."""
MOST_TICKS = 6
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


@dataclass(frozen=True)
class Bar:
    """A stretch of time: where it lies, what colours it, what it tells on hover.

    `label` stands on it, as far as there is room: a developer's number, for a name cut off would be another's.
    """

    kind: str
    hue: str
    x: float
    width: float
    y: int
    height: int
    label: str
    title: str


@dataclass(frozen=True)
class Row:
    """One file's bars."""

    path: str
    height: int
    bars: list[Bar]
    summary: str


@dataclass(frozen=True)
class Tick:
    x: float
    label: str


@dataclass(frozen=True)
class LockMap:
    rows: list[Row]
    ticks: list[Tick]


def draw_map(history: ExecutionHistory) -> LockMap:
    """Every file of `history` as a row of bars over the execution's time."""
    return LockMap(
        rows=[_row(file, history) for file in history.files],
        ticks=ticks((history.ends_at - history.begins_at).total_seconds()),
    )


def ticks(span_s: float) -> list[Tick]:
    """At most `MOST_TICKS` + 1 marks from the start on, a round number of seconds apart."""
    step = next((step for step in STEPS_S if span_s / step <= MOST_TICKS), span_s / MOST_TICKS)
    count = int(span_s / step) if span_s else 0
    return [
        Tick(round(100 * number * step / span_s, 2) if number else 0.0, clock(number * step))
        for number in range(count + 1)
    ]


def lanes(spans: Sequence[tuple[datetime, datetime]]) -> list[int]:
    """A lane for each of these spans, in the order of their beginnings, so that no two in a lane overlap."""
    free_at: list[datetime] = []
    chosen = []
    for begins_at, ends_at in spans:
        lane = next((number for number, free in enumerate(free_at) if free <= begins_at), len(free_at))
        free_at[lane : lane + 1] = [ends_at]
        chosen.append(lane)
    return chosen


def _row(file: FileHistory, history: ExecutionHistory) -> Row:
    spans = [(wait.asked_at, wait.ended_at or history.ends_at) for wait in file.waits]
    chosen = lanes(spans)
    bars = [_hold_bar(file.path, hold, history) for hold in file.holds]
    bars += [_wait_bar(wait, lane, history) for wait, lane in zip(file.waits, chosen, strict=True)]
    height = HOLD_PX + (GAP_PX + WAIT_PX) * (max(chosen, default=-1) + 1)
    counts = f"{_times(len(file.holds), 'time')} held, {_times(len(file.waits), 'wait')}"
    return Row(file.path, height, bars, f"{file.path}: {counts}; the table has the details")


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _hold_bar(path: str, hold: Hold, history: ExecutionHistory) -> Bar:
    x, width = _place(hold.begins_at, hold.ends_at, history)
    title = f"{hold.holder} held {path} for {duration(hold.lasted)}, {_span(hold)}"
    label = str(hold.node.number) if hold.node else hold.holder
    return Bar("hold", _hue(hold.node, history), x, width, 0, HOLD_PX, label, title)


def _wait_bar(wait: Conflict, lane: int, history: ExecutionHistory) -> Bar:
    x, width = _place(wait.asked_at, wait.ended_at or history.ends_at, history)
    title = (
        f"{wait.node} wanted {wait.path}, held by {wait.held_by}: {words(wait.outcome)} after {duration(wait.waited)}"
    )
    y = HOLD_PX + GAP_PX + lane * (WAIT_PX + GAP_PX)
    return Bar("wait", _hue(wait.node, history), x, width, y, WAIT_PX, str(wait.node.number), title)


def _place(begins_at: datetime, ends_at: datetime, history: ExecutionHistory) -> tuple[float, float]:
    """Where a stretch of time begins and how wide it is, in percent of the execution's time."""
    span = (history.ends_at - history.begins_at) or timedelta(microseconds=1)
    left, right = (min(100.0, max(0.0, 100 * ((at - history.begins_at) / span))) for at in (begins_at, ends_at))
    width = max(LEAST_PERCENT, right - left)
    return round(min(left, 100 - width), 2), round(width, 2)


def _hue(node: Node | None, history: ExecutionHistory) -> str:
    if node is None:
        return "person"
    return str(node.number % HUES) if node.execution_id == history.execution.pk else "other"


def _span(hold: Hold) -> str:
    return f"{hold.begins_at:%H:%M:%S} to {hold.ends_at:%H:%M:%S} UTC"
