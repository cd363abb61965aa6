"""Runs callbacks at given instants, all from one thread that sleeps in between.

A read timeout of `requests` starts anew with every byte, so only another thread can hold a whole call to its time.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class AlarmClock:
    """Deadlines with callbacks. Its thread starts with the first one and ends with `stop`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    @contextmanager
    def ringing(self, at: float, callback: Callable[[], None]) -> Iterator[None]:
        """Run `callback` in the clock's thread if the block is still running at `at` (monotonic). It must not block."""
        alarm = object()
        with self._changed:
            self._alarms[alarm] = (at, callback)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="swarm-chat-alarm", daemon=True)
                self._thread.start()
            if at < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._alarms.pop(alarm, None)

    def stop(self) -> None:
        """End the thread; idempotent. No alarm rings any more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
            thread = self._thread
        if thread:
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopped:
                now = time.monotonic()
                for alarm in [alarm for alarm, (at, _) in self._alarms.items() if at <= now]:
                    self._alarms.pop(alarm)[1]()
                self._wakes_at = min((at for at, _ in self._alarms.values()), default=math.inf)
                self._changed.wait(None if math.isinf(self._wakes_at) else self._wakes_at - now)
