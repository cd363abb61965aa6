"""A claim of one or several paths from asking to its end: granted as a whole, or nothing of it.

All paths are asked for in one transaction: the free ones are the node's at once, in the lines of the others it stands
from the same moment on. So of two claims the earlier one comes first in every line, none starves, and claims of nodes
that hold nothing else cannot wait in a circle. Whoever gives up gives back what the claim had brought so far.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q
from django.utils.timezone import now

from swarm.errors import Cancelled
from swarm.events.record import Recorder, recording
from swarm.locks.circles import break_deadlocks
from swarm.locks.errors import DeadlockVictim, LockLost, PathHeld
from swarm.locks.holders import HAS_HOLDER, end_wait, expire, grant, hand_over, is_running, lock_rows
from swarm.models import Conflict, Execution, FileLock, Node, WrongStatus


@dataclass(frozen=True)
class Claim:
    """A granted claim: the path, its fencing token, and how long the node waited for it in seconds."""

    path: str
    token: int
    waited_s: float


@dataclass
class Wait:
    """What a node wants at once, all by the numbers of the paths' rows: granted so far, and its places in line."""

    node: Node
    claims: dict[int, Claim] = field(default_factory=dict)
    places: dict[int, Conflict] = field(default_factory=dict)
    had_before: set[int] = field(default_factory=set)

    def look(self) -> bool:
        """Take in what has happened since; True as soon as all paths are the node's.

        Raises `DeadlockVictim`, `LockLost` if a claim expired before it was taken up, and `Cancelled` if somebody
        ended the node; then everything is given back.
        """
        if not self.places:
            return True
        rows = Conflict.objects.filter(pk__in=[place.pk for place in self.places.values()])
        ended = {row.lock_id: row for row in rows if row.outcome != Conflict.Outcome.WAITING}
        refused = [row for row in ended.values() if not row.is_granted]
        if not ended:
            expire(self.places)
        elif not refused:
            self._take_up(ended)
        elif refused[0].outcome == Conflict.Outcome.DEADLOCK:
            others = [other for row in refused for other in _stood_against(row)]
            self.give_back(Conflict.Outcome.DEADLOCK)
            raise DeadlockVictim(refused[0].path, list(dict.fromkeys(others)))
        else:
            raise Cancelled("The wait was ended because its node ended.")
        return not self.places

    def give_back(self, outcome: Conflict.Outcome) -> None:
        """Leave every line, as `outcome` says, and give up what this claim brought, not what the node had before."""
        with recording(self.node.execution_id) as record:
            if not is_running(self.node):
                return  # whoever ended the attempt gave everything back; what the node holds now is another's
            locks = lock_rows(Q(pk__in=(self.claims.keys() | self.places.keys()) - self.had_before))
            at = now()
            for place in self.places.values():
                end_wait(place, at, outcome)
                place.refresh_from_db(fields=["outcome"])
                tell_conflict(record, self.node, place)
            for lock in locks.values():
                if lock.node_id == self.node.pk:
                    if lock.pk in self.claims:
                        record("file:unlocked", self.node, path=lock.path)
                    hand_over(lock, at)

    def _take_up(self, granted: Mapping[int, Conflict]) -> None:
        """Count paths as the node's that were handed over, and tell of it; the releasing holder could not.

        While the node waits for more, somebody who waits for one of these may close a circle.
        """
        is_last = len(granted) == len(self.places)
        try:
            with recording(self.node.execution_id) as record:
                _require_running(self.node)
                locks = lock_rows(Q(pk__in=granted) if is_last else Q(pk__in=granted) | HAS_HOLDER)
                at = now()
                for lock_id, place in granted.items():
                    self._require_holder(locks[lock_id], place, at)
                    _tell_granted(record, self.node, locks[lock_id])
                    tell_conflict(record, self.node, place)
                if not is_last:
                    break_deadlocks(self.node.pk, at)
        except LockLost:
            self.give_back(Conflict.Outcome.CANCELLED)
            raise
        for lock_id, place in granted.items():
            self.claims[lock_id] = Claim(place.path, locks[lock_id].token, place.waited.total_seconds())
            del self.places[lock_id]

    def _require_holder(self, lock: FileLock, place: Conflict, at: datetime) -> None:
        if lock.node_id != self.node.pk or not lock.is_held(at):
            raise LockLost(f"The claim on {place.path} was granted, but expired before it was taken up; retry it.")


