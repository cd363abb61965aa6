"""Takes up nodes whose process has died, and nodes that nobody runs; at the start of a server and every few seconds.

Also removes, once, the checkouts that dead processes left behind.
"""

from __future__ import annotations

import threading

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django.db.models import Exists, OuterRef
from django.utils.timezone import now

from swarm.engine.errors import WorkerLost
from swarm.engine.evidence import CHECKOUTS
from swarm.engine.executor import executor
from swarm.engine.lifecycle import dispatch
from swarm.engine.stopping import end_stopped
from swarm.events.record import recording
from swarm.models import Execution, Node
from swarm.workspace.checkout import remove_leftovers

log = structlog.get_logger(__name__)


class Recovery:
    """Looks for lost nodes in a thread of its own between `start` and `stop`."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; does nothing if it has begun."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._look_on, name="swarm-recovery", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _look_on(self) -> None:
        remove_leftovers(CHECKOUTS)
        try:
            while True:
                close_old_connections()
                try:
                    put_back_lost_nodes()
                    dispatch_orphans()
                except DatabaseError as error:
                    log.warning("recovery.failed", error=str(error))
                if self._stopping.wait(settings.SWARM_NODE_LEASE / 3):
                    return
        finally:
            connections.close_all()


def put_back_lost_nodes() -> int:
    """Queue the nodes again whose process missed its heartbeats, or end them if they are to be cancelled; how many."""
    count = 0
    for execution_id in set(Node.objects.lost(now()).values_list("execution_id", flat=True)):
        with recording(execution_id) as record:
            for node in record.execution.nodes.lost(now()):
                count += 1
                log.warning("node.lost", execution=str(execution_id), node=str(node.pk))
                end_stopped(record, node, WorkerLost("The process that ran this node died; another takes it up."))
    return count


def dispatch_orphans() -> None:
    """Hand out waiting nodes of executions that nobody is working on, unless this process has work waiting itself."""
    if executor.has_queue:
        return
    nodes = Node.objects.filter(execution=OuterRef("pk"))
    orphaned = Execution.objects.going_on().filter(
        Exists(nodes.filter(status=Node.Status.PENDING)), ~Exists(nodes.filter(status=Node.Status.RUNNING))
    )
    for execution_id in list(orphaned.values_list("pk", flat=True)):
        dispatch(execution_id)
