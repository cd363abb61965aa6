"""Nodes whose process stopped or died are taken up again, and late writers are refused."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connections
from django.utils.timezone import now

from swarm.engine.attempts import run_node
from swarm.engine.executor import executor
from swarm.engine.lifecycle import shut_down
from swarm.engine.recovery import Recovery, dispatch_orphans, put_back_lost_nodes
from swarm.events.record import recording
from swarm.models import Event, Execution, FileLock, Node
from tests.chat.server import Exchange
from tests.engine.dying import put_back_all_lost
from tests.factories import PATIENCE_S, in_thread, make_nodes, run_threads, wait_until
from tests.locks.actions import claim
from tests.main_job import MainJob, node_of, play, report_of


def test_a_node_that_is_dispatched_twice_runs_once(main_job: MainJob) -> None:
    both = threading.Barrier(2)
    execution = main_job.start("1.1")
    node = Node.objects.get()

    def run_too(node_id: object) -> None:
        both.wait(30)
        run_node(node.pk)

    executor.submit(run_too, node.pk)
    executor.submit(run_too, node.pk)
    executor.drain()

    report = report_of(execution)
    assert (report["status"], len(main_job.commits(report))) == (Execution.Status.COMPLETED, 1)
    assert Event.objects.filter(type="swarm:node-started").count() == 1


def test_nodes_go_back_into_the_queue_when_their_process_stops_and_are_finished_by_the_next(main_job: MainJob) -> None:
    main_job.behaviours = {"1.1": lambda exchange: main_job.model.is_closing.wait(120) and exchange.hang_up()}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Node.objects.filter(status=Node.Status.COMPLETED).exists())

    shut_down()

    assert Node.objects.get(story_id="1.1").status == Node.Status.PENDING
    assert Execution.objects.get().status == Execution.Status.RUNNING
    main_job.behaviours = {}
    executor.open()
    dispatch_orphans()
    executor.drain()
    assert report_of(execution)["status"] == Execution.Status.COMPLETED


def test_a_node_whose_process_died_is_taken_up_again_and_had_kept_its_paths(main_job: MainJob) -> None:
    execution = _start_without_running(main_job, "1.1")
    node = _pretend_to_run("1.1", lease_expires_at=now() - timedelta(seconds=1))
    claim(node, "larder/units.py")

    assert put_back_lost_nodes() == 1
    assert FileLock.objects.held(now()).get().node == node
    dispatch_orphans()
    executor.drain()

    done = node_of(report_of(execution), "1.1")
    assert (done["status"], done["attempt"]) == (Node.Status.COMPLETED, 2)
    assert Event.objects.filter(type="swarm:node-retrying", data__error__code="worker_lost").exists()
    assert not FileLock.objects.held(now()).exists()


def test_a_node_with_a_heartbeat_is_left_alone_however_old_it_is(main_job: MainJob) -> None:
    _start_without_running(main_job, "1.1")
    node = _pretend_to_run("1.1", lease_expires_at=now() + timedelta(seconds=10))
    Node.objects.update(started_at=now() - timedelta(days=3))

    assert put_back_lost_nodes() == 0
    node.refresh_from_db()
    assert node.status == Node.Status.RUNNING


def test_a_lost_node_that_is_to_be_cancelled_is_cancelled(main_job: MainJob) -> None:
    execution = _start_without_running(main_job, "1.1")
    _pretend_to_run("1.1", lease_expires_at=now() - timedelta(seconds=1))
    Execution.objects.get().request_cancel()

    put_back_lost_nodes()

    assert report_of(execution)["status"] == Execution.Status.CANCELLED


def test_what_a_process_taken_for_dead_brings_to_an_end_later_is_refused(
    main_job: MainJob, caplog: pytest.LogCaptureFixture
) -> None:
    resumed = threading.Event()

    def sleep_at_the_end(exchange: Exchange) -> None:
        if "The checks passed" in str(exchange.request.body) and not resumed.is_set():
            Node.objects.update(lease_expires_at=now() - timedelta(seconds=1))
            put_back_lost_nodes()
            connections.close_all()  # of the model server's thread
            resumed.set()
        play(exchange)

    main_job.behaviours = {"1.1": sleep_at_the_end}

    execution = main_job.run("1.1")

    assert "node.taken_away" in caplog.text
    assert node_of(execution, "1.1")["attempt"] == 2
    assert (execution["status"], len(main_job.commits(execution))) == (Execution.Status.COMPLETED, 1)


def test_the_recovery_thread_takes_up_what_was_left_and_stops_when_told(main_job: MainJob) -> None:
    execution = _start_without_running(main_job, "2.3")
    recovery = Recovery()

    recovery.start()
    recovery.start()
    wait_until(lambda: not Execution.objects.get().is_active)
    recovery.stop()
    recovery.stop()

    assert report_of(execution)["status"] == Execution.Status.COMPLETED
    assert not [thread for thread in threading.enumerate() if thread.name == "swarm-recovery"]


def _start_without_running(main_job: MainJob, *stories: str) -> Execution:
    """Start an execution as a process does that dies before it hands out the nodes."""
    dispatched = executor.submit
    executor.submit = lambda run, node_id: None  # type: ignore[method-assign]
    try:
        return main_job.start(*stories)
    finally:
        executor.submit = dispatched  # type: ignore[method-assign]


def _pretend_to_run(story: str, *, lease_expires_at: object) -> Node:
    node = Node.objects.get(story_id=story)
    with recording(node.execution_id) as record:
        record.execution.start()
        node.start(lease_expires_at=lease_expires_at)  # type: ignore[arg-type]
    return node


@pytest.mark.django_db(transaction=True)
def test_of_many_processes_that_look_at_once_one_puts_each_lost_node_back() -> None:
    nodes = make_nodes(6, executions=3)
    Node.objects.update(lease_expires_at=now() - timedelta(seconds=1))

    counts = run_threads([put_back_lost_nodes] * 6)

    assert sum(counts) + put_back_all_lost() == len(nodes)
    assert Event.objects.filter(type="swarm:node-retrying").count() == len(nodes)
    assert set(Node.objects.values_list("max_attempts", flat=True)) == {4}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_execution_at_which_another_process_is_at_work_keeps_recovery_from_no_other() -> None:
    busy, other = make_nodes(2, executions=2)
    Node.objects.update(lease_expires_at=now() - timedelta(seconds=1))

    with recording(busy.execution_id):
        assert in_thread(put_back_lost_nodes).result(PATIENCE_S) == 1

    assert list(Node.objects.lost(now())) == [busy]
    assert put_back_lost_nodes() == 1
    assert Node.objects.get(pk=other.pk).status == Node.Status.PENDING


def test_a_node_that_was_put_back_is_handed_out_although_others_of_its_execution_run(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    _start_without_running(main_job, "1.1", "2.3", "3.3")
    back = _pretend_to_run("2.3", lease_expires_at=now() - timedelta(seconds=1))
    Node.objects.filter(story_id="1.1").update(
        status=Node.Status.RUNNING, attempt=1, lease_expires_at=now() + timedelta(hours=1)
    )
    assert put_back_lost_nodes() == 1
    submitted: list[object] = []
    monkeypatch.setattr(executor, "submit", lambda run, node_id: submitted.append(node_id))

    dispatch_orphans(uuid.UUID(int=1))
    assert submitted == []
    dispatch_orphans()
    assert back.pk in submitted
