"""The limiter's throughput over the last minutes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.chat.limiter.history import INTERVALS, History


def test_counts_stand_in_the_interval_in_which_they_were_made() -> None:
    history = History()
    history.answered(100, 1000.0)
    history.answered(50, 1009.9)
    history.refused(1010.0)
    state = history.state(1025.0)
    assert (state["calls"][-3:], state["refused"][-3:], state["tokens"][-3:]) == ([2, 0, 0], [0, 1, 0], [150, 0, 0])
    assert len(state["calls"]) == INTERVALS


@given(st.lists(st.floats(0.0, 100.0), max_size=200))
def test_it_keeps_no_more_than_it_shows(pauses: list[float]) -> None:
    history, now = History(), 0.0
    for pause_s in pauses:
        now += pause_s
        history.answered(1, now)
        assert len(history.rows) <= INTERVALS
        assert sum(history.state(now)["calls"]) == sum(row[1] for row in history.rows)
