"""Bars that stay within their chart and show what they are given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.web.charts import HEIGHT, WIDTH, round_up, stacked

COUNTS = st.integers(0, 10**9)


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=60))
def test_bars_lie_within_the_chart_on_top_of_each_other_in_proportion(columns: list[tuple[int, int]]) -> None:
    lower, upper = ([column[at] for column in columns] for at in (0, 1))
    chart = stacked([("lower", lower), ("upper", upper)])
    assert chart.top >= max(sum(column) for column in columns)
    assert len(chart.bars) == sum(bool(value) for column in columns for value in column)
    for bar in chart.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH + 0.01
        assert bar.y >= -0.01
        assert bar.y + bar.height <= HEIGHT + 0.01
    shown = sum(bar.height for bar in chart.bars)
    assert shown == pytest.approx(HEIGHT * sum(map(sum, columns)) / chart.top, abs=0.01 * len(chart.bars) + 0.01)


def test_a_chart_of_nothing_is_empty() -> None:
    assert stacked([("calls", [0, 0, 0])]).is_empty


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (10, 10), (11, 20), (99, 100), (101, 200), (4_999, 5_000)],
)
def test_the_scale_ends_at_a_round_number(value: int, top: int) -> None:
    assert round_up(value) == top