def ask(node: Node, wanted: Mapping[int, str], policy: str) -> Wait:
    """Take the paths that are free or the node's own, stand in line for the others, break deadlocks that this closes.

    `wanted` maps the numbers of rows to paths. Locks every held row, so that of two nodes closing a circle at the same
    moment the second sees the first. Raises `PathHeld`, with nothing taken, if a path is held and the policy is to be
    notified, and `WrongStatus` if the node does not run any more.
    """
    wait = Wait(node)
    refusal = None
    with recording(node.execution_id) as record:
        _require_running(node)
        locks = lock_rows(Q(pk__in=wanted) | HAS_HOLDER)
        at = now()
        free = []
        for lock_id, path in wanted.items():
            lock = locks[lock_id]
            if not lock.is_held(at) and Conflict.objects.line_for(lock).exists():
                hand_over(lock, at)
            if not lock.is_held(at):
                free.append(lock)
            elif lock.node_id == node.pk:
                wait.had_before.add(lock_id)
                wait.claims[lock_id] = Claim(path, lock.token, 0.0)
            else:
                wait.places[lock_id] = _log_conflict(record, node, lock, path, policy, at)
                refusal = refusal or PathHeld(path, holder=lock.holder, since=lock.locked_at or at)
        if refusal is None or policy == Execution.OnConflict.WAIT:
            for lock in free:
                grant(lock, at, node, wanted[lock.pk])
                _tell_granted(record, node, lock)
                wait.claims[lock.pk] = Claim(lock.path, lock.token, 0.0)
            if wait.places:
                break_deadlocks(node.pk, at)
    if refusal and policy == Execution.OnConflict.NOTIFY:
        raise refusal
    return wait


def _require_running(node: Node) -> None:
    """Refuse a late thread whose node ended or was taken up again: nobody would release what it claims."""
    if not is_running(node):
        raise WrongStatus(f"{node.name} does not run attempt {node.attempt} any more, so it may not claim a path.")


def _log_conflict(record: Recorder, node: Node, lock: FileLock, path: str, policy: str, at: datetime) -> Conflict:
    is_notified = policy == Execution.OnConflict.NOTIFY
    conflict = Conflict.objects.create(
        lock=lock,
        path=path,
        execution_id=node.execution_id,
        node=node,
        held_by=lock.holder,
        policy=policy,
        asked_at=at,
        outcome=Conflict.Outcome.NOTIFIED if is_notified else Conflict.Outcome.WAITING,
        ended_at=at if is_notified else None,
    )
    tell_conflict(record, node, conflict)
    return conflict


def tell_conflict(record: Recorder, node: Node, conflict: Conflict) -> None:
    """Record that the node's wait began, or how it ended."""
    record("swarm:conflict", node, path=conflict.path, held_by=conflict.held_by, outcome=conflict.outcome)


def _tell_granted(record: Recorder, node: Node, lock: FileLock) -> None:
    record("file:locked", node, path=lock.path, token=lock.token)


def _stood_against(conflict: Conflict) -> list[uuid.UUID]:
    """The nodes that a victim's wait stood against: the holder and everybody ahead in the line."""
    holder = FileLock.objects.get(pk=conflict.lock_id).node_id
    ahead = Conflict.objects.waiting().filter(lock=conflict.lock_id, pk__lt=conflict.pk)
    others = {*ahead.values_list("node_id", flat=True), holder} - {None, conflict.node_id}
    return [other for other in others if other is not None]
