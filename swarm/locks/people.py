"""Locks that a person takes: nodes wait for them as for each other."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.timezone import now

from swarm.events.record import record_outside_executions
from swarm.locks.claims import hand_over
from swarm.locks.errors import NotTheHolder, PathHeld
from swarm.models import Conflict, FileLock
from swarm.workspace.paths import lock_key, normalise


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
