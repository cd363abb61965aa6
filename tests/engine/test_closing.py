"""The end of nodes and, with the last of them, of their execution: exactly once, with everything given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from django.utils.timezone import now

from swarm.engine.closing import cancel_node, complete_node, fail_node, outcome, put_back_node
from swarm.engine.errors import NodeTimedOut, WorkerLost
from swarm.engine.landing import Landing
from swarm.errors import Cancelled
from swarm.events.record import recording
from swarm.models import Event, Execution, Node, WrongStatus
from tests.factories import PATIENCE_S, make_execution, make_node, run_threads
from tests.locks.actions import claim, holder, outcomes, stand_in_line

COMMIT = "c" * 40


def complete(node: Node) -> None:
    with recording(node.execution_id) as record:
        complete_node(record, node, Landing(COMMIT, files=["a.py"], summary="Done.", head=COMMIT))


def fail(node: Node) -> None:
    with recording(node.execution_id) as record:
        fail_node(record, node, NodeTimedOut("It took too long."))


def cancel(node: Node) -> None:
    with recording(node.execution_id) as record:
        cancel_node(record, node)


def put_back(node: Node) -> None:
    with recording(node.execution_id) as record:
        put_back_node(record, node, WorkerLost("Its process died."))


ENDS: dict[str, Callable[[Node], None]] = {"completed": complete, "failed": fail, "cancelled": cancel}


@pytest.mark.parametrize(
    ("completed", "failed", "cancelled", "status"),
    [
        (2, 0, 0, "completed"),
        (1, 1, 0, "partial"),
        (0, 2, 0, "failed"),
        (0, 0, 2, "cancelled"),
        (1, 0, 1, "cancelled"),
        (0, 1, 1, "cancelled"),
        (1, 1, 1, "cancelled"),
    ],
)
def test_the_ends_of_its_nodes_are_the_end_of_an_execution(
    completed: int, failed: int, cancelled: int, status: str
) -> None:
    assert outcome(Counter(completed=completed, failed=failed, cancelled=cancelled), is_cancelled=True) == status


@pytest.mark.django_db
@pytest.mark.parametrize("active", ["pending", "running"])
@pytest.mark.parametrize("end", ENDS)
def test_an_execution_goes_on_until_its_last_node_has_ended(end: str, active: str) -> None:
    execution = make_execution(cancel_requested_at=now())
    first, last = make_node(execution), make_node(execution, status=active)
    ENDS[end](first)
    execution.refresh_from_db()
    assert (execution.status, execution.finished_at) == ("running", None)
    cancel(last)
    execution.refresh_from_db()
    assert execution.status == "cancelled"
    assert execution.finished_at is not None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("end", "kind"),
    [("completed", "swarm:completed"), ("failed", "swarm:completed"), ("cancelled", "swarm:cancelled")],
)
def test_the_last_node_tells_of_its_own_end_then_of_the_progress_then_of_the_executions_end(
    end: str, kind: str
) -> None:
    execution = make_execution()
    node = make_node(execution)
    claim(node, "a.py")
    Event.objects.all().delete()
    ENDS[end](node)
    events = list(execution.events.order_by("seq"))
    assert [event.type for event in events] == [f"swarm:node-{end}", "file:unlocked", "swarm:progress", kind]
    assert events[0].data["status"] == end
    assert events[2].data == {"completed": 0, "failed": 0, "cancelled": 0, "total": 1} | {end: 1}
    assert events[3].data == {"status": end}


@pytest.mark.django_db
def test_a_completed_node_moves_the_executions_head() -> None:
    execution = make_execution()
    complete(make_node(execution))
    execution.refresh_from_db()
    assert execution.head_commit == COMMIT


@pytest.mark.django_db
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("again", ENDS)
def test_a_node_ends_once_and_a_second_end_changes_nothing(end: str, again: str) -> None:
    execution = make_execution()
    node = make_node(execution)
    make_node(execution)
    ENDS[end](node)
    before = (Node.objects.values().get(pk=node.pk), Event.objects.count())
    with pytest.raises(WrongStatus):
        ENDS[again](Node.objects.get(pk=node.pk))
    assert (Node.objects.values().get(pk=node.pk), Event.objects.count()) == before


@pytest.mark.django_db
def test_a_node_that_is_put_back_keeps_its_execution_running_and_its_claims() -> None:
    execution = make_execution()
    node = make_node(execution)
    claim(node, "a.py")
    put_back(node)
    execution.refresh_from_db()
    assert (execution.status, Node.objects.get().status) == ("running", "pending")
    assert holder("a.py") == node
    [event] = execution.events.filter(type="swarm:node-retrying")
    assert event.data["error"] == {"code": "worker_lost", "message": "Its process died."}


@pytest.mark.django_db(transaction=True)
def test_a_node_that_is_put_back_gives_up_its_place_in_line() -> None:
    execution = make_execution()
    first, second = make_node(execution), make_node(execution)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    put_back(second)
    with pytest.raises(Cancelled):
        waiting.result(PATIENCE_S)
    assert outcomes(second) == ["cancelled"]


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_waits_for_a_node_that_ends_otherwise_than_completed_fails_one_behind_another(end: str) -> None:
    execution = make_execution()
    first = make_node(execution)
    waiting = {"status": "pending", "attempt": 0}
    chain = [make_node(execution, depends_on=[f"1.{number}"], **waiting) for number in range(1, 4)]
    other = make_node(execution, **waiting)
    ENDS[end](first)
    for node in (*chain, other):
        node.refresh_from_db()
    assert [node.status for node in chain] == ["failed"] * 3
    assert chain[0].error_message == f"It waited for story 1.1, which is {end}; a retry runs both."
    assert chain[2].error_message == "It waited for story 1.3, which is failed; a retry runs both."
    assert {node.error_code for node in chain} == {"dependency_failed"}
    assert other.status == "pending"
    execution.refresh_from_db()
    assert execution.is_active


@pytest.mark.django_db
def test_when_all_is_cancelled_what_waits_is_left_to_be_cancelled_too() -> None:
    execution = make_execution()
    first = make_node(execution)
    second = make_node(execution, status="pending", depends_on=["1.1"])
    execution.request_cancel()
    cancel(first)
    second.refresh_from_db()
    assert second.status == "pending"
    cancel(second)
    execution.refresh_from_db()
    assert execution.status == "cancelled"


@pytest.mark.django_db
def test_the_failure_of_a_chain_ends_the_execution_once_with_its_last_event() -> None:
    execution = make_execution()
    first = make_node(execution)
    for number in range(1, 4):
        make_node(execution, status="pending", depends_on=[f"1.{number}"])
    fail(first)
    kinds = list(execution.events.order_by("seq").values_list("type", flat=True))
    assert kinds == ["swarm:node-failed", "swarm:progress"] * 4 + ["swarm:completed"]
    execution.refresh_from_db()
    assert execution.status == "failed"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ENDS)
def test_what_a_node_held_goes_to_the_next_in_line_when_it_ends(end: str) -> None:
    execution = make_execution()
    first, second = make_node(execution), make_node(execution)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    ENDS[end](first)
    waiting.result(PATIENCE_S)
    assert holder("a.py") == second


@pytest.mark.django_db(transaction=True)
def test_of_nodes_that_all_end_at_once_exactly_one_closes_the_execution() -> None:
    for _ in range(5):
        execution = make_execution()
        nodes = [make_node(execution) for _ in range(8)]
        ends = [complete, fail] * 4
        run_threads([partial(end, node) for end, node in zip(ends, nodes, strict=True)])
        kinds = list(execution.events.order_by("seq").values_list("type", flat=True))
        assert kinds.count("swarm:completed") == 1
        assert kinds[-1] == "swarm:completed"
        assert Execution.objects.get(pk=execution.pk).status == "partial"
