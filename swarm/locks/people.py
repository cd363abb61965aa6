"""Locks that a person takes, for which nodes wait as for each other, and locks that an administrator breaks."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.timezone import now

from swarm.events.record import record_outside_executions, recording
from swarm.locks.errors import LockMoved, NotTheHolder, PathHeld, ReasonMissing
from swarm.locks.holders import hand_over
from swarm.models import Conflict, FileLock
from swarm.workspace.paths import lock_key, normalise

_MOVED = "The lock of {path} has changed meanwhile; look who holds it now."


def lock_path(user: User, path: str, *, reason: str, ttl_s: float) -> FileLock:
    """Hold `path` for `ttl_s` seconds, or extend the hold. Raises `PathHeld` or `PathOutsideWorkspace`."""
    path = normalise(path)
    FileLock.objects.get_or_create(key=lock_key(path), defaults={"path": path})
    with transaction.atomic():
        lock = FileLock.objects.select_for_update().get(key=lock_key(path))
        at = now()
        is_own = lock.user_id == user.pk and lock.is_held(at)
        if lock.is_held(at) and not is_own:
            raise PathHeld(path, holder=lock.holder, since=lock.locked_at or at)
        if not is_own and (following := Conflict.objects.line_for(lock).first()):
            raise PathHeld(path, holder=str(following.node), since=at)
        lock.path, lock.node, lock.user, lock.reason = path, None, user, reason
        lock.locked_at = lock.locked_at if is_own else at
        lock.expires_at = at + timedelta(seconds=ttl_s)
        lock.token += 1
        lock.save()
        record_outside_executions("file:locked", path=path, user=str(user), reason=reason)
    return lock


def unlock_path(user: User, path: str) -> None:
    """Give a held path up. Raises `NotTheHolder` if it is free or somebody else's."""
    path = normalise(path)
    with transaction.atomic():
        lock = FileLock.objects.select_for_update().filter(key=lock_key(path)).first()
        if lock is None or not lock.is_held(now()):
            raise NotTheHolder(f"{path} is not locked.")
        if lock.user_id != user.pk:
            raise NotTheHolder(f"{path} is held by {lock.holder}, not by you; ask them to release it.")
        hand_over(lock, now())
        record_outside_executions("file:unlocked", path=path, user=str(user))


def break_lock(user: User | None, path: str, *, reason: str, token: int | None = None) -> FileLock:
    """Take `path` from whoever holds it and hand it to the first in line; returns the lock as it was.

    The fencing token grows, so that a node's commit with it is refused (`LockLost`) and its attempt starts again. The
    event stands in the execution of the node that held it. `user` is None at the command line; `token` is that of the
    lock which `user` has seen and means. Raises `ReasonMissing`, `LockMoved` and the errors of `normalise`.
    """
    path = normalise(path)
    if not reason.strip():
        raise ReasonMissing("Say why the lock is broken; its holder and the log are told.")
    held = FileLock.objects.held(now()).select_related("node", "user")
    seen = held.filter(key=lock_key(path)).first()
    if seen is None:
        raise LockMoved(f"Nobody holds {path}, so there is no lock to break.")
    if token not in (None, seen.token):
        raise LockMoved(_MOVED.format(path=path))
    why = {"path": seen.path, "broken_by": str(user) if user else "the command line", "reason": reason.strip()}
    if seen.node is not None:
        with recording(seen.node.execution_id) as record:
            _take_away(seen)
            record("file:unlocked", seen.node, **why)
    else:
        with transaction.atomic():
            _take_away(seen)
            record_outside_executions("file:unlocked", user=seen.holder, **why)
    return seen


def _take_away(seen: FileLock) -> None:
    """Hand a lock on that is still as it was seen, within the caller's transaction."""
    lock = FileLock.objects.select_for_update().get(pk=seen.pk)
    at = now()
    if lock.token != seen.token or not lock.is_held(at):
        raise LockMoved(_MOVED.format(path=lock.path))
    hand_over(lock, at)
