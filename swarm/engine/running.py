"""The nodes that run in this process: how to stop them, and the heartbeat that keeps their claims alive.

What another process asks for stands in the rows, which are looked at every `LOOK_S` seconds while any node runs: one
query for all of them, so that a cancel is noticed within a second without a channel between the processes.

A process that cannot renew its leases stops its nodes before others take them up, and one whose node was taken up by
another stops its own copy: what either would write is refused anyway, but they must not go on paying for it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections, transaction
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.locks.claims import renew_claims
from swarm.models import Node

log = structlog.get_logger(__name__)

LOOK_S = 0.5
CANCELLED = "It was cancelled."
PAUSED = "The execution was paused."
TAKEN = "Another process has taken the node up, or it has ended."
UNHEARD = "The node's lease could not be renewed; whoever can goes on with it."
GIVEN_UP_AFTER = 2 / 3
"""The share of a lease after which a process that could not renew it stops its nodes by itself."""


def lease() -> timedelta:
    """How long a node counts as running after its process was last heard of."""
    return timedelta(seconds=settings.SWARM_NODE_LEASE)


@dataclass(frozen=True, eq=False)
class _Run:
    """A node that runs here, and how to stop it."""

    node: Node
    cancellation: Cancellation

    def is_current(self, row: Node | None) -> bool:
        """Whether the node's row, which is locked, is about this run still."""
        return row is not None and row.status == Node.Status.RUNNING and row.attempt <= self.node.attempt


@dataclass(frozen=True)
class _Heart:
    """A heartbeat thread and how to stop it."""

    thread: threading.Thread
    stopping: threading.Event

    def stop(self) -> None:
        """Stop and wait: then its database connection is closed too."""
        self.stopping.set()
        self.thread.join()


class RunningNodes:
    """The nodes of this process with their cancellations; a heartbeat thread lives while there are any.

    A node may be here twice for a while, if this process has taken up again what it had lost itself.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._runs: list[_Run] = []
        self._heart: _Heart | None = None

    @contextmanager
    def registered(self, node: Node) -> Iterator[Cancellation]:
        """Register a node for as long as it runs here."""
        run = _Run(node, Cancellation())
        with self._mutex:
            self._runs.append(run)
            if self._heart is None:
                self._heart = self._start_heart()
        try:
            yield run.cancellation
        finally:
            last_heart = None
            with self._mutex:
                self._runs.remove(run)
                if not self._runs:
                    last_heart, self._heart = self._heart, None
            if last_heart is not None:
                last_heart.stop()

    def here(self) -> list[uuid.UUID]:
        """The nodes that run in this process."""
        with self._mutex:
            return [run.node.pk for run in self._runs]

    def cancel(self, node_ids: Iterable[uuid.UUID], reason: str) -> None:
        """Stop those of the nodes that run here, at once."""
        for cancellation in self._found(node_ids):
            cancellation.cancel(reason)

    def cancel_when_safe(self, node_ids: Iterable[uuid.UUID], reason: str) -> None:
        """Stop those of the nodes that run here after the turn that each is in, or in the midst of a wait."""
        for cancellation in self._found(node_ids):
            cancellation.cancel_when_safe(reason)

    def withdraw(self, node_ids: Iterable[uuid.UUID], reason: str) -> None:
        """Let those go on that have not come to a safe point since `cancel_when_safe` with the same reason."""
        for cancellation in self._found(node_ids):
            cancellation.withdraw(reason)

    def _found(self, node_ids: Iterable[uuid.UUID]) -> list[Cancellation]:
        wanted = set(node_ids)
        with self._mutex:
            return [run.cancellation for run in self._runs if run.node.pk in wanted]

    def _start_heart(self) -> _Heart:
        stopping = threading.Event()
        thread = threading.Thread(target=self._beat, args=[stopping], name="swarm-heartbeat", daemon=True)
        thread.start()
        return _Heart(thread, stopping)

    def _beat(self, stopping: threading.Event) -> None:
        """Renew leases and notice what another process asked for, until no node is left."""
        beat_s = min(settings.SWARM_NODE_LEASE, settings.SWARM_LOCK_TTL) / 3
        renewed_s = time.monotonic()
        deadman = self._arm()
        try:
            while not stopping.wait(min(LOOK_S, beat_s)):
                close_old_connections()
                try:
                    self._look()
                    if time.monotonic() - renewed_s >= beat_s:
                        self._renew()
                        renewed_s = time.monotonic()
                        _disarm(deadman)
                        deadman = self._arm()
                except DatabaseFailure as error:
                    log.warning("heartbeat.failed", error=str(error))
        finally:
            _disarm(deadman)
            connections.close_all()

    def _arm(self) -> threading.Timer:
        """Stop all nodes here unless this is put off in time: a thread of its own, for the database may hang."""
        deadman = threading.Timer(settings.SWARM_NODE_LEASE * GIVEN_UP_AFTER, lambda: self.cancel(self.here(), UNHEARD))
        deadman.daemon = True
        deadman.start()
        return deadman

    def _look(self) -> None:
        """Do what the rows ask of the nodes that run here."""
        rows = Node.objects.filter(pk__in=self.here()).values_list(
            "pk", "cancel_requested_at", "execution__cancel_requested_at", "execution__paused_at"
        )
        for node_id, cancelled_at, all_cancelled_at, paused_at in rows:
            if cancelled_at or all_cancelled_at:
                self.cancel([node_id], CANCELLED)
            elif paused_at:
                self.cancel_when_safe([node_id], PAUSED)
            else:
                self.withdraw([node_id], PAUSED)

    def _renew(self) -> None:
        """Extend the leases of the nodes that are this process's still, and of their claims; stop the others.

        Under the lock of the nodes' rows: a node that comes to rest at this very moment keeps its claims for longer,
        and an attempt that this process itself has begun is not taken for another's.
        """
        with self._mutex:
            runs = list(self._runs)
        with transaction.atomic():
            here = Node.objects.select_for_update().filter(pk__in=[run.node.pk for run in runs]).order_by("pk")
            rows = {row.pk: row for row in here.only("status", "attempt")}
            lost = [run for run in runs if not run.is_current(rows.get(run.node.pk))]
            own = [run.node.pk for run in runs if run not in lost]
            Node.objects.filter(pk__in=own).update(lease_expires_at=now() + lease())
            renew_claims(own)
        for run in lost:
            run.cancellation.cancel(TAKEN)


def _disarm(deadman: threading.Timer) -> None:
    deadman.cancel()
    deadman.join()


running_nodes = RunningNodes()
