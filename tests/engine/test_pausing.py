"""Pausing and resuming: where nodes stop, what they keep, and that nothing but a resume makes them go on."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.engine.errors import WorkerLost
from swarm.engine.executor import executor
from swarm.engine.lifecycle import cancel, pause, resume
from swarm.engine.recovery import dispatch_orphans, put_back_lost_nodes
from swarm.engine.stopping import end_stopped
from swarm.events.record import recording
from swarm.models import Conflict, Event, Execution, FileLock, Node, Period, Turn, WrongStatus
from tests.chat.server import Exchange
from tests.factories import PATIENCE_S, make_execution, make_node, wait_until
from tests.locks.actions import claim, holder
from tests.main_job import MainJob, call_tools, play, report_of

Status = Node.Status
WRITE = ("write_file", json.dumps({"path": "hot.py", "content": "x = 1\n"}))


class Gate:
    """A model that answers when the test says so."""

    def __init__(self, main_job: MainJob, *stories: str) -> None:
        self.is_open = threading.Event()
        for story in stories:
            main_job.behaviours[story] = self._answer

    def _answer(self, exchange: Exchange) -> None:
        assert self.is_open.wait(PATIENCE_S)
        play(exchange)


def kinds(execution: Execution) -> list[str]:
    told = Event.objects.after(execution.pk, 0).exclude(
        type__in=["swarm:node-progress", "file:locked", "file:unlocked"]
    )
    return list(told.values_list("type", flat=True))


@pytest.mark.usefixtures("each_way")
def test_a_node_rests_after_the_turn_that_it_is_in_and_goes_on_when_resumed(main_job: MainJob) -> None:
    gate = Gate(main_job, "1.1")
    execution = main_job.start("1.1", "2.3", developers=1)
    wait_until(lambda: main_job.model.in_flight == 1)

    pause(execution.pk, by="ada", reason="Lunch.")
    gate.is_open.set()
    executor.drain()

    paused = report_of(execution)
    assert paused["paused"] is not None
    assert (paused["paused"]["by"], paused["paused"]["reason"], paused["paused"]["claims"]) == ("ada", "Lunch.", "keep")
    assert [(node["status"], node["attempt"]) for node in paused["nodes"]] == [("pending", 1), ("pending", 0)]
    assert Turn.objects.count() == 1, "the answer that was under way is kept"

    resume(execution.pk, by="bob")
    executor.drain()

    done = report_of(execution)
    assert (done["status"], done["paused"]) == (Execution.Status.COMPLETED, None)
    assert (done["parallelism"]["verified"], done["nodes"][0]["max_attempts"]) == (None, 4)
    told = kinds(execution)
    assert told[:4] == ["swarm:started", "swarm:node-started", "swarm:paused", "swarm:node-paused"]
    assert told.count("swarm:resumed") == 1
    assert Event.objects.get(type="swarm:resumed").data["by"] == "bob"


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("keep", [True, False])
def test_a_wait_for_a_path_ends_at_once_and_claims_are_kept_or_given_up_as_asked(main_job: MainJob, keep: bool) -> None:
    may_answer = threading.Event()

    def write_then_wait(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            may_answer.wait(PATIENCE_S)
            call_tools(exchange, ("list_files", "{}"))
        else:
            call_tools(exchange, WRITE)

    main_job.behaviours = {"1.1": write_then_wait, "2.3": write_then_wait}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Conflict.objects.waiting().exists() and main_job.model.in_flight == 1)

    pause(execution.pk, keep_claims=keep)
    wait_until(lambda: Node.objects.filter(status=Status.PENDING).count() == 1)
    assert not Conflict.objects.waiting().exists()
    may_answer.set()
    executor.drain()

    held = FileLock.objects.held(now() + timedelta(days=30))
    assert held.filter(path="hot.py").exists() is keep
    assert FileLock.objects.held(now()).exists() is keep

    cancel(execution.pk)
    assert report_of(execution)["status"] == Execution.Status.CANCELLED
    assert not FileLock.objects.held(now()).exists()


def test_a_pause_recorded_by_another_process_is_noticed_and_so_is_its_end(main_job: MainJob) -> None:
    gate = Gate(main_job, "1.1")
    execution = main_job.start("1.1")
    wait_until(lambda: main_job.model.in_flight == 1)
    row = Execution.objects.get(pk=execution.pk)

    row.pause(by="", reason="")
    threading.Event().wait(1.2)  # two looks
    gate.is_open.set()
    executor.drain()
    assert Node.objects.get().status == Status.PENDING

    row.resume()
    dispatch_orphans()
    executor.drain()
    assert report_of(execution)["status"] == Execution.Status.COMPLETED


def test_a_pause_that_ends_before_a_node_has_come_to_rest_leaves_it_alone(main_job: MainJob) -> None:
    gate = Gate(main_job, "1.1")
    execution = main_job.start("1.1")
    wait_until(lambda: main_job.model.in_flight == 1)

    pause(execution.pk)
    resume(execution.pk)
    gate.is_open.set()
    executor.drain()

    report = report_of(execution)
    assert (report["status"], report["nodes"][0]["attempt"]) == (Execution.Status.COMPLETED, 1)


def test_nothing_but_a_resume_makes_a_paused_execution_go_on(main_job: MainJob) -> None:
    gate = Gate(main_job, "1.1")
    execution = main_job.start("1.1", "2.3", developers=1)
    wait_until(lambda: main_job.model.in_flight == 1)
    pause(execution.pk)
    gate.is_open.set()
    executor.drain()

    executor.open()  # as a server does that starts anew
    put_back_lost_nodes()
    dispatch_orphans()
    executor.drain()

    assert set(Node.objects.values_list("status", flat=True)) == {Status.PENDING}


@pytest.mark.django_db(transaction=True)
def test_a_node_whose_process_died_while_its_execution_was_paused_rests_too() -> None:
    node = make_node(make_execution(), lease_expires_at=now() - timedelta(seconds=1))
    claim(node, "a.py")
    pause(node.execution_id)

    assert put_back_lost_nodes() == 1

    node.refresh_from_db()
    assert (node.status, holder("a.py")) == (Status.PENDING, node)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("keep", [True, False])
def test_claims_of_a_node_that_waits_for_a_process_are_settled_by_the_pause_and_live_on_after_it(
    keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.engine.lifecycle.dispatch", lambda execution_id: None)
    node = make_node(make_execution(), started_at=now())
    claim(node, "a.py")
    node.put_back()

    pause(node.execution_id, keep_claims=keep)
    expiry = FileLock.objects.get().expires_at
    assert (expiry is not None and expiry > now() + timedelta(days=300)) is keep

    resume(node.execution_id)
    assert FileLock.objects.held(now()).exists() is keep
    assert not FileLock.objects.held(now() + timedelta(days=1)).exists()


def test_time_paused_is_neither_work_nor_taken_from_the_time_that_a_node_may_take(main_job: MainJob) -> None:
    gate = Gate(main_job, "1.1")
    execution = main_job.start("1.1", node_timeout=PATIENCE_S)
    wait_until(lambda: main_job.model.in_flight == 1)
    pause(execution.pk)
    gate.is_open.set()
    executor.drain()

    long_ago = timedelta(hours=2)  # as if all up to here had been two hours earlier
    Node.objects.update(started_at=F("started_at") - long_ago)
    Period.objects.update(started_at=F("started_at") - long_ago)
    Execution.objects.update(paused_at=F("paused_at") - long_ago)
    resume(execution.pk)
    executor.drain()

    [node] = report_of(execution)["nodes"]
    assert (node["status"], node["work_time"] < 2 * PATIENCE_S) == (Status.COMPLETED, True)
    assert node["duration"] is not None
    assert node["duration"] > long_ago.total_seconds()


@pytest.mark.django_db(transaction=True)
def test_pausing_twice_is_no_error_and_changes_nothing() -> None:
    execution = make_execution()
    make_node(execution)
    pause(execution.pk, by="ada", reason="First.")
    pause(execution.pk, by="bob", reason="Second.", keep_claims=False)

    execution.refresh_from_db()
    assert (execution.paused_by, execution.pause_reason, execution.keeps_claims) == ("ada", "First.", True)
    assert kinds(execution) == ["swarm:paused"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", ["completed", "partial", "failed", "cancelled"])
def test_what_has_ended_can_be_neither_paused_nor_resumed(status: str) -> None:
    execution = make_execution(status=status)
    for act in (pause, resume):
        with pytest.raises(WrongStatus, match=f"is {status}"):
            act(execution.pk)


@pytest.mark.django_db(transaction=True)
def test_a_cancel_counts_for_more_than_a_pause() -> None:
    execution = make_execution()
    make_node(execution)
    cancel(execution.pk)
    with pytest.raises(WrongStatus, match="being cancelled"):
        pause(execution.pk)

    node = make_node(paused := make_execution())
    pause(paused.pk)
    cancel(paused.pk)
    with recording(paused.pk) as record:
        end_stopped(record, node, WorkerLost(""))
    node.refresh_from_db()
    assert node.status == Status.CANCELLED
    with pytest.raises(WrongStatus, match="not paused"):
        resume(paused.pk)


@pytest.mark.django_db(transaction=True)
def test_an_execution_that_goes_on_cannot_be_resumed() -> None:
    with pytest.raises(WrongStatus, match="is running, but not paused"):
        resume(make_execution().pk)


# The switch


def test_a_switch_that_is_thrown_when_safe_waits_for_a_safe_place_or_for_the_next_step() -> None:
    switch = Cancellation()
    switch.cancel_when_safe("rest")
    assert not switch.is_cancelled
    switch.set_safe(True)
    assert (switch.is_cancelled, switch.reason) == (True, "rest")

    between = Cancellation()
    between.pass_safe_point()
    between.cancel_when_safe("rest")
    with pytest.raises(Exception, match="rest"):
        between.pass_safe_point()

    waiting = Cancellation()
    waiting.set_safe(True)
    woken: list[Any] = []
    with waiting.calling(lambda: woken.append(1)):
        waiting.cancel_when_safe("rest")
    assert woken == [1]


def test_a_wish_that_was_taken_back_is_forgotten_and_others_are_not() -> None:
    switch = Cancellation()
    switch.cancel_when_safe("pause")
    switch.cancel_when_safe("stop")
    switch.withdraw("pause")
    switch.withdraw("never wished")
    switch.set_safe(True)
    assert switch.reason == "stop"
