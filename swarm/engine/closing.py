"""Ends nodes and, with the last of them, their execution; each within one transaction that also gives up the claims.

A node that is put back into the queue keeps them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import structlog
from django.utils.timezone import now

from swarm.engine.breaker import trip_breaker
from swarm.engine.errors import DependencyFailed, WorkerLost
from swarm.engine.landing import Landing, find_landing
from swarm.engine.timesheet import progress_data
from swarm.errors import SwarmError
from swarm.events.record import Recorder
from swarm.locks.claims import leave_lines, release_claims
from swarm.models import Execution, Node

log = structlog.get_logger(__name__)


def complete_node(record: Recorder, node: Node, landing: Landing) -> None:
    """End a node whose story stands on the branch."""
    node.complete(commit=landing.commit, files=landing.files, summary=landing.summary)
    Execution.objects.filter(pk=node.execution_id).update(head_commit=landing.head)
    record("swarm:node-completed", node, **progress_data(node), commit=landing.commit, summary=landing.summary)
    _leave(record, node)


def complete_if_landed(record: Recorder, node: Node) -> bool:
    """Complete a running node whose commit is on the branch already; False if there is none.

    Comes before every other way to leave a node: whoever moved the branch may have died before that was recorded, and
    the story must neither be done a second time nor be called undone.
    """
    if node.status != Node.Status.RUNNING or not (landing := find_landing(record.execution, node)):
        return False
    log.warning("node.had_landed", execution=str(node.execution_id), node=str(node.pk), commit=landing.commit)
    complete_node(record, node, landing)
    return True


def fail_node(record: Recorder, node: Node, error: SwarmError) -> None:
    """End a node that no attempt is left for, or whose error no attempt can mend, and what waited for its story."""
    if complete_if_landed(record, node):
        return
    _fail(record, node, error)
    _fail_dependants(record, node)


def cancel_node(
    record: Recorder, node: Node, *, by: str = "", reason: str = "", stopped: Mapping[str, object] | None = None
) -> None:
    """End a node that was told to stop, and what waited for its story unless that is to be cancelled too.

    `stopped` tells how soon after the cancel what has ended.
    """
    if complete_if_landed(record, node):
        return
    node.cancel(by=by, reason=reason)
    record("swarm:node-cancelled", node, **progress_data(node), by=by, reason=reason, stopped=stopped or {})
    _leave(record, node)
    if not record.execution.cancel_requested_at:
        _fail_dependants(record, node)


def put_back_node(record: Recorder, node: Node, error: SwarmError) -> None:
    """Queue a node again whose process stopped or died, to go on where it was; it keeps its claims."""
    if complete_if_landed(record, node):
        return
    node.put_back()
    leave_lines(record, node)
    node.call_rows.abandon(WorkerLost.code)
    record("swarm:node-retrying", node, **progress_data(node), error={"code": error.code, "message": error.message})


def close_if_ended(record: Recorder) -> None:
    """End an execution none of whose nodes is to run any more, unless it is paused."""
    statuses = Counter(record.execution.nodes.values_list("status", flat=True))
    if not record.execution.paused_at and not any(statuses[status] for status in Node.ACTIVE):
        _close(record, statuses)


def _fail(record: Recorder, node: Node, error: SwarmError) -> None:
    node.fail(error)
    record("swarm:node-failed", node, **progress_data(node), error={"code": error.code, "message": error.message})
    trip_breaker(record, error)
    _leave(record, node)


def _fail_dependants(record: Recorder, node: Node) -> None:
    """End the nodes that can no longer start: one after another, for others may wait for them in turn."""
    ended = {node.story_id: node.status}
    # Whatever a node depends on has a lower number.
    for waiting in Node.objects.filter(execution=node.execution_id, status=Node.Status.PENDING).order_by("number"):
        missing = next((story for story in waiting.depends_on if story in ended), None)
        if missing is not None:
            reason = f"It waited for story {missing}, which is {ended[missing]}; a retry runs both."
            _fail(record, waiting, DependencyFailed(reason))
            ended[waiting.story_id] = waiting.status


def _let_go(record: Recorder, node: Node) -> None:
    """Give up the node's claims and, if its process died in the middle of a call, what that had reserved."""
    release_claims(record, node)
    node.call_rows.abandon(WorkerLost.code)


def _leave(record: Recorder, node: Node) -> None:
    _let_go(record, node)
    statuses = Counter(Node.objects.filter(execution=node.execution_id).values_list("status", flat=True))
    record(
        "swarm:progress",
        completed=statuses[Node.Status.COMPLETED],
        failed=statuses[Node.Status.FAILED],
        cancelled=statuses[Node.Status.CANCELLED],
        total=statuses.total(),
    )
    close_if_ended(record)


def _close(record: Recorder, statuses: Counter[str]) -> None:
    """End the execution; the row is locked by `record`, so exactly one node does this."""
    status = outcome(statuses, is_cancelled=record.execution.cancel_requested_at is not None)
    record.execution.finish(status, finished_at=now())
    kind = "swarm:cancelled" if status == Execution.Status.CANCELLED else "swarm:completed"
    record(kind, status=status)


def outcome(statuses: Counter[str], *, is_cancelled: bool) -> Execution.Status:
    """How an execution ended whose nodes ended like this; `is_cancelled` says if all of it was to stop."""
    cancelled, failed = statuses[Node.Status.CANCELLED], statuses[Node.Status.FAILED]
    if not cancelled and not failed:
        return Execution.Status.COMPLETED
    if cancelled and (is_cancelled or cancelled == statuses.total()):
        return Execution.Status.CANCELLED
    return Execution.Status.PARTIAL if statuses[Node.Status.COMPLETED] else Execution.Status.FAILED
