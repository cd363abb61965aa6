"""Reads recorded events in order and each exactly once, for one socket.

The rows are the record: a cursor remembers how far it has read, and every read goes on from there, however many rings
of the doorbell came, were merged or got lost. Knows nothing of sockets; every method touches the database.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Set
from datetime import UTC, timedelta
from typing import Protocol

from django.db.models import Max, Q, QuerySet
from django.utils.timezone import now

from swarm.models import Event, Execution

CHUNK = 500
"""Most events that one read returns; a full chunk means that there may be more."""

Subject = uuid.UUID | int
"""What a ring is about: an execution, or the row number of an event outside any."""


class Cursor(Protocol):
    def read(self, subjects: Set[Subject], /) -> list[Event]:
        """The events recorded since the last read, at most `CHUNK`; `subjects` hints at where to look first."""


def frame_of(event: Event) -> str:
    """The WebSocket frame of the contract, as JSON text."""
    frame = {
        "type": event.type,
        "execution": str(event.execution_id) if event.execution_id else None,
        "seq": event.seq,
        "at": event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": event.data,
    }
    if event.node_id:
        frame["node"] = str(event.node_id)
    return json.dumps(frame, ensure_ascii=False)


class ExecutionCursor:
    """Follows one execution from the event behind number `after`."""

    def __init__(self, execution_id: uuid.UUID, after: int) -> None:
        self._execution_id = execution_id
        self._seq = after

    def read(self, _subjects: Set[Subject], /) -> list[Event]:
        events = list(Event.objects.after(self._execution_id, self._seq)[:CHUNK])
        if events:
            self._seq = events[-1].seq or self._seq
        return events


class SwarmCursor:
    """Follows every execution and what happens outside them, from the moment it is made.

    Row numbers are no order: two executions' transactions may commit in the other order than they drew their numbers.
    So each execution has a cursor of its own, and an event outside them is found by its ring even when a later one was
    read before it.
    """

    def __init__(self) -> None:
        self._seqs: dict[uuid.UUID, int] = dict(Execution.objects.values_list("id", "last_seq"))
        self._outside: int = self._events_outside().aggregate(last=Max("pk"))["last"] or 0
        self._sent_outside: deque[int] = deque(maxlen=1000)
        self._behind: set[uuid.UUID] = set()

    def read(self, subjects: Set[Subject], /) -> list[Event]:
        events = self._read_outside({subject for subject in subjects if isinstance(subject, int)})
        self._behind |= {subject for subject in subjects if isinstance(subject, uuid.UUID)}
        for execution_id, last_seq in self._executions_with_news():
            seq = self._seqs.get(execution_id, 0)
            if last_seq > seq:
                news = list(Event.objects.after(execution_id, seq)[: max(0, CHUNK - len(events))])
                seq = (news[-1].seq or seq) if news else seq
                events += news
            self._seqs[execution_id] = seq
            if seq >= last_seq:
                self._behind.discard(execution_id)
        return events

    def _executions_with_news(self) -> list[tuple[uuid.UUID, int]]:
        """Those that rang and were not read to their end yet, and those whose ring may have got lost.

        The latter are the active ones and the ones that ended just now.
        """
        recent = Q(status__in=Execution.ACTIVE) | Q(finished_at__gte=now() - timedelta(minutes=1))
        return list(Execution.objects.filter(recent | Q(pk__in=self._behind)).values_list("id", "last_seq"))

    def _read_outside(self, rung: Set[int]) -> list[Event]:
        rows = self._events_outside().filter(Q(pk__gt=self._outside) | Q(pk__in=rung)).order_by("pk")[:CHUNK]
        events = [event for event in rows if event.pk not in self._sent_outside]
        self._sent_outside.extend(event.pk for event in events)
        self._outside = max([self._outside, *(event.pk for event in events)])
        return events

    @staticmethod
    def _events_outside() -> QuerySet[Event]:
        return Event.objects.filter(execution=None)
