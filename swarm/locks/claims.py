"""Claims on paths: granted, queued, handed over, renewed and released; the only code that writes lock rows.

A path's `FileLock` row says who holds it. Whoever cannot have it at once stands in line as a `Conflict` row; a release
hands the path to the first in line within the same transaction, so nobody can slip in between. Rows are locked with
`select_for_update`, the execution's first (`recording`), then locks in the order of their number; on SQLite the same
is done by IMMEDIATE transactions.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Q
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.errors import Cancelled
from swarm.events.record import Recorder, recording
from swarm.locks.deadlock import find_deadlock
from swarm.locks.errors import DeadlockVictim, LockLost, LockTimedOut, PathHeld
from swarm.locks.waiting import waiting_room
from swarm.models import Conflict, Execution, FileLock, Node, WrongStatus
from swarm.workspace.paths import lock_key

POLL_S = 1.0
"""How often a waiter looks at its row without being woken, for hand-overs by other processes and expired holders."""


@dataclass(frozen=True)
class Claim:
    """A granted claim: the path, its fencing token, and how long the node waited for it in seconds."""

    path: str
    token: int
    waited_s: float


def claim_path(
    node: Node,
    path: str,
    *,
    policy: str,
    timeout_s: float,
    cancellation: Cancellation,
    on_wait: Callable[[str], None],
) -> Claim:
    """Claim `path` for `node`, waiting in line for up to `timeout_s` seconds while somebody else holds it.

    A claim that the node has already is granted again. `on_wait` is called with the holder's name before a wait.
    Raises `PathHeld` at once if the policy is to be notified, `LockTimedOut`, `DeadlockVictim`, `LockLost` if the claim
    expired before the waiting thread took it up, `Cancelled`, and `WrongStatus` if the node does not run any more.
    """
    lock, _ = FileLock.objects.get_or_create(key=lock_key(path), defaults={"path": path})
    claim = _take(node, lock.pk, path)
    if claim is not None:
        return claim
    answer = _take_or_queue(node, lock.pk, path, policy)
    if isinstance(answer, Claim):
        return answer
    if answer.outcome == Conflict.Outcome.NOTIFIED:
        lock.refresh_from_db()
        raise PathHeld(path, holder=answer.held_by, since=lock.locked_at or answer.asked_at)
    on_wait(answer.held_by)
    return _wait(node, answer, timeout_s=timeout_s, cancellation=cancellation)


def check_claims(node: Node, claims: Mapping[str, int]) -> None:
    """Hold the claims' rows until the transaction ends; raise `LockLost` unless all are still the node's own.

    `claims` maps paths to the fencing tokens that they were granted with.
    """
    keys = {lock_key(path): token for path, token in claims.items()}
    held = FileLock.objects.select_for_update().held(now()).filter(node=node, key__in=keys).order_by("pk")
    found = {lock.key: lock.token for lock in held}
    lost = sorted(path for path, token in claims.items() if found.get(lock_key(path)) != token)
    if lost:
        raise LockLost(
            f"The claim on {', '.join(lost)} expired or was broken before the commit; the work was dropped, retry it."
        )


def release_claims(record: Recorder, node: Node) -> None:
    """Give up all claims of `node` and its places in line, and hand the paths on, within the caller's transaction."""
    leave_lines(node)
    at = now()
    for lock in FileLock.objects.select_for_update().filter(node=node).order_by("pk"):
        record("file:unlocked", node, path=lock.path)
        hand_over(lock, at)


def leave_lines(node: Node) -> None:
    """Give up the places in line of a node that nobody runs any more; its claims stay its own."""
    Conflict.objects.waiting().filter(node=node).update(ended_at=now(), outcome=Conflict.Outcome.CANCELLED)


def renew_claims(nodes: Iterable[uuid.UUID], *, lease: timedelta | None = None) -> None:
    """Give all claims that these nodes hold `lease` from now on, or SWARM_LOCK_TTL; one that ran out stays lost."""
    at = now()
    with transaction.atomic():
        # An UPDATE alone would lock its rows in any order, and so meet claims in a deadlock of the database.
        held = FileLock.objects.select_for_update().held(at).filter(node__in=list(nodes)).order_by("pk")
        FileLock.objects.filter(pk__in=[lock.pk for lock in held]).update(expires_at=at + (lease or _lease()))


