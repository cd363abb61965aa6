"""Ends nodes and, with the last of them, their execution; each within one transaction that also gives up the claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from django.utils.timezone import now

from swarm.engine.breaker import trip_breaker
from swarm.engine.errors import DependencyFailed, WorkerLost
from swarm.engine.timesheet import Timesheet, progress_data
from swarm.errors import SwarmError
from swarm.events.record import Recorder
from swarm.locks.claims import release_claims
from swarm.models import Execution, Node


def complete_node(
    record: Recorder, node: Node, timesheet: Timesheet, *, commit: str, files: list[str], summary: str
) -> None:
    """End a node whose story stands on the branch as `commit`, which is the branch's head now."""
    timesheet.close()
    node.complete(commit=commit, files=files, summary=summary)
    Execution.objects.filter(pk=node.execution_id).update(head_commit=commit)
    record("swarm:node-completed", node, **progress_data(node), commit=commit, summary=summary)
    _leave(record, node)


def fail_node(record: Recorder, node: Node, error: SwarmError) -> None:
    """End a node that no attempt is left for, or whose error no attempt can mend, and what waited for its story."""
    _fail(record, node, error)
    _fail_dependants(record, node)


def cancel_node(
    record: Recorder, node: Node, *, by: str = "", reason: str = "", stopped: Mapping[str, object] | None = None
) -> None:
    """End a node that was told to stop, and what waited for its story unless that is to be cancelled too.

    `stopped` tells how soon after the cancel what has ended.
    """
    node.cancel(by=by, reason=reason)
    record("swarm:node-cancelled", node, **progress_data(node), by=by, reason=reason, stopped=stopped or {})
    _leave(record, node)
    if not record.execution.cancel_requested_at:
        _fail_dependants(record, node)


def put_back_node(record: Recorder, node: Node, error: SwarmError) -> None:
    """Queue a node again whose process stopped or died; nothing of the attempt is left."""
    node.put_back()
    _let_go(record, node)
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
