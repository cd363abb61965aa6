"""Records what happened, numbered within its execution, and rings the doorbell once it is committed.

Lock order everywhere: the execution's row first (taken here), then nodes, then file locks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from swarm.events.doorbell import doorbell
from swarm.models import Event, Execution, Node


class Recorder:
    """Collects the events of one transaction; `execution` is the row as locked by it."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.events: list[Event] = []

    def __call__(self, kind: str, node: Node | None = None, **data: Any) -> None:
        """Add an event of type `kind` with JSON-able `data`."""
        self.execution.last_seq += 1
        self.events.append(
            Event(execution=self.execution, seq=self.execution.last_seq, type=kind, node=node, data=data)
        )


@contextmanager
def recording(execution_id: uuid.UUID, *, skip_locked: bool = False) -> Iterator[Recorder]:
    """Open a transaction in which the rows of one execution change and the events that tell of it are written.

    Locks the execution's row, so numbers are committed in order and without gaps. Raises `Execution.DoesNotExist`; with
    `skip_locked` also instead of waiting for another process (PostgreSQL only: SQLite has one writer at a time anyway).
    """
    with transaction.atomic():
        recorder = Recorder(Execution.objects.select_for_update(skip_locked=skip_locked).get(pk=execution_id))
        yield recorder
        if not recorder.events:
            return
        Event.objects.bulk_create(recorder.events)
        last_seq = recorder.execution.last_seq
        Execution.objects.filter(pk=execution_id).update(last_seq=last_seq)
        transaction.on_commit(lambda: doorbell.ring(execution_id), robust=True)


TAKE_NUMBER = "UPDATE swarm_execution SET last_seq = last_seq + 1 WHERE id = %s RETURNING last_seq"


def take_number(node: Node) -> int:
    """Lock the row of the node's execution, as `recording` does, and take the number of one event.

    For transactions that write a single event and are so frequent that two statements fewer count; the event must
    follow, by `record_numbered`, or the transaction be rolled back. Raises `Execution.DoesNotExist`.
    """
    with connection.cursor() as cursor:
        cursor.execute(TAKE_NUMBER, [Execution._meta.pk.get_db_prep_value(node.execution_id, connection)])
        row = cursor.fetchone()
    if row is None:
        raise Execution.DoesNotExist
    return int(row[0])


def record_numbered(seq: int, kind: str, node: Node, **data: Any) -> None:
    """Write the event of type `kind` whose number the same transaction has taken."""
    execution_id = node.execution_id
    Event.objects.create(execution_id=execution_id, seq=seq, type=kind, node=node, data=data)
    transaction.on_commit(lambda: doorbell.ring(execution_id), robust=True)


def record_outside_executions(kind: str, **data: Any) -> None:
    """Record an event that belongs to no execution, such as a person's lock."""
    with transaction.atomic():
        event = Event.objects.create(type=kind, data=data)
        transaction.on_commit(lambda: doorbell.ring(event.pk), robust=True)
