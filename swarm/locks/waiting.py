"""Wakes the threads of this process that wait for a claim. Knows queue entries by number only.

A wake-up is a hint: the waiter looks at its row again, and also looks on a slow tick, so that a hand-over made by
another process is seen too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class WaitingRoom:
    """The sleeping threads of one process, by the number of their queue entry."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._sleepers: dict[int, threading.Event] = {}

    @contextmanager
    def seat(self, entry: int) -> Iterator[threading.Event]:
        """An event that is set when `wake` names `entry`; take it before the row is looked at for the first time."""
        event = threading.Event()
        with self._mutex:
            self._sleepers[entry] = event
        try:
            yield event
        finally:
            with self._mutex:
                del self._sleepers[entry]

    def wake(self, entries: Iterable[int]) -> None:
        """Wake the threads that wait for these entries, if they are here."""
        with self._mutex:
            for entry in entries:
                if event := self._sleepers.get(entry):
                    event.set()


waiting_room = WaitingRoom()
