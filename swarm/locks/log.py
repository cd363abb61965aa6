"""Reads the conflict log: the claims that were not granted at once, chosen by a filter, and the files they were about.

Only reads. What a filter's text means is decided here, so that page, API and command line find the same.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import (
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    Value,
)
from django.db.models.functions import Coalesce

from swarm.models import Conflict, FileLock

HOT_FILES = 10
WEEK_S = 7 * 24 * 3600
"""Longer than a node may run or a person may hold a path, and so longer than any wait."""


@dataclass(frozen=True)
class ConflictFilter:
    """Which conflicts to show; what is empty or None does not matter. `path` is a part of the path, in any case."""

    execution: uuid.UUID | None = None
    node: uuid.UUID | None = None
    story: str = ""
    path: str = ""
    outcome: str = ""
    policy: str = ""
    longer_than_s: float | None = None

    def rows(self, at: datetime) -> QuerySet[Conflict]:
        """The conflicts that match at the instant `at`, until which those that still wait have waited."""
        exact = {
            "execution": self.execution, "node": self.node, "node__story_id": self.story,
            "outcome": self.outcome, "policy": self.policy, "path__icontains": self.path,
        }  # fmt: skip
        rows = Conflict.objects.filter(**{name: value for name, value in exact.items() if value})
        if self.longer_than_s is not None:
            least = timedelta(seconds=self.longer_than_s)
            rows = rows.filter(
                Q(ended_at__gt=F("asked_at") + least) | Q(ended_at__isnull=True, asked_at__lt=at - least)
            )
        return rows


@dataclass(frozen=True)
class HotFile:
    """A path that was fought for: how often, how long all waits for it took together and the longest one took."""

    lock: FileLock
    conflicts: int
    waited: timedelta
    longest: timedelta
    is_held: bool


def held_with_lines(at: datetime) -> QuerySet[FileLock]:
    """The locks that are held, with holders; `queue` of each lists the conflicts that wait for it, the next first."""
    line = Prefetch("conflicts", Conflict.objects.waiting().select_related("node"), to_attr="queue")
    return FileLock.objects.held(at).select_related("node", "user").prefetch_related(line)


def hot_files(rows: QuerySet[Conflict], at: datetime) -> list[HotFile]:
    """The paths with most conflicts among `rows`, the hottest first, at most `HOT_FILES`."""
    waited = ExpressionWrapper(
        Coalesce("ended_at", Value(at, DateTimeField())) - F("asked_at"), output_field=DurationField()
    )
    # Without its order, which would be a part of what the rows are grouped by.
    groups = rows.order_by().values("lock_id").annotate(number=Count("id"), total=Sum(waited), longest=Max(waited))
    hottest = list(groups.order_by("-number", "-total", "lock_id")[:HOT_FILES])
    locks = FileLock.objects.select_related("node", "user").in_bulk([group["lock_id"] for group in hottest])
    return [
        HotFile(lock, it["number"], it["total"], it["longest"], lock.is_held(at))
        for it in hottest
        for lock in [locks[it["lock_id"]]]
    ]
