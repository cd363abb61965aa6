"""The map of files and time: bars that lie where they belong, inside the map, and hide no other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.locks.history import ExecutionHistory, FileHistory, Hold
from swarm.models import Conflict, Execution, FileLock, Node
from swarm.web.lock_map import HOLD_PX, MOST_TICKS, draw_map, lanes, ticks

START = datetime(2026, 1, 1, tzinfo=UTC)
SPANS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), max_size=30)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def history_of(
    waits: list[tuple[int, int]],
    holds: Sequence[tuple[int, int]] = (),
    *,
    lasts: int = 1300,
) -> ExecutionHistory:
    """One file's history; a wait or a hold is its beginning and how long it takes, in seconds."""
    execution = Execution(started_at=START)
    node = Node(execution=execution, number=9, story_id="1.1")
    lock = FileLock(path="a.py")
    rows = [
        Conflict(lock=lock, path="a.py", node=node, held_by="ada", asked_at=at(begin), ended_at=at(begin + length))
        for begin, length in sorted(waits)
    ]
    taken = [Hold("ada", None, at(begin), at(begin + length)) for begin, length in holds]
    return ExecutionHistory(execution, START, at(lasts), [FileHistory("a.py", taken, rows)], 0)


@given(SPANS)
def test_waits_in_one_lane_do_not_overlap_and_no_lane_is_wasted(spans: list[tuple[int, int]]) -> None:
    times = [(at(begin), at(begin + length)) for begin, length in sorted(spans)]
    chosen = lanes(times)
    for number, (span, lane) in enumerate(zip(times, chosen, strict=True)):
        for earlier, other in zip(times[:number], chosen[:number], strict=True):
            assert lane != other or earlier[1] <= span[0]
    busiest = max((sum(a <= begin < b or a == begin for a, b in times) for begin, _ in times), default=0)
    assert max(chosen, default=-1) + 1 <= busiest


@given(SPANS, SPANS)
def test_every_bar_lies_in_its_row(waits: list[tuple[int, int]], holds: list[tuple[int, int]]) -> None:
    [row] = draw_map(history_of(waits, holds)).rows
    assert len(row.bars) == len(waits) + len(holds)
    for bar in row.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= 100.01
        assert bar.width > 0
        assert 0 <= bar.y <= bar.y + bar.height <= row.height
        assert (bar.y < HOLD_PX) == (bar.kind == "hold")


def test_a_bar_lies_where_its_time_is_and_names_its_developer() -> None:
    [row] = draw_map(history_of([(25, 50)], [(0, 75)], lasts=100)).rows
    hold, wait = row.bars
    assert (hold.x, hold.width, hold.hue, hold.label) == (0, 75, "person", "ada")
    assert (wait.x, wait.width, wait.hue, wait.label) == (25, 50, "1", "9")
    assert hold.title == "ada held a.py for 1 min 15 s, 00:00:00 to 00:01:15 UTC"
    assert row.summary == "a.py: 1 time held, 1 wait; the table has the details"


def test_a_wait_before_the_start_or_in_no_time_at_all_is_still_seen() -> None:
    [row] = draw_map(history_of([(0, 5)], [(3, 0)], lasts=0)).rows
    assert all(0 <= bar.x <= bar.x + bar.width <= 100 and bar.width > 0 for bar in row.bars)


def test_a_node_of_another_execution_has_no_colour_of_its_own() -> None:
    history = history_of([], [(0, 5)])
    stranger = Node(execution=Execution(), number=1, story_id="1.1")
    history.files[0].holds[0] = Hold("developer-1", stranger, at(0), at(5))
    assert draw_map(history).rows[0].bars[0].hue == "other"


@pytest.mark.parametrize(
    ("span_s", "labels"),
    [
        (0, ["0 s"]),
        (0.5, ["0 s"]),
        (5, ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]),
        (100, ["0 s", "30 s", "1 min 00 s", "1 min 30 s"]),
        (7200, ["0 s", "30 min 00 s", "1 h 00 min", "1 h 30 min", "2 h 00 min"]),
    ],
)
def test_marks_are_round_numbers_apart(span_s: float, labels: list[str]) -> None:
    assert [tick.label for tick in ticks(span_s)] == labels


@given(st.floats(0, 10**7))
def test_marks_are_few_and_within_the_map(span_s: float) -> None:
    marks = ticks(span_s)
    assert 1 <= len(marks) <= MOST_TICKS + 1
    assert all(0 <= mark.x <= 100 for mark in marks)
