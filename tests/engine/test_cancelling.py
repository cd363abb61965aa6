"""Cancelling, from this process and another, while calls hang, claims are waited for, and checks run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils.timezone import now

from swarm.engine import integration
from swarm.engine.executor import executor
from swarm.engine.lifecycle import cancel, cancel_node, retry
from swarm.models import Conflict, Event, Execution, FileLock, Node, WrongStatus
from tests.chat.server import Exchange
from tests.factories import PATIENCE_S
from tests.main_job import MainJob, call_tools, node_of, report_of

pytestmark = pytest.mark.usefixtures("each_way")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that is bound to happen; fail loudly if it does not within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def hang(main_job: MainJob) -> Callable[[Exchange], None]:
    """A model that does not answer until the test is over."""
    return lambda exchange: main_job.model.is_closing.wait(120) and exchange.hang_up()


def test_a_cancel_ends_calls_that_hang(main_job: MainJob, hang: Callable[[Exchange], None]) -> None:
    main_job.behaviours = {"1.1": hang, "2.3": hang}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: main_job.model.in_flight == 2)

    cancel(execution.pk)
    executor.drain()

    report = report_of(execution)
    assert report["status"] == Execution.Status.CANCELLED
    assert {node["status"] for node in report["nodes"]} == {Node.Status.CANCELLED}
    assert main_job.commits(report) == []


def test_a_cancel_ends_the_wait_for_a_path_and_frees_all_paths(
    main_job: MainJob, hang: Callable[[Exchange], None]
) -> None:
    def write_then_hang(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            hang(exchange)
        else:
            call_tools(exchange, ("write_file", json.dumps({"path": "hot.py", "content": "x = 1\n"})))

    main_job.behaviours = {"1.1": write_then_hang, "2.3": write_then_hang}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Conflict.objects.waiting().exists())

    cancel(execution.pk)
    executor.drain()

    assert report_of(execution)["progress"]["cancelled"] == 2
    assert not FileLock.objects.held(now()).exists()
    assert not Conflict.objects.waiting().exists()


def test_a_cancel_kills_checks_that_run(main_job: MainJob, settings: object) -> None:
    settings.SWARM_CHECK_COMMAND = "sleep 600"  # type: ignore[attr-defined]
    execution = main_job.start("1.1")
    wait_until(lambda: Node.objects.filter(activity="checking").exists())

    cancel(execution.pk)
    executor.drain()

    assert report_of(execution)["status"] == Execution.Status.CANCELLED


def test_nodes_that_wait_for_a_developer_are_cancelled_without_ever_starting(
    main_job: MainJob, hang: Callable[[Exchange], None]
) -> None:
    main_job.behaviours = {"1.1": hang, "2.3": hang}
    execution = main_job.start("1.1", "2.3", developers=1)
    wait_until(lambda: main_job.model.in_flight == 1)

    cancel(execution.pk)
    executor.drain()

    assert report_of(execution)["progress"]["cancelled"] == 2
    assert Node.objects.filter(started_at=None).count() == 1


def test_what_was_completed_before_a_cancel_stays_on_the_branch(
    main_job: MainJob, hang: Callable[[Exchange], None]
) -> None:
    main_job.behaviours = {"1.1": hang}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Node.objects.filter(status=Node.Status.COMPLETED).exists())

    cancel(execution.pk)
    executor.drain()

    report = report_of(execution)
    assert report["status"] == Execution.Status.CANCELLED
    assert report["progress"] == {"completed": 1, "failed": 0, "cancelled": 1, "total": 2}
    assert len(main_job.commits(report)) == 1


def test_a_cancel_recorded_by_another_process_is_noticed_long_before_the_next_heartbeat(
    main_job: MainJob, hang: Callable[[Exchange], None], settings: object
) -> None:
    settings.SWARM_NODE_LEASE = 3600  # type: ignore[attr-defined]
    main_job.behaviours = {"1.1": hang}
    execution = main_job.start("1.1")
    wait_until(lambda: main_job.model.in_flight == 1)

    Execution.objects.get(pk=execution.pk).request_cancel()
    executor.drain()

    assert report_of(execution)["status"] == Execution.Status.CANCELLED


def test_cancelling_twice_is_no_error(main_job: MainJob, hang: Callable[[Exchange], None]) -> None:
    main_job.behaviours = {"1.1": hang}
    execution = main_job.start("1.1")
    wait_until(lambda: main_job.model.in_flight == 1)
    Execution.objects.get(pk=execution.pk).request_cancel()

    cancel(execution.pk)
    executor.drain()

    assert report_of(execution)["status"] == Execution.Status.CANCELLED


def test_what_has_ended_cannot_be_cancelled(main_job: MainJob) -> None:
    finished = main_job.run("2.3")

    with pytest.raises(WrongStatus, match="is completed"):
        cancel(finished["id"])
    with pytest.raises(WrongStatus, match="is completed"):
        cancel_node(finished["nodes"][0]["id"])


def test_every_node_proves_what_has_ended_and_when_and_who_wanted_it(
    main_job: MainJob, hang: Callable[[Exchange], None]
) -> None:
    def write_then_hang(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            hang(exchange)
        else:
            call_tools(exchange, ("write_file", json.dumps({"path": "hot.py", "content": "x = 1\n"})))

    main_job.behaviours = {"1.1": write_then_hang, "2.3": write_then_hang}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Conflict.objects.waiting().exists() and main_job.model.in_flight == 1)

    cancel(execution.pk, by="ada", reason="Wrong branch.")
    executor.drain()

    proofs = [event.data for event in Event.objects.filter(type="swarm:node-cancelled")]
    assert {(proof["by"], proof["reason"]) for proof in proofs} == {("ada", "Wrong branch.")}
    stopped = {proof["stopped"]["activity"]: proof["stopped"] for proof in proofs}
    assert (stopped["thinking"]["claims"], stopped["waiting_for_lock"]["claims"]) in {(1, 0), (1, 1)}
    for proof in stopped.values():
        assert 0 <= proof["noticed"] <= proof["ended"] <= proof["claims_released"] < PATIENCE_S
    assert report_of(execution)["cancelled"]["by"] == "ada"  # type: ignore[index]


def test_one_node_is_cancelled_and_the_others_go_on(main_job: MainJob, hang: Callable[[Exchange], None]) -> None:
    main_job.behaviours = {"1.1": hang}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Node.objects.filter(status=Node.Status.COMPLETED).exists())

    cancel_node(Node.objects.get(story_id="1.1").pk, by="ada", reason="Not now.")
    executor.drain()

    report = report_of(execution)
    assert (report["status"], report["cancelled"]) == (Execution.Status.PARTIAL, None)
    node = node_of(report, "1.1")
    assert node["status"] == Node.Status.CANCELLED
    assert node["cancelled"] is not None
    assert (node["cancelled"]["by"], node["cancelled"]["reason"]) == ("ada", "Not now.")


def test_one_node_is_cancelled_by_another_process_before_and_while_it_runs(
    main_job: MainJob, hang: Callable[[Exchange], None]
) -> None:
    main_job.behaviours = {"1.1": hang, "2.3": hang}
    execution = main_job.start("1.1", "2.3", developers=1)
    wait_until(lambda: main_job.model.in_flight == 1)

    waiting, running = Node.objects.get(story_id="2.3"), Node.objects.get(story_id="1.1")
    assert cancel_node(waiting.pk).status == Node.Status.CANCELLED
    assert running.request_cancel(by="", reason="")
    assert not running.request_cancel(by="", reason="")
    executor.drain()

    assert report_of(execution)["status"] == Execution.Status.CANCELLED


def test_a_cancelled_node_is_retried_while_the_others_still_run(
    main_job: MainJob, hang: Callable[[Exchange], None]
) -> None:
    main_job.behaviours = {"1.1": hang, "2.3": hang}
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: main_job.model.in_flight == 2)
    node = Node.objects.get(story_id="1.1")
    cancel_node(node.pk)
    wait_until(lambda: Node.objects.get(pk=node.pk).status == Node.Status.CANCELLED)
    del main_job.behaviours["1.1"]

    retry(execution.pk, [node.pk])
    wait_until(lambda: Node.objects.get(pk=node.pk).status == Node.Status.COMPLETED)
    cancel(execution.pk)
    executor.drain()

    assert node_of(report_of(execution), "1.1")["cancelled"] is None


def test_nothing_lands_once_a_cancel_is_recorded(main_job: MainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    build = integration.build_commit

    def cancel_before_landing(*args: Any, **options: Any) -> str:
        Node.objects.get().request_cancel(by="", reason="")
        return build(*args, **options)

    monkeypatch.setattr(integration, "build_commit", cancel_before_landing)

    execution = main_job.run("2.3")

    assert execution["status"] == Execution.Status.CANCELLED
    assert execution["head_commit"] == execution["base_commit"]
    assert main_job.commits(execution) == []
