"""How a running node is told to stop: a one-way switch that wakes every thread sleeping on it.

Pure: knows nothing of nodes, databases or sockets. Whoever sleeps does so through `wait`, or registers a callback
that ends its own kind of sleep (closes a socket, kills a process, notifies a condition). Who is in no hurry asks with
`cancel_when_safe`: the switch is then thrown where nothing gets lost, between two steps or in a mere wait.
"""

from __future__ import annotations

import logging
import threading
import time
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
        self._thrown_at_s: float | None = None
        self._is_safe = False
        self._wishes: dict[str, None] = {}

    @property
    def is_cancelled(self) -> bool:
        return self._thrown.is_set()

    @property
    def reason(self) -> str:
        """Why the switch was thrown, in words; empty while it was not."""
        return self._reason

    @property
    def seconds_ago(self) -> float:
        """How long ago the switch was thrown; 0 while it was not."""
        return 0.0 if self._thrown_at_s is None else time.monotonic() - self._thrown_at_s

    def cancel(self, reason: str) -> None:
        """Throw the switch and run the registered callbacks, once each, in the calling thread; log those that fail."""
        with self._lock:
            if self._thrown.is_set():
                return
            self._reason = reason
            self._thrown_at_s = time.monotonic()
            self._thrown.set()
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # One sleeper's socket must neither keep the others asleep nor end the thread that stops them all.
                log.exception("cancellation.callback_failed")

    def cancel_when_safe(self, reason: str) -> None:
        """Throw the switch now if its thread is where it may be stopped, else as soon as it comes there."""
        with self._lock:
            self._wishes[reason] = None
            is_safe = self._is_safe
        if is_safe:
            self.cancel(reason)

    def withdraw(self, reason: str) -> None:
        """Take back what `cancel_when_safe` asked for with the same reason; too late once the switch is thrown."""
        with self._lock:
            self._wishes.pop(reason, None)

    def set_safe(self, is_safe: bool) -> None:
        """Tell whether the thread may be stopped from now on without losing anything."""
        with self._lock:
            self._is_safe = is_safe
            wish = next(iter(self._wishes), None) if is_safe else None
        if wish is not None:
            self.cancel(wish)

    def pass_safe_point(self) -> None:
        """Stop here, with `Cancelled`, if that was asked for in either way."""
        self.set_safe(True)
        self.set_safe(False)
        self.raise_if_cancelled()

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
