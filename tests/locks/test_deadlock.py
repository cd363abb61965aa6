"""The search for a circle, against an oracle that tries every way there is."""

from __future__ import annotations

from collections.abc import Mapping, Set

from hypothesis import given
from hypothesis import strategies as st

from swarm.locks.deadlock import find_deadlock

NAMES = range(7)
graphs = st.dictionaries(st.sampled_from(NAMES), st.frozensets(st.sampled_from(NAMES), max_size=4))


def is_in_a_circle(waits_for: Mapping[int, Set[int]], start: int) -> bool:
    """Whether `start` reaches itself: the transitive closure, grown until it grows no more."""
    reached: set[int] = set(waits_for.get(start, ()))
    while True:
        further = reached.union(*(waits_for.get(name, ()) for name in reached))
        if further == reached:
            return start in reached
        reached = further


@given(waits_for=graphs, start=st.sampled_from(NAMES))
def test_a_circle_is_found_exactly_when_there_is_one(waits_for: Mapping[int, Set[int]], start: int) -> None:
    assert bool(find_deadlock(waits_for, start)) == is_in_a_circle(waits_for, start)


@given(waits_for=graphs, start=st.sampled_from(NAMES))
def test_each_of_a_circle_waits_for_the_next_and_the_last_for_the_first(
    waits_for: Mapping[int, Set[int]], start: int
) -> None:
    circle = find_deadlock(waits_for, start)
    assert all(later in waits_for[earlier] for earlier, later in zip(circle, [*circle[1:], *circle[:1]], strict=True))
    assert len(set(circle)) == len(circle)
    assert circle[:1] in ([], [start])


def test_a_circle_that_does_not_hold_the_start_is_no_deadlock_of_it() -> None:
    assert find_deadlock({"a": {"b"}, "b": {"c"}, "c": {"b"}}, "a") == []


def test_waiting_for_oneself_is_a_circle_of_one() -> None:
    assert find_deadlock({"a": {"a"}}, "a") == ["a"]


def test_a_circle_longer_than_the_call_stack_is_found() -> None:
    length = 100_000
    assert find_deadlock({name: {(name + 1) % length} for name in range(length)}, 0) == list(range(length))
