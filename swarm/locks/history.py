"""Who held and who wanted which file of an execution, and when: what the map of files and time is drawn from.

Holds are read back from the recorded events, waits from the conflict log. Only reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from swarm.locks.log import WEEK_S
from swarm.models import Conflict, Event, Execution, FileLock, Node
from swarm.workspace.paths import lock_key

MAX_FILES = 40
MAX_WAITS = 1000


@dataclass(frozen=True)
class Hold:
    """A stretch of time in which a node, or a person if `node` is None, had a path."""

    holder: str
    node: Node | None
    begins_at: datetime
    ends_at: datetime

    @property
    def lasted(self) -> timedelta:
        return self.ends_at - self.begins_at


@dataclass(frozen=True)
class FileHistory:
    """A path that was fought for, its holders one after the other, and the waits for it in the order of asking."""

    path: str
    holds: list[Hold]
    waits: list[Conflict]


@dataclass(frozen=True)
class ExecutionHistory:
    """The files of one execution that were fought for, the longest waits first; `more_files` of them are left out."""

    execution: Execution
    begins_at: datetime
    ends_at: datetime
    files: list[FileHistory]
    more_files: int


def execution_history(execution: Execution, conflicts: QuerySet[Conflict], at: datetime) -> ExecutionHistory:
    """The history of `execution` up to the instant `at`; of its `conflicts`, those given."""
    begins_at = execution.started_at or execution.created_at
    ends_at = execution.finished_at or at
    newest = conflicts.filter(execution=execution).select_related("node", "lock").order_by("-id")[:MAX_WAITS]
    waits: dict[FileLock, list[Conflict]] = defaultdict(list)
    for conflict in reversed(list(newest)):
        waits[conflict.lock].append(conflict)
    locks = sorted(waits, key=lambda lock: (-sum((it.waited for it in waits[lock]), timedelta()), lock.path))
    shown = {lock.key: lock for lock in locks[:MAX_FILES]}
    holds = read_holds(_lock_events(begins_at, ends_at) if shown else [], shown, begins_at, ends_at)
    files = [FileHistory(lock.path, holds.get(key, []), waits[lock]) for key, lock in shown.items()]
    return ExecutionHistory(execution, begins_at, ends_at, files, len(locks) - len(files))


def read_holds(
    events: Iterable[Event], locks: Mapping[str, FileLock], begins_at: datetime, ends_at: datetime
) -> dict[str, list[Hold]]:
    """The holds of `locks` (by key) between two instants, from what was recorded of taking and giving up, in order.

    A lease that ran out leaves no event: the next holder's event, or the row's own expiry, ends such a hold.
    """
    holds: dict[str, list[Hold]] = defaultdict(list)
    current: dict[str, Event] = {}

    def close(key: str, at: datetime) -> None:
        if (taken := current.pop(key, None)) and at > begins_at:
            node, user = _who(taken)
            holds[key].append(Hold(str(node or user), node, max(taken.at, begins_at), min(at, ends_at)))

    for event in events:
        key = lock_key(event.data["path"])
        if key not in locks:
            continue
        is_same = key in current and _who(current[key]) == _who(event)
        if event.type == "file:unlocked" and is_same:
            close(key, event.at)
        elif event.type == "file:locked" and not is_same:  # a person who extends a hold goes on holding
            close(key, event.at)
            current[key] = event
    for key in list(current):
        close(key, min(ends_at, locks[key].expires_at or ends_at))
    return holds


def _who(event: Event) -> tuple[Node | None, str | None]:
    """The node or the person that an event is about."""
    return event.node, event.data.get("user")


def _lock_events(begins_at: datetime, ends_at: datetime) -> QuerySet[Event]:
    """What was recorded of locks by all executions of that time and by people; paths are shared between executions."""
    meanwhile = Execution.objects.filter(
        Q(finished_at__isnull=True) | Q(finished_at__gte=begins_at), created_at__lte=ends_at
    )
    events = Event.objects.filter(
        Q(execution__in=meanwhile) | Q(execution__isnull=True, at__gte=begins_at - timedelta(seconds=WEEK_S)),
        type__in=("file:locked", "file:unlocked"),
        at__lte=ends_at,
    )
    # One node has many events: read beside each of them (a join), it costs four times as much.
    return events.only("type", "at", "data", "node").prefetch_related("node").order_by("at", "id")
