"""Claims on paths: granted, waited for, renewed and released. This package alone writes lock rows.

A path's `FileLock` row says who holds it. Whoever cannot have it at once stands in line as a `Conflict` row; a release
hands the path to the first in line within the same transaction, so nobody can slip in between.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.events.record import Recorder, record_numbered, take_number
from swarm.locks.errors import LockLost, LockTimedOut
from swarm.locks.holders import end_wait, grant_if_free, hand_over, lease, lock_rows
from swarm.locks.notices import listening
from swarm.locks.waiting import waiting_room
from swarm.locks.waits import Claim, Wait, ask, tell_conflict
from swarm.models import Conflict, FileLock, Node
from swarm.workspace.paths import lock_key

log = structlog.get_logger(__name__)

POLL_S = 1.0
"""How often a waiter looks at its rows without being woken: for expired holders, and wake-ups that got lost."""


def claim_paths(
    node: Node,
    paths: Collection[str],
    *,
    policy: str,
    timeout_s: float,
    cancellation: Cancellation,
    on_wait: Callable[[str], None],
) -> list[Claim]:
    """Claim `paths` for `node`, all or none, waiting in line for up to `timeout_s` seconds while others hold some.

    The claims come in the order of the paths; spellings of one path are one. What the node has already is granted
    again. `on_wait` is called with a holder's name before a wait. Raises `PathHeld` at once if the policy is to be
    notified, `LockTimedOut`, `DeadlockVictim`, `LockLost` if a claim expired before the waiting thread took it up,
    `Cancelled`, and `WrongStatus` if the node does not run any more; none of the paths is newly held then.
    """
    wait = begin_claim(node, paths, policy)
    if wait.places:
        on_wait(next(iter(wait.places.values())).held_by)
        _sit_through(wait, timeout_s, cancellation)
    claims = {lock_key(claim.path): claim for claim in wait.claims.values()}
    return [claims[key] for key in dict.fromkeys(map(lock_key, paths))]


def begin_claim(node: Node, paths: Iterable[str], policy: str) -> Wait:
    """Take the paths if all are free, else what is, and stand in line for the rest; raises what `ask` does."""
    wanted = {lock_key(path): path for path in paths}
    if len(wanted) == 1 and (taken := _take_free(node, *wanted.values())):
        return taken
    return ask(node, _rows_of(wanted), policy)


def check_claims(node: Node, claims: Mapping[str, int]) -> None:
    """Hold the claims' rows until the transaction ends; raise `LockLost` unless all are still the node's own.

    `claims` maps paths to the fencing tokens that they were granted with.
    """
    keys = {lock_key(path) for path in claims}
    locks = lock_rows(Q(node=node, key__in=keys)).values()
    at = now()
    found = {lock.key: lock.token for lock in locks if lock.is_held(at)}
    lost = sorted(path for path, token in claims.items() if found.get(lock_key(path)) != token)
    if lost:
        raise LockLost(
            f"The claim on {', '.join(lost)} expired or was broken before the commit; the work was dropped, retry it."
        )


def release_claims(record: Recorder, node: Node) -> None:
    """Give up all claims of `node` and its places in line, and hand the paths on, within the caller's transaction."""
    locks = _leave_lines(record, node, Q(node=node))
    at = now()
    for lock in locks.values():
        if lock.node_id == node.pk:
            record("file:unlocked", node, path=lock.path)
            hand_over(lock, at)


def leave_lines(record: Recorder, node: Node) -> None:
    """Give up the places in line of a node that nobody runs any more; its claims stay its own."""
    _leave_lines(record, node, Q())


def renew_claims(nodes: Iterable[uuid.UUID], *, lasting: timedelta | None = None) -> None:
    """Let all claims that these nodes hold last so long from now on, or SWARM_LOCK_TTL; one that ran out stays lost."""
    with transaction.atomic():
        # An UPDATE alone would lock its rows in any order, and so meet claims in a deadlock of the database.
        locks = lock_rows(Q(node__in=list(nodes)))
        at = now()  # only now: the wait for the rows may have outlasted a lease
        held = [lock.pk for lock in locks.values() if lock.is_held(at)]
        FileLock.objects.filter(pk__in=held).update(expires_at=at + (lasting or lease()))


def _leave_lines(record: Recorder, node: Node, others: Q) -> dict[int, FileLock]:
    """End the waits of `node`; the locked rows of the paths it waited for and of `others`.

    The awaited rows are locked because one of them may be on its way to this node.
    """
    places = list(Conflict.objects.waiting().filter(node=node))
    locks = lock_rows(others | Q(pk__in=[place.lock_id for place in places]))
    at = now()
    for place in places:
        if end_wait(place, at, Conflict.Outcome.CANCELLED):
            place.outcome = Conflict.Outcome.CANCELLED
            tell_conflict(record, node, place)
    return locks


def _take_free(node: Node, path: str) -> Wait | None:
    """Grant a path that nobody holds or awaits: the common case, in as few statements as can be."""
    with transaction.atomic():
        seq = take_number(node)
        granted = grant_if_free(node, path, now())
        if granted is None:
            transaction.set_rollback(True)
            return None
        lock_id, token = granted
        record_numbered(seq, "file:locked", node, path=path, token=token)
    return Wait(node, {lock_id: Claim(path, token, 0.0)})


def _rows_of(wanted: Mapping[str, str]) -> dict[int, str]:
    """Paths by the numbers of their rows, in the order to lock those in; makes rows for paths without one.

    `wanted` maps the keys of rows to paths.
    """
    rows = FileLock.objects.filter(key__in=wanted).order_by("pk").values_list("pk", "key")
    if len(rows) < len(wanted):
        FileLock.objects.bulk_create(
            [FileLock(key=key, path=path) for key, path in wanted.items()], ignore_conflicts=True
        )
        rows = rows.all()
    return {lock_id: wanted[key] for lock_id, key in rows}


def _sit_through(wait: Wait, timeout_s: float, cancellation: Cancellation) -> None:
    """Sleep until all is granted. Raises what `Wait.look` does, `LockTimedOut`, and `Cancelled`."""
    deadline_s = time.monotonic() + timeout_s
    entries = [place.pk for place in wait.places.values()]
    with listening(), waiting_room.seat(entries) as bell, cancellation.calling(bell.set):
        while not _look(wait):
            remaining_s = deadline_s - time.monotonic()
            if cancellation.is_cancelled:
                wait.give_back(Conflict.Outcome.CANCELLED)
                cancellation.raise_if_cancelled()
            if remaining_s <= 0:
                awaited = FileLock.objects.select_related("node", "user").get(pk=next(iter(wait.places)))
                wait.give_back(Conflict.Outcome.TIMED_OUT)
                raise LockTimedOut(
                    f"{awaited} stayed held by {awaited.holder} for {timeout_s:.0f} s; the attempt ends and is tried "
                    "again. Look at what the holder does, or let nodes wait longer (SWARM_LOCK_WAIT)."
                )
            bell.wait(min(POLL_S, remaining_s))
            bell.clear()


def _look(wait: Wait) -> bool:
    try:
        return wait.look()
    except (OperationalError, InterfaceError) as error:
        # The database restarts, or cannot be reached: its rows will tell what happened once it is back.
        log.warning("claims.look_failed", node=str(wait.node.pk), error=str(error))
        connection.close()
        return False
