"""How a running node is told to stop: a one-way switch that wakes every thread sleeping on it.

Pure: knows nothing of nodes, databases or sockets. Whoever sleeps does so through `wait`, or registers a callback
that ends its own kind of sleep (closes a socket, kills a process, notifies a condition).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swarm.errors import Cancelled

log = logging.getLogger(__name__)


class Cancellation:
    """A switch thrown once, from any thread; all later throws are ignored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thrown = threading.Event()
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._reason = ""

    @property
    def is_cancelled(self) -> bool:
        return self._thrown.is_set()

    @property
    def reason(self) -> str:
        """Why the switch was thrown, in words; empty while it was not."""
        return self._reason

    def cancel(self, reason: str) -> None:
        """Throw the switch and run the registered callbacks, once each, in the calling thread; log those that fail."""
        with self._lock:
            if self._thrown.is_set():
                return
            self._reason = reason
            self._thrown.set()
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # One sleeper's socket must neither keep the others asleep nor end the thread that stops them all.
                log.exception("cancellation.callback_failed")

    def raise_if_cancelled(self) -> None:
        """Raise `Cancelled` once the switch was thrown."""
        if self._thrown.is_set():
            raise Cancelled(self._reason)

    def wait(self, timeout_s: float) -> None:
        """Sleep for `timeout_s` seconds; raise `Cancelled` at once when the switch is thrown."""
        self._thrown.wait(timeout_s)
        self.raise_if_cancelled()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Run `callback` if the switch is thrown inside the block, or was thrown before it."""
        key = object()
        with self._lock:
            already = self._thrown.is_set()
            if not already:
                self._callbacks[key] = callback
        if already:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(key, None)
