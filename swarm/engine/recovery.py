"""Takes up nodes whose process has died, and nodes that nobody runs; at the start of a server and every few seconds.

Also removes the checkouts that dead processes left behind, and what executions have left that ended long ago.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress

import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections
from django.db.models import Exists, OuterRef
from django.utils.timezone import now

from swarm.engine.errors import WorkerLost
from swarm.engine.evidence import CHECKOUTS
from swarm.engine.executor import executor
from swarm.engine.housekeeping import Housekeeper
from swarm.engine.lifecycle import dispatch
from swarm.engine.stopping import end_stopped
from swarm.engine.timesheet import book_lost_time
from swarm.events.record import Recorder, recording
from swarm.models import Execution, Node
from swarm.workspace.checkout import remove_leftovers

log = structlog.get_logger(__name__)


BUSY_S = 0.2
"""How soon to look again while a lost node is there that another process, it seems, was about to take up."""


class Recovery:
    """Looks for lost nodes in a thread of its own between `start` and `stop`.

    Any number of processes may do so at once: each execution's row lets one at it. With `execution_id`, only nodes of
    that one are handed out here.
    """

    def __init__(self, execution_id: uuid.UUID | None = None) -> None:
        self._execution_id = execution_id
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._housekeeper = Housekeeper()

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
            while not self._stopping.wait(self._look()):
                close_old_connections()
        finally:
            connections.close_all()

    def _look(self) -> float:
        """Look once; the seconds until the next time."""
        try:
            put_back_lost_nodes()
            dispatch_orphans(self._execution_id)
            self._housekeeper.look_after(now())
            return BUSY_S if Node.objects.lost(now()).exists() else settings.SWARM_NODE_LEASE / 3
        except DatabaseFailure as error:
            log.warning("recovery.failed", error=str(error))
            return settings.SWARM_NODE_LEASE / 3


def put_back_lost_nodes() -> int:
    """Queue the nodes again whose process missed its heartbeats, or end them if they are to be cancelled; how many.

    Leaves out, this time, executions at which somebody else is at work.
    """
    count = 0
    for execution_id in set(Node.objects.lost(now()).values_list("execution_id", flat=True)):
        with suppress(Execution.DoesNotExist), recording(execution_id, skip_locked=True) as record:
            for node in record.execution.nodes.lost(now()):
                _put_back(record, node)
                count += 1
    return count


def _put_back(record: Recorder, node: Node) -> None:
    log.warning("node.lost", execution=str(node.execution_id), node=str(node.pk))
    book_lost_time(node)
    end_stopped(record, node, WorkerLost("The process that ran this node died; another takes it up."))


def dispatch_orphans(execution_id: uuid.UUID | None = None) -> None:
    """Hand out nodes that were put back, and those of executions that nobody is working on; of one execution if given.

    Does nothing while this process has work waiting itself.
    """
    if executor.has_queue:
        return
    nodes = Node.objects.filter(execution=OuterRef("pk"))
    is_idle = Exists(nodes.filter(status=Node.Status.PENDING)) & ~Exists(nodes.filter(status=Node.Status.RUNNING))
    orphaned = Execution.objects.going_on().filter(Exists(nodes.put_back()) | is_idle)
    if execution_id is not None:
        orphaned = orphaned.filter(pk=execution_id)
    for orphan in list(orphaned.values_list("pk", flat=True)):
        dispatch(orphan)
