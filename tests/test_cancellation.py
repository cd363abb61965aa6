"""The switch that stops a node: thrown once, it ends every sleep."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from swarm.cancellation import Cancellation
from swarm.errors import Cancelled
from tests.factories import PATIENCE_S, in_thread, run_threads


@pytest.fixture
def cancellation() -> Cancellation:
    return Cancellation()


def test_an_unthrown_switch_stops_nothing(cancellation: Cancellation) -> None:
    cancellation.raise_if_cancelled()
    cancellation.wait(0)
    assert (cancellation.is_cancelled, cancellation.reason) == (False, "")


def test_a_thrown_switch_says_why_and_ends_waits_before_they_begin(cancellation: Cancellation) -> None:
    cancellation.cancel("somebody pressed cancel")
    with pytest.raises(Cancelled, match="somebody pressed cancel"):
        cancellation.raise_if_cancelled()
    with pytest.raises(Cancelled, match="somebody pressed cancel"):
        cancellation.wait(10 * PATIENCE_S)
    assert (cancellation.is_cancelled, cancellation.reason) == (True, "somebody pressed cancel")


def test_every_sleeping_thread_is_woken(cancellation: Cancellation) -> None:
    sleepers = [in_thread(lambda: cancellation.wait(10 * PATIENCE_S)) for _ in range(4)]
    cancellation.cancel("stop")
    for sleeper in sleepers:
        assert isinstance(sleeper.exception(PATIENCE_S), Cancelled)


def test_the_first_reason_stays_and_callbacks_run_once(cancellation: Cancellation) -> None:
    calls: list[str] = []
    with cancellation.calling(lambda: calls.append("called")):
        cancellation.cancel("first")
        cancellation.cancel("second")
    assert (cancellation.reason, calls) == ("first", ["called"])


def test_of_8_threads_that_throw_it_at_once_one_does(cancellation: Cancellation) -> None:
    calls: list[str] = []
    with cancellation.calling(lambda: calls.append(cancellation.reason)):
        run_threads([partial(cancellation.cancel, str(number)) for number in range(8)])
    assert calls == [cancellation.reason]


def test_a_callback_of_a_block_that_has_ended_is_not_run(cancellation: Cancellation) -> None:
    calls: list[str] = []
    with cancellation.calling(lambda: calls.append("ended")):
        pass
    with pytest.raises(ZeroDivisionError), cancellation.calling(lambda: calls.append("failed")):
        raise ZeroDivisionError
    cancellation.cancel("stop")
    assert calls == []


def test_a_callback_registered_too_late_runs_at_once(cancellation: Cancellation) -> None:
    cancellation.cancel("stop")
    calls: list[str] = []
    with cancellation.calling(lambda: calls.append("late")):
        assert calls == ["late"]


def test_nested_blocks_of_one_callback_are_told_apart(cancellation: Cancellation) -> None:
    bell = threading.Event()
    with cancellation.calling(bell.set):
        with cancellation.calling(bell.set):
            pass
        cancellation.cancel("stop")
    assert bell.is_set()


def test_a_callback_may_look_at_the_switch(cancellation: Cancellation) -> None:
    def look() -> None:
        with cancellation.calling(lambda: seen.append(cancellation.reason)):
            pass

    seen: list[str] = []
    with cancellation.calling(look):
        cancellation.cancel("stop")
    assert seen == ["stop"]


def test_a_callback_that_fails_does_not_keep_the_others_from_running(cancellation: Cancellation) -> None:
    bell = threading.Event()

    def fail() -> None:
        raise OSError("the socket was closed already")

    with cancellation.calling(fail), cancellation.calling(bell.set):
        cancellation.cancel("stop")
    assert bell.is_set()
