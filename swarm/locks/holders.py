"""Who holds a path: granted, handed over to the next in line, taken from one whose lease has run out.

Every function that is given a row needs it locked (`lock_rows`) by the caller's transaction. Rows are locked in the
order of their number, always after the execution's (`recording`); on SQLite transactions are IMMEDIATE instead.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils.timezone import now

from swarm.locks.notices import wake_on_commit
from swarm.models import Conflict, FileLock, Node
from swarm.workspace.paths import lock_key

HAS_HOLDER = Q(node__isnull=False) | Q(user__isnull=False)


def lease() -> timedelta:
    """How long a node holds a path after its last heartbeat."""
    return timedelta(seconds=settings.SWARM_LOCK_TTL)


def is_running(node: Node) -> bool:
    """Whether this attempt of the node runs; settled for the rest of a transaction that has its execution's row."""
    return Node.objects.filter(pk=node.pk, status=Node.Status.RUNNING, attempt=node.attempt).exists()


def lock_rows(condition: Q) -> dict[int, FileLock]:
    """The rows that meet `condition` by their number, locked until the transaction ends."""
    return {lock.pk: lock for lock in FileLock.objects.select_for_update().filter(condition).order_by("pk")}


def grant(lock: FileLock, at: datetime, node: Node | None, path: str) -> None:
    """Write the path's new holder, or that it is free, with a fencing token that nobody had before."""
    lock.node, lock.user, lock.reason, lock.path = node, None, "", path
    lock.locked_at = at if node else None
    lock.expires_at = at + lease() if node else None
    lock.token += 1
    lock.save(update_fields=["node", "user", "reason", "path", "locked_at", "expires_at", "token"])


GRANT_IF_FREE = """
INSERT INTO swarm_filelock (key, path, node_id, reason, token, locked_at, expires_at)
SELECT %(key)s, %(path)s, id, '', 1, %(at)s, %(until)s
FROM swarm_node WHERE id = %(node)s AND status = 'running' AND attempt = %(attempt)s
ON CONFLICT (key) DO UPDATE
SET path = excluded.path, node_id = excluded.node_id, user_id = NULL, reason = '', token = swarm_filelock.token + 1,
    locked_at = excluded.locked_at, expires_at = excluded.expires_at
WHERE (swarm_filelock.expires_at IS NULL OR swarm_filelock.expires_at <= excluded.locked_at
       OR (swarm_filelock.node_id IS NULL AND swarm_filelock.user_id IS NULL))
  AND NOT EXISTS (SELECT 1 FROM swarm_conflict WHERE lock_id = swarm_filelock.id AND ended_at IS NULL)
RETURNING id, token
"""


def grant_if_free(node: Node, path: str, at: datetime) -> tuple[int, int] | None:
    """Grant a path that nobody holds or waits for to a running node; None if it cannot be had so.

    Returns the number of the path's row and the fencing token. One statement, which needs no row locked: nearly all
    claims are of this kind, and the ORM would need five.
    """
    values = {
        "key": lock_key(path),
        "path": path,
        "node": Node._meta.pk.get_db_prep_value(node.pk, connection),
        "attempt": node.attempt,
        "at": connection.ops.adapt_datetimefield_value(at),
        "until": connection.ops.adapt_datetimefield_value(at + lease()),
    }
    with connection.cursor() as cursor:
        cursor.execute(GRANT_IF_FREE, values)
        row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else None


def hand_over(lock: FileLock, at: datetime) -> None:
    """Give a path to the first running node in its line, or free it."""
    has_expired = lock.has_holder and not lock.is_held(at)
    outcome = Conflict.Outcome.HOLDER_EXPIRED if has_expired else Conflict.Outcome.GRANTED
    line = Conflict.objects.line_for(lock)
    following = next((entry for entry in line if end_wait(entry, at, outcome)), None)
    if following is None:
        grant(lock, at, None, lock.path)
    else:
        grant(lock, at, following.node, following.path)


def expire(lock_ids: Collection[int]) -> None:
    """Hand those paths over whose holder's lease has run out, or who was deleted; in a transaction of its own."""
    if FileLock.objects.held(now()).filter(pk__in=lock_ids).count() == len(lock_ids):
        return
    with transaction.atomic():
        locks = lock_rows(Q(pk__in=lock_ids))
        at = now()
        for lock in locks.values():
            if not lock.is_held(at):
                hand_over(lock, at)


def end_wait(entry: Conflict, at: datetime, outcome: Conflict.Outcome) -> bool:
    """Take an entry out of its path's line and wake its node's thread; False if its wait had ended already."""
    if not Conflict.objects.waiting().filter(pk=entry.pk).update(ended_at=at, outcome=outcome):
        return False
    wake_on_commit(entry.pk)
    return True
