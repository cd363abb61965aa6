"""Carries node ids to threads. Whoever runs a node takes it from the database first, so twice is harmless."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog
from django.conf import settings
from django.db import close_old_connections, connections

log = structlog.get_logger(__name__)

GIVE_UP_S = 10.0
"""How long a node may take to stop that was told to do so at once."""


class ThreadExecutor:
    """Runs nodes in a pool of up to SWARM_MAX_DEVELOPERS threads, which is made when the first node comes."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._futures: set[Future[None]] = set()
        self._is_open = True

    def open(self) -> None:
        """Take nodes again after `close`; an executor is open when it is made."""
        with self._mutex:
            self._is_open = True

    def close(self, stop_running: Callable[[bool], None], drain_s: float) -> bool:
        """Take no more nodes, forget those that wait, and stop the rest: patiently for `drain_s` seconds, then at once.

        `stop_running` is called with whether to be patient. False if nodes are left `GIVE_UP_S` seconds later.
        """
        with self._mutex:
            self._is_open = False
            futures = set(self._futures)
        for future in futures:
            future.cancel()
        drained_s = time.monotonic() + drain_s
        while futures := self._unfinished():
            if time.monotonic() > drained_s + GIVE_UP_S:
                log.error("executor.gave_up", nodes=len(futures))
                return False
            # Again and again: a node may have been on its way to where it can be stopped.
            stop_running(time.monotonic() < drained_s)
            wait(futures, timeout=0.2)
        return True

    def submit(self, run: Callable[[uuid.UUID], None], node_id: uuid.UUID) -> None:
        """Run `run(node_id)` in a thread of the pool; a closed executor leaves the node to others."""
        with self._mutex:
            if not self._is_open:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(settings.SWARM_MAX_DEVELOPERS, thread_name_prefix="swarm-developer")
            future = self._pool.submit(_run, run, node_id)
            self._futures.add(future)
        future.add_done_callback(self._forget)

    @property
    def has_queue(self) -> bool:
        """Whether nodes wait for a thread."""
        with self._mutex:
            return any(not future.running() and not future.done() for future in self._futures)

    def drain(self) -> None:
        """Wait until all that was submitted, also meanwhile, has ended; the pool ends, a later submit makes another."""
        while futures := self._unfinished():
            wait(futures)

    def _unfinished(self) -> set[Future[None]]:
        """What has not ended yet; once that is nothing, the pool ends too, and its threads with it."""
        with self._mutex:
            if self._futures:
                return set(self._futures)
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        return set()

    def _forget(self, future: Future[None]) -> None:
        with self._mutex:
            self._futures.discard(future)


def _run(run: Callable[[uuid.UUID], None], node_id: uuid.UUID) -> None:
    """A pool thread outlives many nodes, so it closes its database connections around each."""
    close_old_connections()
    try:
        run(node_id)
    except Exception:
        log.exception("executor.node_crashed", node=str(node_id))
    finally:
        connections.close_all()


executor = ThreadExecutor()
