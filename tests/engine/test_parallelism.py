"""The NFR-1 verdict: a serial run can never pass, a perfectly parallel one always does, and silence has a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.engine.parallelism import Chain, NodeTime, Parallelism, longest_chain, measure

START = datetime(2026, 1, 1, tzinfo=UTC)
seconds = st.floats(min_value=0.001, max_value=100_000)


def node(start_s: float, end_s: float, *, work_s: float | None = None) -> NodeTime:
    """A node that ran between two instants; it worked all the time unless `work_s` says less."""
    started_at, finished_at = START + timedelta(seconds=start_s), START + timedelta(seconds=end_s)
    return NodeTime(started_at, finished_at, (finished_at - started_at).total_seconds() if work_s is None else work_s)


def verdict(nodes: list[NodeTime]) -> Parallelism:
    return measure(nodes, stories=len(nodes), developers=len(nodes), was_reopened=False)


def one_after_another(lengths_and_gaps: list[tuple[float, float]]) -> list[NodeTime]:
    nodes: list[NodeTime] = []
    at_s = 0.0
    for length_s, gap_s in lengths_and_gaps:
        nodes.append(node(at_s, at_s + length_s))
        at_s = (nodes[-1].finished_at - START).total_seconds() + gap_s
    return nodes


@given(st.lists(st.tuples(seconds, st.just(0.0) | seconds), min_size=2, max_size=8))
@example([(0.1, 0.0), (0.2, 0.0)])
@example([(1.0, 0.0)] * 5)
@example([(100_000.0, 0.0), (0.001, 0.0)])
def test_nodes_that_ran_one_after_another_are_never_verified(lengths_and_gaps: list[tuple[float, float]]) -> None:
    nodes = one_after_another(lengths_and_gaps)
    assert all(later.started_at >= earlier.finished_at for earlier, later in pairwise(nodes))
    result = verdict(nodes)
    assert (result["verified"], result["reason"]) == (False, None)


@given(lengths_s=st.lists(seconds, min_size=2, max_size=8), share=st.floats(min_value=0.01, max_value=1.001))
@example([1.0, 1.0], 1.001)
def test_neither_waits_nor_clocks_that_differ_make_a_serial_run_pass(lengths_s: list[float], share: float) -> None:
    """Work is measured on the monotonic clock, makespan on the wall's, which may be slower."""
    serial = one_after_another([(length_s, 0.0) for length_s in lengths_s])
    assert verdict([NodeTime(it.started_at, it.finished_at, it.work_s * share) for it in serial])["verified"] is False


@given(count=st.integers(min_value=2, max_value=50), length_s=seconds)
def test_nodes_that_ran_all_at_once_are_verified(count: int, length_s: float) -> None:
    result = verdict([node(0, length_s)] * count)
    assert (result["verified"], result["reason"]) == (True, None)
    assert result["ratio"] == pytest.approx(1)
    assert result["speedup"] == pytest.approx(count)
    assert result["critical_path"] == pytest.approx(1)


@given(count=st.integers(min_value=2, max_value=50), length_ms=st.integers(min_value=1, max_value=100_000_000))
def test_nodes_that_waited_for_each_other_are_not_verified_although_all_were_there_at_once(
    count: int, length_ms: int
) -> None:
    length_s = length_ms / 1000
    result = verdict([node(0, length_s * (number + 1), work_s=length_s) for number in range(count)])
    assert result["ratio"] == pytest.approx(count)
    assert result["verified"] is False


def test_the_numbers_are_those_of_the_contract() -> None:
    nodes = [node(0, 10, work_s=6), node(1, 5, work_s=2), node(2, 12, work_s=4)]
    assert verdict(nodes) == Parallelism(
        single_story=4, makespan=12, ratio=3, speedup=1, critical_path=2, verified=False, reason=None
    )


def test_a_ratio_of_exactly_two_does_not_pass() -> None:
    assert verdict([node(0, 2, work_s=1), node(0, 2, work_s=1)])["verified"] is False
    assert verdict([node(0, 1.999, work_s=1), node(0, 1.999, work_s=1)])["verified"] is True


@pytest.mark.parametrize(
    ("nodes", "stories", "developers", "was_reopened", "reason"),
    [
        ([], 0, 1, False, "Fewer than two stories were completed."),
        ([node(0, 1)], 5, 5, False, "Fewer than two stories were completed."),
        ([node(0, 1)] * 3, 3, 2, False, "2 developers for 3 stories: some had to wait for a free developer."),
        ([node(0, 1)] * 2, 3, 2, False, "2 developers for 3 stories: some had to wait for a free developer."),
        ([node(0, 1)] * 2, 2, 2, True, "Nodes were retried after the execution had ended."),
        ([node(0, 1, work_s=0)] * 2, 2, 2, False, "No work was measured."),
    ],
)
def test_where_the_times_say_nothing_there_is_a_reason_instead_of_a_verdict(
    nodes: list[NodeTime], stories: int, developers: int, was_reopened: bool, reason: str
) -> None:
    result = measure(nodes, stories=stories, developers=developers, was_reopened=was_reopened)
    assert (result["verified"], result["reason"]) == (None, reason)


def test_numbers_are_given_even_where_no_verdict_is() -> None:
    result = measure([node(0, 2)], stories=1, developers=1, was_reopened=False)
    assert [result[key] for key in ("single_story", "makespan", "ratio")] == [2, 2, 1]
    nothing = measure([], stories=1, developers=1, was_reopened=False)
    assert [nothing[key] for key in ("single_story", "makespan", "ratio", "speedup", "critical_path")] == [None] * 5


def test_failed_stories_do_not_hinder_a_verdict_on_the_completed_ones() -> None:
    assert measure([node(0, 1)] * 2, stories=5, developers=5, was_reopened=False)["verified"] is True


@given(st.lists(seconds, min_size=2, max_size=8), st.booleans())
def test_stories_that_depend_on_each_other_get_neither_a_true_nor_a_false_verdict(
    lengths_s: list[float], at_once: bool
) -> None:
    nodes = (
        [node(0, length_s) for length_s in lengths_s] if at_once else one_after_another([(it, 0) for it in lengths_s])
    )
    chain = Chain(("1.1", "1.2"), 7.25)
    result = measure(nodes, stories=len(nodes), developers=len(nodes), was_reopened=False, chain=chain)
    assert result["verified"] is None
    assert result["reason"] == (
        "Dependencies put the stories in an order. The longest chain of them, 1.1 → 1.2, took 7.2 s of work."
    )
    assert result["ratio"] == verdict(nodes)["ratio"]


def test_the_longest_chain_is_the_one_with_the_most_work_not_with_the_most_stories() -> None:
    works_s = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 8.0, "e": 0.5}
    depends_on = {"b": ["a"], "c": ["b", "a"], "d": ["a"], "e": ["c", "gone"]}
    assert longest_chain(works_s, depends_on) == Chain(("a", "d"), 9.0)
    assert longest_chain({"a": 1.0}, {}) == Chain(("a",), 1.0)
    assert longest_chain({}, {"b": ["a"]}) == Chain((), 0.0)


@given(st.lists(st.floats(min_value=0, max_value=1000), min_size=1, max_size=8))
def test_in_one_chain_all_the_work_counts(works_s: list[float]) -> None:
    by_story = {str(number): work_s for number, work_s in enumerate(works_s)}
    depends_on = {str(number): [str(number - 1)] for number in range(1, len(works_s))}
    chain = longest_chain(by_story, depends_on)
    assert chain.work_s == pytest.approx(sum(works_s))
    assert chain.stories == tuple(by_story)[: len(chain.stories)]
