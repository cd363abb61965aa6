"""Wakes the threads of this process that wait for a claim. Knows queue entries by number only.

A wake-up is a hint: the waiter looks at its rows again, and also looks on a slow tick, so that nothing is slept through
for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class WaitingRoom:
    """The sleeping threads of one process, by the numbers of their queue entries."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._sleepers: dict[int, threading.Event] = {}

    @contextmanager
    def seat(self, entries: Iterable[int]) -> Iterator[threading.Event]:
        """An event that is set when `wake` names one of `entries`; take it before their rows are looked at."""
        event = threading.Event()
        mine = dict.fromkeys(entries, event)
        with self._mutex:
            self._sleepers |= mine
        try:
            yield event
        finally:
            with self._mutex:
                for entry in mine:
                    del self._sleepers[entry]

    def has(self, entry: int) -> bool:
        """Whether somebody waits here for this entry."""
        with self._mutex:
            return entry in self._sleepers

    def wake(self, entry: int) -> None:
        """Wake the thread that waits for this entry, if it is here."""
        with self._mutex:
            if event := self._sleepers.get(entry):
                event.set()

    def wake_all(self) -> None:
        """Wake everybody here."""
        with self._mutex:
            for event in self._sleepers.values():
                event.set()


waiting_room = WaitingRoom()