def hand_over(lock: FileLock, at: datetime) -> None:
    """Give a locked row to the first running node in line, or free it; within the caller's transaction."""
    line = Conflict.objects.line_for(lock)
    following = next((entry for entry in line if _end_wait(entry, Conflict.Outcome.GRANTED)), None)
    grant(lock, at, node=following.node if following else None)
    if following is not None:
        _wake_on_commit(following)


def grant(lock: FileLock, at: datetime, *, node: Node | None) -> None:
    """Write a locked row's new holder, with a fencing token that nobody had before."""
    lock.node, lock.user, lock.reason = node, None, ""
    lock.locked_at = at if node else None
    lock.expires_at = at + _lease() if node else None
    lock.token += 1
    lock.save(update_fields=["node", "user", "reason", "locked_at", "expires_at", "token"])


def _lease() -> timedelta:
    return timedelta(seconds=settings.SWARM_LOCK_TTL)


def _require_running(node: Node) -> None:
    """Refuse a late thread whose node ended or was taken up again: nobody would release what it claims."""
    if not Node.objects.filter(pk=node.pk, status=Node.Status.RUNNING, attempt=node.attempt).exists():
        raise WrongStatus(f"{node.name} does not run attempt {node.attempt} any more, so it may not claim a path.")


def _take(node: Node, lock_id: int, path: str) -> Claim | None:
    """Grant the path if it is free or the node's own: the common case, which locks one row only."""
    with recording(node.execution_id) as record:
        _require_running(node)
        lock = FileLock.objects.select_for_update().get(pk=lock_id)
        return _take_locked(record, node, lock, path)


def _take_locked(record: Recorder, node: Node, lock: FileLock, path: str) -> Claim | None:
    at = now()
    if lock.is_held(at):
        return Claim(path, lock.token, 0.0) if lock.node_id == node.pk else None
    if Conflict.objects.line_for(lock).exists():
        hand_over(lock, at)
        return None
    lock.path = path
    lock.save(update_fields=["path"])
    grant(lock, at, node=node)
    record("file:locked", node, path=path, token=lock.token)
    return Claim(path, lock.token, 0.0)


def _take_or_queue(node: Node, lock_id: int, path: str, policy: str) -> Claim | Conflict:
    """Stand in line unless the path has become free meanwhile; find deadlocks that this wait closes.

    Locks every held row, so that of two nodes closing a circle at the same moment the second sees the first.
    """
    with recording(node.execution_id) as record:
        _require_running(node)
        held = FileLock.objects.select_for_update().filter(
            Q(node__isnull=False) | Q(user__isnull=False) | Q(pk=lock_id)
        )
        lock = {row.pk: row for row in held.order_by("pk")}[lock_id]
        claim = _take_locked(record, node, lock, path)
        if claim is not None:
            return claim
        is_notify = policy == Execution.OnConflict.NOTIFY
        conflict = Conflict.objects.create(
            lock=lock,
            path=path,
            execution_id=node.execution_id,
            node=node,
            held_by=lock.holder,
            policy=policy,
            outcome=Conflict.Outcome.NOTIFIED if is_notify else Conflict.Outcome.WAITING,
            ended_at=now() if is_notify else None,
        )
        record("swarm:conflict", node, path=path, held_by=conflict.held_by, outcome=conflict.outcome)
        if not is_notify:
            _break_deadlocks(conflict)
        return conflict


def _break_deadlocks(conflict: Conflict) -> None:
    """End the wait of one node of every circle that `conflict` closes."""
    while circle := find_deadlock(_wait_for_graph(), conflict.node_id):
        for entry in Conflict.objects.waiting().filter(node=_choose_victim(circle)):
            if _end_wait(entry, Conflict.Outcome.DEADLOCK):
                _wake_on_commit(entry)


def _wait_for_graph() -> dict[uuid.UUID, set[uuid.UUID]]:
    """Who waits for whom: for the holder of the path.

    Those ahead in its line are left out: they wait for the same holder, so every circle through them is also one
    without them, and a node in it that nobody waits for but in a line would give way for nothing.
    """
    graph: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for node, holder in Conflict.objects.waiting().values_list("node_id", "lock__node_id"):
        if holder is not None:
            graph[node].add(holder)
    return graph


