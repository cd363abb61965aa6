"""How a socket's cursor reads the rows: in chunks, in order, each once, rung for or not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

from swarm.events.record import record_outside_executions, recording
from swarm.models import Event, Execution
from swarm.web import cursors
from swarm.web.cursors import ExecutionCursor, SwarmCursor
from tests.factories import make_execution

pytestmark = pytest.mark.django_db


def record(execution: Execution, count: int) -> None:
    with recording(execution.pk) as event:
        for _ in range(count):
            event("swarm:progress")


def seqs(events: list[Event]) -> list[int | None]:
    return [event.seq for event in events]


@pytest.fixture
def chunk_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "CHUNK", 3)


@pytest.mark.usefixtures("chunk_of_three")
def test_an_execution_is_read_in_chunks_each_event_once() -> None:
    execution = make_execution()
    record(execution, 5)
    cursor = ExecutionCursor(execution.pk, after=1)
    assert [seqs(cursor.read(set())) for _ in range(3)] == [[2, 3, 4], [5], []]


def test_a_number_that_is_not_reached_yet_waits_for_what_comes_after_it() -> None:
    execution = make_execution()
    cursor = ExecutionCursor(execution.pk, after=2)
    record(execution, 2)
    assert cursor.read(set()) == []
    record(execution, 1)
    assert seqs(cursor.read(set())) == [3]


@pytest.mark.usefixtures("chunk_of_three")
def test_a_ring_is_remembered_until_its_execution_is_read_to_the_end() -> None:
    """The execution ended long ago, so only its ring tells of it; the chunk is full before its turn comes."""
    others = [make_execution(status="completed", finished_at=now() - timedelta(hours=1)) for _ in range(2)]
    cursor = SwarmCursor()
    for execution in others:
        record(execution, 4)
    rung = {execution.pk for execution in others}
    read = [cursor.read(rung), cursor.read(set()), cursor.read(set()), cursor.read(set())]
    assert [len(events) for events in read] == [3, 3, 2, 0]
    for execution in others:
        own = [event for events in read for event in events if event.execution_id == execution.pk]
        assert seqs(own) == [1, 2, 3, 4]


def test_an_execution_that_began_and_ended_unheard_is_read_from_its_first_event() -> None:
    cursor = SwarmCursor()
    record(make_execution(status="completed", finished_at=now()), 2)
    assert seqs(cursor.read(set())) == [1, 2]


def test_an_event_outside_executions_that_commits_late_is_found_by_its_ring() -> None:
    cursor = SwarmCursor()
    record_outside_executions("file:locked", path="a.py")
    late = Event.objects.get()
    record_outside_executions("file:locked", path="b.py")
    Event.objects.filter(pk=late.pk).delete()  # as if its transaction were still open
    assert [event.data["path"] for event in cursor.read(set())] == ["b.py"]
    Event.objects.create(pk=late.pk, type="file:locked", data={"path": "a.py"})
    assert [event.data["path"] for event in cursor.read({late.pk})] == ["a.py"]
    assert cursor.read({late.pk}) == []
