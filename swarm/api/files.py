"""The lock table, and the locks that a person takes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.timezone import now
from ninja import Query, Router
from ninja.responses import Status

from swarm.api.auth import OPERATORS, may_break_locks
from swarm.api.lock_schemas import HeldLock, LockBody, UnlockBody
from swarm.api.paging import Page, PageQuery, page_of_rows
from swarm.api.schemas import Lock
from swarm.locks.log import held_with_lines
from swarm.locks.people import break_lock, lock_path, unlock_path
from swarm.models import FileLock

router = Router(tags=["files"])


@router.get("/locks", response=Page[HeldLock])
def locks(request: HttpRequest, query: Query[PageQuery]) -> Any:
    """The paths that are held now, by whom and until when, and who waits for them in which order."""
    return page_of_rows(held_with_lines(now()), query, by=("path", "id"))


@router.post("/lock", auth=OPERATORS, response=Lock)
def lock(request: HttpRequest, body: LockBody) -> FileLock:
    """Hold a path, or extend the hold; nodes wait for it as for each other. Held by somebody else: 409."""
    ttl_s = body.ttl if body.ttl is not None else settings.SWARM_LOCK_TTL
    return lock_path(request.user, body.path, reason=body.reason, ttl_s=ttl_s)  # type: ignore[arg-type]


@router.post("/unlock", auth=OPERATORS, response={204: None})
def unlock(request: HttpRequest, body: UnlockBody) -> Status[None]:
    """Give a path up that you hold; the next in line gets it. Free, or somebody else's: 409.

    With `force` and a `reason` it is taken from whoever holds it, which needs the permission `swarm.break_lock`; a node
    that held it starts its attempt again.
    """
    if body.force:
        may_break_locks(request)
        break_lock(request.user, body.path, reason=body.reason)  # type: ignore[arg-type]
    else:
        unlock_path(request.user, body.path)  # type: ignore[arg-type]
    return Status(204, None)