def _choose_victim(circle: list[uuid.UUID]) -> uuid.UUID:
    """The node that lost the fewest deadlocks so far; among equals the one with the youngest claim."""
    rows = Node.objects.filter(pk__in=circle).annotate(
        losses=Count("conflicts", filter=Q(conflicts__outcome=Conflict.Outcome.DEADLOCK), distinct=True),
        youngest=Max("locks__locked_at"),
    )
    ranked = sorted(
        (losses, -youngest.timestamp() if youngest else 0.0, number, pk)
        for losses, youngest, number, pk in rows.values_list("losses", "youngest", "number", "pk")
    )
    return ranked[0][-1]


def _wait(node: Node, conflict: Conflict, *, timeout_s: float, cancellation: Cancellation) -> Claim:
    started = time.monotonic()
    with waiting_room.seat(conflict.pk) as bell, cancellation.calling(bell.set):
        while True:
            conflict.refresh_from_db(fields=["outcome", "ended_at"])
            waited_s = time.monotonic() - started
            if conflict.outcome == Conflict.Outcome.GRANTED:
                return _take_up(node, conflict, waited_s)
            if conflict.outcome == Conflict.Outcome.DEADLOCK:
                raise DeadlockVictim(conflict.path, _others(conflict))
            if conflict.outcome != Conflict.Outcome.WAITING:
                raise Cancelled("The wait was ended because its node ended.")
            if cancellation.is_cancelled:
                _end_wait(conflict, Conflict.Outcome.CANCELLED)
                cancellation.raise_if_cancelled()
            if waited_s >= timeout_s:
                if _end_wait(conflict, Conflict.Outcome.TIMED_OUT):
                    raise LockTimedOut(
                        f"{conflict.path} stayed held by {conflict.held_by} for {timeout_s:.0f} s; "
                        "the attempt ends and is tried again."
                    )
                continue
            bell.wait(min(POLL_S, timeout_s - waited_s))
            bell.clear()
            _expire(conflict.lock_id)


def _take_up(node: Node, conflict: Conflict, waited_s: float) -> Claim:
    """Tell of a path that was handed over; the holder that released it could not lock this execution's row."""
    with recording(node.execution_id) as record:
        lock = FileLock.objects.get(pk=conflict.lock_id)
        if lock.node_id != node.pk:
            raise LockLost(f"The claim on {conflict.path} was granted, but expired before it was taken up; retry it.")
        record("file:locked", node, path=conflict.path, token=lock.token)
        record("swarm:conflict", node, path=conflict.path, held_by=conflict.held_by, outcome=conflict.outcome)
    return Claim(conflict.path, lock.token, waited_s)


def _others(conflict: Conflict) -> list[uuid.UUID]:
    """The nodes that the victim stood against: the holder and everybody ahead in the line."""
    holder = FileLock.objects.get(pk=conflict.lock_id).node_id
    ahead = Conflict.objects.waiting().filter(lock=conflict.lock_id, pk__lt=conflict.pk)
    others = {*ahead.values_list("node_id", flat=True), holder} - {None, conflict.node_id}
    return [other for other in others if other is not None]


def _end_wait(conflict: Conflict, outcome: Conflict.Outcome) -> bool:
    """Take an entry out of its line; False if its wait had ended otherwise just before."""
    ended = Conflict.objects.waiting().filter(pk=conflict.pk).update(ended_at=now(), outcome=outcome)
    return ended == 1


def _wake_on_commit(conflict: Conflict) -> None:
    transaction.on_commit(lambda: waiting_room.wake([conflict.pk]))


def _expire(lock_id: int) -> None:
    """Hand a path over whose holder's lease has run out, or who was deleted."""
    at = now()
    if FileLock.objects.held(at).filter(pk=lock_id).exists():
        return
    with transaction.atomic():
        lock = FileLock.objects.select_for_update().get(pk=lock_id)
        if not lock.is_held(at):
            hand_over(lock, at)
