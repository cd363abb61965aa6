"""What is removed of old executions, what stays, and how that is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from swarm.engine import housekeeping
from swarm.engine.housekeeping import Housekeeper, prune
from swarm.engine.recovery import Recovery
from swarm.engine.report import execution_report
from swarm.events.record import record_outside_executions, recording
from swarm.models import Call, CheckRun, Conflict, Event, Execution, FileLock, Node, Period, Turn
from tests.factories import make_execution, make_node, wait_until

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
NOW = now()
OLD = NOW - 40 * DAY
ROWS = (Call, Turn, Period, Conflict, CheckRun, Event)


@pytest.fixture(autouse=True)
def thirty_days(settings: Any) -> None:
    settings.SWARM_RETENTION_DAYS = 30


def execution_of(ended_at: datetime | None, *, nodes: int = 2, **values: Any) -> Execution:
    """An execution in which each node did a little of everything before `ended_at`, and ended then."""
    at = (ended_at or NOW) - timedelta(minutes=10)
    ended = {"status": "completed", "finished_at": ended_at}
    execution = make_execution(**ended | {"started_at": at} | values)
    for _ in range(nodes):
        node = make_node(execution, **ended, started_at=at, commit="c" * 40, prompt_tokens=100)
        work(node, at)
        node.proof = node.check_runs.get(exit_status=0)
        node.save(update_fields=["proof"])
    return execution


def work(node: Node, at: datetime, attempt: int = 1) -> None:
    """Two turns, two checks of which one passes, a conflict, periods and events."""
    for number in (1, 2):
        Call.objects.create(node=node, attempt=attempt, number=number, model="m", started_at=at, outcome="ok")
        Turn.objects.create(
            node=node, attempt=attempt, number=number, reply={}, prompt_tokens=1, completion_tokens=1, queued_s=0,
            upstream_s=1, created_at=at,
        )  # fmt: skip
        CheckRun.objects.create(
            node=node,
            attempt=attempt,
            command="x",
            exit_status=number - 1,
            seconds=1,
            on_commit="c" * 40,
            created_at=at,
        )
        for activity, seconds in (("thinking", 2.5), ("waiting_for_lock", 1.0)):
            started_at = at + timedelta(seconds=4 * number)
            Period.objects.create(node=node, attempt=attempt, activity=activity, started_at=started_at, seconds=seconds)
    lock, _ = FileLock.objects.get_or_create(key="a.py", defaults={"path": "a.py"})
    Conflict.objects.create(
        lock=lock, path="a.py", execution=node.execution, node=node, held_by="x", policy="wait", asked_at=at,
        ended_at=at, outcome="granted",
    )  # fmt: skip
    with recording(node.execution_id) as record:
        record("swarm:node-started", node)
        record("swarm:node-completed", node)
    Event.objects.filter(node=node).update(at=at)


def rows_of(execution: Execution) -> dict[str, list[Any]]:
    """Every row that may be removed, by model."""
    found = {}
    for model in ROWS:
        own = {"execution": execution} if model in (Conflict, Event) else {"node__execution": execution}
        found[model.__name__] = list(model.objects.filter(**own).order_by("pk").values())  # type: ignore[attr-defined]
    return found


def test_of_an_old_execution_the_rows_and_sums_stay_and_the_rest_goes() -> None:
    execution = execution_of(OLD)
    nodes = list(Node.objects.values())
    execution.refresh_from_db()

    assert prune(NOW) == 1

    counts = {name: len(rows) for name, rows in rows_of(execution).items()}
    assert counts == {"Call": 0, "Turn": 0, "Period": 4, "Conflict": 0, "CheckRun": 2, "Event": 1}
    assert list(Node.objects.values()) == nodes
    assert {node.proof for node in Node.objects.select_related("proof")} == set(CheckRun.objects.all())
    after = Execution.objects.get()
    assert (after.pruned_at, after.last_seq, after.status) == (NOW, execution.last_seq + 1, "completed")


def test_what_the_report_says_of_times_and_of_the_verdict_stays_the_same() -> None:
    execution = execution_of(OLD)
    before = execution_report(Execution.objects.get(pk=execution.pk))
    assert before["parallelism"]["verified"] is not None
    prune(NOW)
    after = execution_report(Execution.objects.get(pk=execution.pk))
    assert after["pruned_at"] == NOW
    assert after["nodes"] == before["nodes"]
    assert after["parallelism"] == before["parallelism"]


def test_whoever_replays_the_events_is_told_of_the_gap_and_numbers_go_on() -> None:
    execution = execution_of(OLD)
    last = Execution.objects.get().last_seq
    prune(NOW)
    [event] = Event.objects.after(execution.pk, 0)
    assert (event.seq, event.type) == (last + 1, "swarm:pruned")
    assert event.data == {"before": (NOW - 30 * DAY).isoformat(), "days": 30}
    with recording(execution.pk) as record:
        record("swarm:node-approved")
    assert [event.seq for event in Event.objects.after(execution.pk, 0)] == [last + 1, last + 2]


@pytest.mark.parametrize(
    ("ended_at", "status"),
    [(NOW - 29 * DAY, "completed"), (NOW, "failed"), (None, "running"), (None, "pending")],
)
def test_what_is_not_old_or_still_runs_is_left_alone(ended_at: datetime | None, status: str) -> None:
    execution = execution_of(ended_at, status=status, started_at=OLD)
    before = rows_of(execution)
    assert prune(NOW) == 0
    assert rows_of(execution) == before
    assert Execution.objects.get().pruned_at is None


def test_nothing_is_ever_removed_where_all_is_to_be_kept(settings: Any) -> None:
    settings.SWARM_RETENTION_DAYS = 0
    execution = execution_of(OLD)
    before = rows_of(execution)
    assert prune(NOW) == 0
    assert rows_of(execution) == before


def test_pruning_again_finds_nothing_and_tells_nothing() -> None:
    execution = execution_of(OLD)
    prune(NOW)
    before = rows_of(execution)
    assert prune(NOW + DAY) == 0
    assert prune(NOW + 100 * DAY) == 0
    assert rows_of(execution) == before


def test_an_execution_that_ran_again_later_loses_only_what_is_old() -> None:
    execution = execution_of(OLD, nodes=1)
    recent = NOW - 10 * DAY
    work(execution.nodes.get(), recent, attempt=2)
    Event.objects.filter(seq__lte=2).update(at=OLD)
    before = rows_of(execution)
    assert prune(NOW) == 1
    after = rows_of(execution)
    for name, field in (("Call", "started_at"), ("Turn", "created_at"), ("Conflict", "asked_at"), ("Event", "at")):
        new = [row for row in after[name] if row.get("type") != "swarm:pruned"]
        assert new == [row for row in before[name] if row[field] >= recent], name


def test_a_prune_that_was_cut_short_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = execution_of(OLD)
    monkeypatch.setattr(housekeeping, "_fold_periods", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prune(NOW)
    assert Execution.objects.get().pruned_at == NOW
    monkeypatch.undo()
    assert prune(NOW) == 1
    assert len(rows_of(execution)["Period"]) == 4


def test_rows_are_removed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 3)
    execution_of(OLD, nodes=5)
    with CaptureQueriesContext(connection) as queries:
        prune(NOW)
    removals = [it["sql"] for it in queries if it["sql"].startswith('DELETE FROM "swarm_call"')]
    assert len(removals) == 4  # of ten rows
    assert not Call.objects.exists()


def test_old_events_outside_executions_go_too() -> None:
    record_outside_executions("story:updated", path="old")
    Event.objects.update(at=OLD)
    record_outside_executions("story:updated", path="new")
    prune(NOW)
    assert [event.data["path"] for event in Event.objects.all()] == ["new"]


def test_the_housekeeper_does_one_execution_at_a_time_and_rests_for_an_hour_when_none_is_left() -> None:
    for _ in range(2):
        execution_of(OLD, nodes=1)
    housekeeper = Housekeeper()

    def pruned_after(at: datetime) -> int:
        housekeeper.look_after(at)
        return Execution.objects.exclude(pruned_at=None).count()

    minute = timedelta(minutes=1)
    assert [pruned_after(NOW + number * minute) for number in range(3)] == [1, 2, 2]
    execution_of(OLD, nodes=1)
    assert [pruned_after(NOW + number * minute) for number in (3, 61, 62)] == [2, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_a_server_prunes_beside_its_other_scans() -> None:
    execution_of(OLD, nodes=1)
    recovery = Recovery()
    recovery.start()
    try:
        wait_until(lambda: not Turn.objects.exists())
    finally:
        recovery.stop()
    assert Execution.objects.get().pruned_at is not None
