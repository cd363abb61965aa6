"""The room in which threads sleep until their entry is named."""

from __future__ import annotations

import pytest

from swarm.locks.waiting import WaitingRoom


def test_only_the_named_entries_are_woken() -> None:
    room = WaitingRoom()
    with room.seat([1, 4]) as first, room.seat([2]) as second, room.seat([3]) as third:
        room.wake(3)
        room.wake(4)
        assert [first.is_set(), second.is_set(), third.is_set()] == [True, False, True]


def test_waking_an_entry_that_sits_in_another_process_does_nothing() -> None:
    room = WaitingRoom()
    with room.seat([1]) as bell:
        room.wake(7)
        assert not bell.is_set()
        assert (room.has(1), room.has(7)) == (True, False)


def test_a_seat_is_given_back_even_when_the_wait_fails() -> None:
    room = WaitingRoom()
    with pytest.raises(RuntimeError), room.seat([1]) as first:
        raise RuntimeError
    with room.seat([1]) as second:
        room.wake(1)
    assert (first.is_set(), second.is_set()) == (False, True)


def test_everybody_is_woken_when_nobody_knows_for_whom_the_news_was() -> None:
    room = WaitingRoom()
    with room.seat([1]) as first, room.seat([2]) as second:
        room.wake_all()
        assert (first.is_set(), second.is_set()) == (True, True)
