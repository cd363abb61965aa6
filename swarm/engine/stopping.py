"""What becomes of a node that was told to stop: it is cancelled, rests until it is resumed, or is put back.

Which of these is decided by the rows, under the lock of the execution's: a cancel counts for more than a pause.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.engine.closing import cancel_node, complete_if_landed, put_back_node
from swarm.engine.errors import WorkerLost
from swarm.engine.timesheet import progress_data
from swarm.errors import Cancelled, SwarmError
from swarm.events.record import Recorder
from swarm.locks.claims import leave_lines, release_claims, renew_claims
from swarm.models import Activity, Execution, FileLock, Node

PAUSED_LEASE = timedelta(days=365)
"""How long claims last that a paused node keeps: a process that renews them need not be there."""


@dataclass(frozen=True)
class Order:
    """A cancel: when it was asked for, by whom and why."""

    at: datetime
    by: str
    reason: str


def order_to_cancel(execution: Execution, node: Node) -> Order | None:
    """The cancel that a node has to obey, its own or its execution's; None if there is none.

    Reads the node's row; the execution's is to be locked by the caller.
    """
    node.refresh_from_db(fields=["cancel_requested_at", "cancelled_by", "cancel_reason"])
    for it in (node, execution):
        if it.cancel_requested_at is not None:
            return Order(it.cancel_requested_at, it.cancelled_by, it.cancel_reason)
    return None


def refuse_cancelled(record: Recorder, node: Node) -> None:
    """Raise `Cancelled` if the node is to be cancelled: what a cancel was told of must not be done afterwards."""
    if order := order_to_cancel(record.execution, node):
        raise Cancelled(order.reason)


def end_stopped(record: Recorder, node: Node, why: SwarmError, stopped: dict[str, object] | None = None) -> None:
    """End, rest or put back a running node that does not run any more; `stopped` proves to a cancel what has ended."""
    if order := order_to_cancel(record.execution, node):
        end_cancelled(record, node, order, stopped)
    elif record.execution.paused_at:
        _rest(record, node)
    else:
        put_back_node(record, node, why)


def end_cancelled(record: Recorder, node: Node, order: Order, stopped: dict[str, object] | None = None) -> None:
    """End a node as cancelled; its event tells how many seconds after the order its claims were free."""
    held = FileLock.objects.held(now()).filter(node=node).count()
    proof = (stopped or {}) | {"claims": held, "claims_released": (now() - order.at).total_seconds()}
    cancel_node(record, node, by=order.by, reason=order.reason, stopped=proof)


def measure_stop(order: Order, activity: Activity, cancellation: Cancellation) -> dict[str, object]:
    """How long after the order its process noticed it, and its work was over, in seconds.

    A node does one thing at a time, and `Cancelled` leaves it only when that has ended: `activity` says what it was,
    so whether a call was aborted, a wait ended or a check killed. Its snapshot, which is memory, went with it.
    """
    over_s = (now() - order.at).total_seconds()
    return {
        "noticed": over_s - cancellation.seconds_ago,
        "activity": activity,
        "ended": over_s,
        "snapshot_dropped": over_s,
    }


def proof_of_stop(node: Node) -> dict[str, object] | None:
    """What a cancelled node's event tells of how it stopped; None for any other, and if it is not there any more."""
    if node.status != Node.Status.CANCELLED:
        return None
    event = node.events.filter(type="swarm:node-cancelled").order_by("seq").last()
    return event.data.get("stopped") if event else None


def settle_claims(record: Recorder, nodes: Iterable[Node]) -> None:
    """Let the nodes of a paused execution keep their claims while it is paused, or give them up, as it says."""
    nodes = list(nodes)
    if record.execution.keeps_claims:
        renew_claims((node.pk for node in nodes), lasting=PAUSED_LEASE)
    else:
        for node in nodes:
            release_claims(record, node)


def _rest(record: Recorder, node: Node) -> None:
    if complete_if_landed(record, node):
        return
    node.put_back()
    leave_lines(record, node)
    node.call_rows.abandon(WorkerLost.code)
    settle_claims(record, [node])
    record("swarm:node-paused", node, **progress_data(node))
