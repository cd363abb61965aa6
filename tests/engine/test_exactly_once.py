"""A story comes onto the branch once, whatever happens between the branch's move and the row that tells of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.utils.timezone import now

from swarm.engine import closing, integration
from swarm.engine.closing import cancel_node, fail_node
from swarm.engine.errors import NodeTimedOut
from swarm.engine.executor import executor
from swarm.engine.landing import find_landing
from swarm.engine.lifecycle import retry
from swarm.engine.recovery import dispatch_orphans
from swarm.events.record import Recorder, recording
from swarm.locks.errors import LockLost
from swarm.models import Execution, FileLock, Node
from swarm.workspace.repository import Repository
from tests.engine.dying import Killed, bury_the_dead
from tests.engine.worker import begin, start_worker, wait_for
from tests.factories import make_execution, make_node, wait_until
from tests.main_job import MainJob, node_of, play, report_of

SUMMARY_OF_2_3 = "Story 2.3: Find what can be cooked today: changed larder/cookbook.py."


def instead_of_completing(monkeypatch: pytest.MonkeyPatch, *, story: str, error: BaseException) -> None:
    """Let the transaction in which a story's commit came onto the branch fail, once."""
    complete, failed = closing.complete_node, list[Node]()

    def complete_node(record: Recorder, node: Node, landing: Any) -> None:
        if node.story_id == story and not failed:
            failed.append(node)
            raise error
        complete(record, node, landing)

    monkeypatch.setattr(integration, "complete_node", complete_node)


def without_dispatch(main_job: MainJob, monkeypatch: pytest.MonkeyPatch, *stories: str) -> Execution:
    """Start an execution whose nodes are left to others."""
    with monkeypatch.context() as patch:
        patch.setattr(executor, "submit", lambda run, node_id: None)
        return main_job.start(*stories)


def assert_landed_once(main_job: MainJob, execution: Execution, story: str = "2.3") -> None:
    report = report_of(execution)
    node = node_of(report, story)
    assert (node["status"], node["error"]) == (Node.Status.COMPLETED, None)
    commits = [commit for commit in main_job.commits(report) if f"\nStory: {story}\n" in commit.message]
    assert [str(commit.id) for commit in commits] == [node["commit"]]
    assert not FileLock.objects.held(now()).exists()


def test_a_commit_whose_process_was_killed_before_it_could_record_it_is_found_again(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = without_dispatch(main_job, monkeypatch, "2.3")
    worker = start_worker(execution.pk, "die-after-landing")
    begin(worker)
    assert wait_for(worker) == [-signal.SIGKILL]
    assert Node.objects.get().status == Node.Status.RUNNING

    assert bury_the_dead() == 1

    assert_landed_once(main_job, execution)
    report = report_of(execution)
    assert report["head_commit"] == report["nodes"][0]["commit"]
    assert (report["nodes"][0]["files"], report["nodes"][0]["summary"]) == (["larder/cookbook.py"], SUMMARY_OF_2_3)
    assert report["status"] == Execution.Status.COMPLETED


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), LockLost("It expired.")], ids=["a defect", "an error that is tried again"]
)
def test_a_commit_whose_record_failed_is_found_again(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch, no_backoff: None, error: Exception
) -> None:
    instead_of_completing(monkeypatch, story="2.3", error=error)

    execution = main_job.start("2.3")
    main_job.finish(execution)

    assert_landed_once(main_job, execution)


def test_a_later_story_on_top_does_not_hide_a_commit_and_stays_the_head(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_died = threading.Event()
    main_job.behaviours["3.3"] = lambda exchange: play(exchange) if has_died.wait(60) else None
    instead_of_completing(monkeypatch, story="2.3", error=Killed())
    execution = main_job.start("2.3", "3.3")
    repository = Repository.open(main_job.workspace)
    wait_until(lambda: repository.branch_head(execution.branch) != execution.base_commit)
    has_died.set()
    executor.drain()
    assert node_of(report_of(execution), "3.3")["status"] == Node.Status.COMPLETED

    assert bury_the_dead() == 1

    assert_landed_once(main_job, execution)
    report = report_of(execution)
    assert report["head_commit"] == node_of(report, "3.3")["commit"]
    assert len(main_job.commits(report)) == 2


def end_by_cancel(record: Recorder, node: Node) -> None:
    cancel_node(record, node)


def end_by_failure(record: Recorder, node: Node) -> None:
    fail_node(record, node, NodeTimedOut("It took too long."))


@pytest.mark.parametrize("end", [end_by_cancel, end_by_failure])
def test_a_story_that_stands_on_the_branch_is_neither_cancelled_nor_failed(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch, end: Callable[[Recorder, Node], None]
) -> None:
    instead_of_completing(monkeypatch, story="2.3", error=Killed())
    execution = main_job.start("2.3")
    executor.drain()

    with recording(execution.pk) as record:
        end(record, Node.objects.get())

    assert_landed_once(main_job, execution)


def test_a_node_that_failed_while_its_workspace_could_not_be_read_is_completed_when_it_is_retried(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead_of_completing(monkeypatch, story="2.3", error=Killed())
    execution = main_job.start("2.3")
    executor.drain()
    Execution.objects.update(workspace="/nowhere")
    with recording(execution.pk) as record:
        end_by_failure(record, Node.objects.get())
    assert Node.objects.get().status == Node.Status.FAILED
    Execution.objects.update(workspace=str(main_job.workspace))
    calls = len(main_job.model.received)

    retry(execution.pk)
    executor.drain()

    assert_landed_once(main_job, execution)
    assert len(main_job.model.received) == calls


def test_a_node_that_was_taken_away_cannot_move_the_branch_though_its_claims_are_still_its_own(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, taken = integration._build, list[int]()

    def build_late(*args: Any) -> str:
        if not taken:
            taken.append(bury_the_dead())
            Node.objects.get().start(lease_expires_at=now())  # by another process
        return build(*args)

    monkeypatch.setattr(integration, "_build", build_late)

    execution = main_job.start("2.3")
    executor.drain()
    assert taken == [1]
    assert Repository.open(main_job.workspace).branch_head(execution.branch) == execution.base_commit

    bury_the_dead()
    dispatch_orphans()
    executor.drain()
    assert Node.objects.get().attempt == 3
    assert_landed_once(main_job, execution)


def test_only_a_commit_of_this_node_and_of_an_attempt_that_counts_is_a_landing(main_job: MainJob) -> None:
    report = main_job.run("2.3", "3.3")
    execution = Execution.objects.get(pk=report["id"])
    node = Node.objects.get(story_id="2.3")

    landing = find_landing(execution, node)

    assert landing is not None
    assert (landing.commit, landing.head) == (node.commit, report["head_commit"])
    node.superseded_attempt = node.attempt
    assert find_landing(execution, node) is None
    assert find_landing(execution, make_node(execution, number=9, story_id="9.9")) is None
    assert find_landing(make_execution(), node) is None


def test_a_node_that_two_processes_are_given_at_once_runs_once(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = without_dispatch(main_job, monkeypatch, "2.3", "3.3")
    workers = [start_worker(execution.pk) for _ in range(2)]

    begin(*workers)
    assert wait_for(*workers) == [0, 0]

    report = report_of(execution)
    assert report["status"] == Execution.Status.COMPLETED
    assert execution.events.filter(type="swarm:node-started").count() == 2
    assert len(main_job.commits(report)) == 2
