"""Removes what old executions leave behind: their events, calls, turns, conflicts and checks, and dead checkouts.

What stays: executions and nodes with their sums, the check that proved each story, and the branches. An execution is
pruned SWARM_RETENTION_DAYS after its end; rows go by their own age, so that one which runs again loses nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, QuerySet, Sum

from swarm.engine.evidence import CHECKOUTS
from swarm.events.record import recording
from swarm.models import Call, CheckRun, Conflict, Event, Execution, Period, Turn
from swarm.workspace.checkout import remove_leftovers

log = structlog.get_logger(__name__)

PRUNED = "swarm:pruned"
BATCH = 500
"""Rows removed in one transaction: SQLite, which has one writer at a time, is held for a few milliseconds."""
INTERVAL = timedelta(hours=1)


class Housekeeper:
    """Calls `prune_next` as often as there is something to do, otherwise once an hour."""

    def __init__(self) -> None:
        self._due_at: datetime | None = None

    def look_after(self, at: datetime) -> None:
        """Do a small piece of work if it is time; for a thread that has other things to look after too."""
        if self._due_at is not None and at < self._due_at:
            return
        if not prune_next(at):
            _remove_dead_checkouts()
            self._due_at = at + INTERVAL


def prune(at: datetime) -> int:
    """Prune all that is too old at `at`; return how many executions that were."""
    _remove_dead_checkouts()
    count = 0
    while prune_next(at):
        count += 1
    return count


def prune_next(at: datetime) -> bool:
    """Prune one execution that is too old at `at`; False if there is none, or SWARM_RETENTION_DAYS is 0."""
    if not settings.SWARM_RETENTION_DAYS:
        return False
    before = at - timedelta(days=settings.SWARM_RETENTION_DAYS)
    _remove(Event.objects.filter(execution=None, at__lt=before))
    old = _old_events(before).filter(execution=OuterRef("pk"))
    execution = Execution.objects.ended_before(before).filter(Exists(old)).order_by("finished_at").first()
    if execution is None:
        return False
    _tell(execution, at, before)
    for rows in _rows(execution, before):
        _remove(rows)
    _fold_periods(execution, before)
    # Last, because an execution counts as pruned once none of its old events is left.
    _remove(_old_events(before).filter(execution=execution))
    log.info("execution.pruned", execution=str(execution.pk))
    return True


def _remove_dead_checkouts() -> None:
    try:
        remove_leftovers(CHECKOUTS)
    except OSError as error:
        log.warning("checkouts.not_removed", error=str(error))


def _old_events(before: datetime) -> QuerySet[Event]:
    return Event.objects.filter(at__lt=before).exclude(type=PRUNED)


def _tell(execution: Execution, at: datetime, before: datetime) -> None:
    """Say so first, in the row and as an event: whoever replays the events finds the reason for their gap."""
    with recording(execution.pk) as record:
        Execution.objects.filter(pk=execution.pk).update(pruned_at=at)
        record(PRUNED, before=before.isoformat(), days=settings.SWARM_RETENTION_DAYS)


def _rows(execution: Execution, before: datetime) -> Iterator[QuerySet[Call | Turn | Conflict | CheckRun]]:
    yield Call.objects.filter(node__execution=execution, started_at__lt=before)
    yield Turn.objects.filter(node__execution=execution, created_at__lt=before)
    yield Conflict.objects.filter(execution=execution, asked_at__lt=before)
    yield CheckRun.objects.filter(node__execution=execution, created_at__lt=before).exclude(pk=F("node__proof"))


def _remove(rows: QuerySet[Any]) -> None:
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        rows.model._default_manager.filter(pk__in=keys).delete()


def _fold_periods(execution: Execution, before: datetime) -> None:
    """Keep one period for each attempt and activity, so that work times and the NFR-1 verdict stay what they were."""
    for node in execution.nodes.all():
        with transaction.atomic():
            old = Period.objects.filter(node=node, started_at__lt=before).order_by("attempt", "activity")
            sums = old.values("attempt", "activity").annotate(since=Min("started_at"), total=Sum("seconds"))
            folded = [
                Period(
                    node=node, attempt=it["attempt"], activity=it["activity"], started_at=it["since"],
                    seconds=it["total"],
                )
                for it in sums
            ]  # fmt: skip
            old.delete()
            Period.objects.bulk_create(folded)
