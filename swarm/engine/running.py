"""The nodes that run in this process: how to stop them, and the heartbeat that keeps their claims alive."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.locks.claims import renew_claims
from swarm.models import Node

log = structlog.get_logger(__name__)


def lease() -> timedelta:
    """How long a node counts as running after its process was last heard of."""
    return timedelta(seconds=settings.SWARM_NODE_LEASE)


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
    """The nodes of this process with their cancellations; a heartbeat thread lives while there are any."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._cancellations: dict[uuid.UUID, Cancellation] = {}
        self._heart: _Heart | None = None

    @contextmanager
    def registered(self, node: Node) -> Iterator[Cancellation]:
        """Register a node for as long as it runs here."""
        cancellation = Cancellation()
        with self._mutex:
            self._cancellations[node.pk] = cancellation
            if self._heart is None:
                self._heart = self._start_heart()
        try:
            yield cancellation
        finally:
            last_heart = None
            with self._mutex:
                del self._cancellations[node.pk]
                if not self._cancellations:
                    last_heart, self._heart = self._heart, None
            if last_heart is not None:
                last_heart.stop()

    def cancel_all(self, reason: str) -> None:
        """Stop all nodes that run here."""
        with self._mutex:
            here = list(self._cancellations)
        self.cancel(here, reason)

    def cancel(self, node_ids: list[uuid.UUID], reason: str) -> None:
        """Stop those of the nodes that run here."""
        with self._mutex:
            found = [it for node_id in node_ids if (it := self._cancellations.get(node_id))]
        for cancellation in found:
            cancellation.cancel(reason)

    def _start_heart(self) -> _Heart:
        stopping = threading.Event()
        thread = threading.Thread(target=self._beat, args=[stopping], name="swarm-heartbeat", daemon=True)
        thread.start()
        return _Heart(thread, stopping)

    def _beat(self, stopping: threading.Event) -> None:
        """Renew leases and notice cancels that another process recorded, until no node is left."""
        try:
            while not stopping.wait(settings.SWARM_NODE_LEASE / 3):
                close_old_connections()
                with self._mutex:
                    here = list(self._cancellations)
                try:
                    Node.objects.filter(pk__in=here).active().update(lease_expires_at=now() + lease())
                    renew_claims(here)
                    cancelled = Node.objects.filter(pk__in=here, execution__cancel_requested_at__isnull=False)
                    self.cancel(list(cancelled.values_list("pk", flat=True)), "The execution was cancelled.")
                except DatabaseError as error:
                    log.warning("heartbeat.failed", error=str(error))
        finally:
            connections.close_all()


running_nodes = RunningNodes()
