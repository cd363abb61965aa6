"""Whatever happens to the nodes of an execution, in whatever order: no state is without a way out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from unittest.mock import patch

import pytest
from django.utils.timezone import now
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarm.engine import lifecycle
from swarm.engine.attempts import _take_next
from swarm.engine.closing import complete_node, fail_node, put_back_node
from swarm.engine.errors import NodeTimedOut, NothingToRetry, WorkerStopped
from swarm.engine.executor import executor
from swarm.engine.landing import Landing
from swarm.events.record import recording
from swarm.locks.errors import PathHeld
from swarm.models import Event, Execution, FileLock, Node, WrongStatus
from tests.engine.dying import bury_the_dead
from tests.factories import make_execution, make_node
from tests.locks.actions import claim

COMMIT = "c" * 40


def running(node: Node) -> bool:
    return node.status == Node.Status.RUNNING


def complete(node: Node) -> None:
    with recording(node.execution_id) as record:
        complete_node(record, node, Landing(COMMIT, files=[], summary="", head=COMMIT))


def fail(node: Node) -> None:
    if running(node):
        with recording(node.execution_id) as record:
            fail_node(record, node, NodeTimedOut("It took too long."))


def begin_again(node: Node) -> None:
    node.begin_attempt()


def stop(node: Node) -> None:
    with recording(node.execution_id) as record:
        put_back_node(record, node, WorkerStopped("Its process was stopped."))


def claim_shared(node: Node) -> None:
    claim(node, "shared.py", policy="notify")


EVENTS: dict[str, Callable[[Node], object]] = {
    "take": lambda node: _take_next(node.execution_id),
    "claim": claim_shared,
    "complete": complete,
    "fail": fail,
    "begin again": begin_again,
    "stop": stop,
    "die": lambda node: bury_the_dead(),
    "cancel it": lambda node: lifecycle.cancel_node(node.pk),
    "cancel all": lambda node: lifecycle.cancel(node.execution_id),
    "pause": lambda node: lifecycle.pause(node.execution_id),
    "pause and release": lambda node: lifecycle.pause(node.execution_id, keep_claims=False),
    "go on": lambda node: lifecycle.resume(node.execution_id),
    "retry it": lambda node: lifecycle.retry(node.execution_id, [node.pk]),
    "resume all": lambda node: lifecycle.retry(node.execution_id, resume=True),
}
happenings = st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.integers(0, 2)), max_size=20)


def happen(execution: Execution, event: str, index: int) -> None:
    """Let an event happen to a node, as far as its state allows it."""
    with suppress(WrongStatus, NothingToRetry, PathHeld):
        EVENTS[event](execution.nodes.order_by("number")[index])


def left_alone(execution: Execution) -> None:
    """What the engine does by itself: whoever was lost is found, whoever may start starts, and comes to its end."""
    with suppress(WrongStatus):  # A paused one does not go on by itself.
        lifecycle.resume(execution.pk)
    for _ in range(20):
        bury_the_dead()
        while node := _take_next(execution.pk):
            complete(node)


def cancelled(execution: Execution) -> None:
    with suppress(WrongStatus):
        lifecycle.cancel(execution.pk)
    bury_the_dead()


@pytest.mark.django_db
@pytest.mark.parametrize("way_out", [left_alone, cancelled])
@settings(max_examples=40)
@given(happened=happenings)
@example(happened=[("take", 0), ("claim", 0), ("pause", 0), ("die", 0)])
@example(happened=[("take", 0), ("cancel it", 0), ("die", 0), ("retry it", 0), ("stop", 0)])
@example(happened=[("take", 0), ("stop", 0), ("cancel all", 0), ("resume all", 0)])
def test_every_execution_comes_to_an_end_with_all_of_its_nodes_and_holds_nothing_then(
    way_out: Callable[[Execution], None], happened: list[tuple[str, int]]
) -> None:
    execution = make_execution(status="pending", developers=2)
    for _ in range(2):
        make_node(execution, status="pending", attempt=0)
    make_node(execution, status="pending", attempt=0, depends_on=["1.1"])
    with patch.object(executor, "submit"):  # nodes are taken when an event says so
        for event, index in happened:
            happen(execution, event, index)
        attempts = list(execution.nodes.values_list("attempt", flat=True))
        way_out(execution)

    execution.refresh_from_db()
    assert not execution.is_active
    assert not execution.nodes.active().exists()
    assert not FileLock.objects.held(now()).filter(node__execution=execution).exists()
    assert all(new >= old for new, old in zip(execution.nodes.values_list("attempt", flat=True), attempts, strict=True))
    ends = Event.objects.filter(execution=execution, type__in=["swarm:completed", "swarm:cancelled"])
    assert ends.exists()
