"""The room in which threads sleep until their entry is named."""

from __future__ import annotations

import pytest

from swarm.locks.waiting import WaitingRoom


def test_only_the_named_entries_are_woken() -> None:
    room = WaitingRoom()
    with room.seat(1) as first, room.seat(2) as second, room.seat(3) as third:
        room.wake([1, 3])
        assert [first.is_set(), second.is_set(), third.is_set()] == [True, False, True]


def test_waking_an_entry_that_sits_in_another_process_does_nothing() -> None:
    room = WaitingRoom()
    with room.seat(1) as bell:
        room.wake([7])
        assert not bell.is_set()


def test_a_seat_is_given_back_even_when_the_wait_fails() -> None:
    room = WaitingRoom()
    with pytest.raises(RuntimeError), room.seat(1) as first:
        raise RuntimeError
    with room.seat(1) as second:
        room.wake([1])
    assert (first.is_set(), second.is_set()) == (False, True)
