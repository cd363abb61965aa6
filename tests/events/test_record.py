"""Recording: numbered without a gap, all or nothing with the rows it tells of, rung once it is committed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable

import pytest
from django.db import transaction

from swarm.events.doorbell import doorbell
from swarm.events.record import record_outside_executions, recording
from swarm.models import Event, Execution
from tests.factories import make_execution, make_node, run_threads

pytestmark = pytest.mark.django_db(transaction=True)

Rings = list[uuid.UUID | int]


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> Rings:
    """What the doorbell was told, each with the guarantee that its rows could be read by then."""
    heard: Rings = []
    monkeypatch.setattr(doorbell, "ring", heard.append)
    return heard


def numbers(execution: Execution) -> list[int | None]:
    return list(execution.events.order_by("id").values_list("seq", flat=True))


def test_events_are_written_with_their_data_and_ring_once_for_all(rings: Rings) -> None:
    execution = make_execution()
    node = make_node(execution)
    with recording(execution.pk) as record:
        record("swarm:node-started", node, attempt=1)
        record("swarm:progress", completed=0)
        assert rings == []
    events = execution.events.order_by("seq").values_list("seq", "type", "node", "data")
    assert list(events) == [
        (1, "swarm:node-started", node.pk, {"attempt": 1}),
        (2, "swarm:progress", None, {"completed": 0}),
    ]
    assert Execution.objects.get().last_seq == 2
    assert rings == [execution.pk]


def test_executions_count_their_own_events() -> None:
    first, second = make_execution(), make_execution()
    for execution in (first, second, first):
        with recording(execution.pk) as record:
            record("swarm:progress")
    assert (numbers(first), numbers(second)) == ([1, 2], [1])


def test_8_threads_record_without_a_gap_and_in_the_order_of_the_rows() -> None:
    execution = make_execution()

    def work() -> None:
        for _ in range(5):
            with recording(execution.pk) as record:
                record("swarm:progress")
                record("swarm:progress")

    works: list[Callable[[], None]] = [work] * 8
    run_threads(works)
    assert numbers(execution) == list(range(1, 81))


def test_nothing_is_recorded_and_nobody_is_rung_when_the_work_fails(rings: Rings) -> None:
    execution = make_execution()
    with contextlib.suppress(ZeroDivisionError), recording(execution.pk) as record:
        record("swarm:progress")
        Execution.objects.update(status="failed")
        raise ZeroDivisionError
    assert (numbers(execution), rings) == ([], [])
    assert Execution.objects.get().status == "running"
    with recording(execution.pk) as record:
        record("swarm:progress")
    assert numbers(execution) == [1]


def test_nothing_is_recorded_and_nobody_is_rung_when_a_transaction_around_it_fails(rings: Rings) -> None:
    execution = make_execution()
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        with recording(execution.pk) as record:
            record("swarm:progress")
        record_outside_executions("file:locked")
        raise ZeroDivisionError
    assert (Event.objects.count(), rings) == (0, [])


def test_work_that_tells_nothing_changes_rows_and_rings_nobody(rings: Rings) -> None:
    execution = make_execution()
    with recording(execution.pk):
        Execution.objects.update(status="failed")
    assert Execution.objects.get().status == "failed"
    assert (Event.objects.count(), rings) == (0, [])


def test_an_execution_that_is_not_there_cannot_be_recorded() -> None:
    with pytest.raises(Execution.DoesNotExist), recording(uuid.uuid4()):
        pass


def test_an_event_outside_executions_has_no_number_and_rings_with_its_row(rings: Rings) -> None:
    record_outside_executions("file:locked", path="a.py")
    event = Event.objects.get()
    assert (event.execution, event.seq, event.type, event.data) == (None, None, "file:locked", {"path": "a.py"})
    assert rings == [event.pk]


def test_a_doorbell_out_of_order_does_not_harm_what_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: object) -> None:
        raise RuntimeError("Event loop is closed")

    monkeypatch.setattr(doorbell, "ring", broken)
    execution = make_execution()
    with recording(execution.pk) as record:
        record("swarm:progress")
    record_outside_executions("file:locked")
    assert Event.objects.count() == 2
