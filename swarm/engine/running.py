"""The nodes that run in this process: how to stop them, and the heartbeat that keeps their claims alive."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import DatabaseError, close_old_connections, connections

from swarm.cancellation import Cancellation
from swarm.locks.claims import renew_claims
from swarm.models import Node

log = structlog.get_logger(__name__)

HEARTBEAT_S = 2.0


class RunningNodes:
    """The nodes of this process with their cancellations; a heartbeat thread lives while there are any."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._cancellations: dict[uuid.UUID, Cancellation] = {}
        self._executions: dict[uuid.UUID, uuid.UUID] = {}
        self._all_ended = threading.Event()
        self._all_ended.set()

    @contextmanager
    def registered(self, node: Node) -> Iterator[Cancellation]:
        """Register a node for as long as it runs here."""
        cancellation = Cancellation()
        with self._mutex:
            self._cancellations[node.pk] = cancellation
            self._executions[node.pk] = node.execution_id
            if self._all_ended.is_set():
                self._all_ended.clear()
                threading.Thread(target=self._beat, name="swarm-heartbeat", daemon=True).start()
        try:
            yield cancellation
        finally:
            with self._mutex:
                del self._cancellations[node.pk], self._executions[node.pk]
                if not self._cancellations:
                    self._all_ended.set()

    def executions(self) -> set[uuid.UUID]:
        """The executions that have nodes running here."""
        with self._mutex:
            return set(self._executions.values())

    def cancel(self, node_ids: list[uuid.UUID], reason: str) -> None:
        """Stop those of the nodes that run here."""
        with self._mutex:
            found = [it for node_id in node_ids if (it := self._cancellations.get(node_id))]
        for cancellation in found:
            cancellation.cancel(reason)

    def _beat(self) -> None:
        """Renew claims and notice cancels that another process recorded, until no node is left."""
        try:
            while not self._all_ended.wait(HEARTBEAT_S):
                close_old_connections()
                with self._mutex:
                    here = list(self._cancellations)
                try:
                    renew_claims(here)
                    cancelled = Node.objects.filter(pk__in=here, execution__cancel_requested_at__isnull=False)
                    self.cancel(list(cancelled.values_list("pk", flat=True)), "The execution was cancelled.")
                except DatabaseError as error:
                    log.warning("heartbeat.failed", error=str(error))
        finally:
            connections.close_all()


running_nodes = RunningNodes()
