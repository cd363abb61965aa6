"""A person approves, rejects or takes back what a story committed."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import pygit2
import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from swarm.engine import lifecycle, review
from swarm.engine.report import ExecutionReport
from swarm.engine.review import CommentMissing
from swarm.locks.errors import PathHeld
from swarm.models import Event, Execution, Node, WrongStatus
from swarm.workspace.errors import BuiltUpon, NoSuchBranch
from swarm.workspace.repository import Repository
from tests.chat.server import Exchange
from tests.factories import make_execution, make_node, run_threads, wait_until
from tests.locks.actions import claim
from tests.main_job import MainJob, call_tools, node_of, play, report_of

BOARD = "_bmad-output/implementation-artifacts/sprint-status.yaml"
KEY = "1-1-weigh-in-ounces-and-pounds"


@pytest.fixture
def ada(db: Any) -> User:
    return User.objects.create_user("ada", email="ada@example.invalid")


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody works on what is queued."""
    monkeypatch.setattr(review, "dispatch", lambda execution_id: None)


def again(job: MainJob, execution: ExecutionReport) -> ExecutionReport:
    """The execution once all that was queued has ended."""
    return job.finish(Execution.objects.get(pk=execution["id"]))


def write_and_finish(path: str, exchange: Exchange) -> None:
    """A developer of two turns, for stories whose tasks are ticked already."""
    if len(exchange.request.body["messages"]) == 2:
        call_tools(exchange, ("write_file", json.dumps({"path": path, "content": "x = 1\n"})))
    else:
        call_tools(exchange, ("finish", json.dumps({"summary": "As asked."})))


def everything(job: MainJob, execution: ExecutionReport) -> dict[str, bytes]:
    return Repository.open(job.workspace).read_files(execution["head_commit"], "")


def rows(node: Node) -> tuple[Any, ...]:
    return (
        Node.objects.values().get(pk=node.pk),
        Execution.objects.values().get(pk=node.execution_id),
        Event.objects.count(),
    )


def completed(**values: Any) -> Node:
    ended = {"status": "completed", "finished_at": now()}
    return make_node(make_execution(**ended), **ended | {"commit": "c" * 40} | values)


# Approving


@pytest.mark.django_db
def test_an_approval_is_recorded_with_who_and_when_and_told(ada: User) -> None:
    node = review.approve(completed().pk, user=ada)
    node.refresh_from_db()
    assert (node.review, node.reviewed_by, node.status) == ("approved", "ada", "completed")
    assert node.reviewed_at is not None
    event = Event.objects.get()
    assert (event.type, event.node) == ("swarm:node-approved", node)
    assert (event.data["by"], event.data["commit"]) == ("ada", "c" * 40)


@pytest.mark.django_db
def test_approving_again_is_no_error_and_changes_nothing(ada: User) -> None:
    node = review.approve(completed().pk, user=ada)
    before = rows(node)
    review.approve(node.pk, user=None)
    assert rows(node) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("status", ["pending", "running", "failed", "cancelled"])
@pytest.mark.parametrize("decide", [review.approve, partial(review.reject, comment="No."), review.revert])
def test_a_story_that_has_committed_nothing_cannot_be_reviewed(status: str, decide: Any) -> None:
    node = completed(status=status, commit="")
    before = rows(node)
    with pytest.raises(WrongStatus, match=f"is {status} and has committed nothing"):
        decide(node.pk, user=None)
    assert rows(node) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("status", ["pending", "running"])
@pytest.mark.parametrize("decide", [review.approve, partial(review.reject, comment="No.")])
def test_a_story_that_is_worked_on_again_cannot_be_reviewed(status: str, decide: Any) -> None:
    node = completed(status=status, review="rejected")
    before = rows(node)
    with pytest.raises(WrongStatus, match=f"is {status}"):
        decide(node.pk, user=None)
    assert rows(node) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("decide", [review.approve, partial(review.reject, comment="No."), review.revert])
def test_a_reverted_story_can_only_be_retried(decide: Any) -> None:
    node = completed(review="reverted")
    before = rows(node)
    with pytest.raises(WrongStatus, match="was reverted; nothing of it is on the branch"):
        decide(node.pk, user=None)
    assert rows(node) == before


# Rejecting


def test_a_rejected_story_is_worked_on_again_on_top_of_what_it_committed(main_job: MainJob, ada: User) -> None:
    first = main_job.run("1.1", "2.3")
    node = node_of(first, "1.1")
    asked: list[str] = []

    def do_as_asked(exchange: Exchange) -> None:
        asked.append(exchange.request.body["messages"][1]["content"])
        write_and_finish("asked.py", exchange)

    main_job.behaviours["1.1"] = do_as_asked
    review.reject(node["id"], comment="  Round half up: {0} \n", user=ada)
    second = again(main_job, first)

    assert second["status"] == Execution.Status.COMPLETED
    assert "A reviewer rejected what was committed for this story." in asked[0]
    assert "Round half up: {0}" in asked[0]
    *earlier, newest = main_job.commits(second)
    assert [str(commit.id) for commit in earlier] == [str(commit.id) for commit in main_job.commits(first)]
    attempts = [commit.message_trailers["Attempt"] for commit in main_job.commits(second) if _is_of("1.1", commit)]
    assert attempts == ["1", "2"]
    done = node_of(second, "1.1")
    assert (done["commit"], done["review"]) == (str(newest.id), None)
    assert done["tasks_done"] == done["tasks_total"]
    assert everything(main_job, second).keys() - everything(main_job, first).keys() == {"asked.py"}
    assert second["parallelism"]["verified"] is None
    told = Event.objects.get(type="swarm:node-rejected")
    assert (told.data["by"], told.data["comment"]) == ("ada", "Round half up: {0}")


def _is_of(story: str, commit: pygit2.Commit) -> bool:
    return commit.message_trailers["Story"] == story


def test_each_later_attempt_is_told_of_every_rejection(main_job: MainJob) -> None:
    execution = main_job.run("1.1")
    node = node_of(execution, "1.1")["id"]
    asked: list[str] = []

    def do_as_asked(exchange: Exchange) -> None:
        asked.append(exchange.request.body["messages"][1]["content"])
        write_and_finish(f"asked{len(asked)}.py", exchange)

    main_job.behaviours["1.1"] = do_as_asked
    for comment in ("Not so.", "Nor so."):
        review.reject(node, comment=comment, user=None)
        execution = again(main_job, execution)
    assert asked[-1].index("Not so.") < asked[-1].index("Nor so.")


def test_a_story_may_be_rejected_while_others_still_work(main_job: MainJob) -> None:
    go_on = threading.Event()

    def wait_and_play(exchange: Exchange) -> None:
        assert go_on.wait(60)
        play(exchange)

    main_job.behaviours["2.3"] = wait_and_play
    execution = main_job.start("1.1", "2.3")
    wait_until(lambda: Node.objects.filter(status="completed").exists())
    main_job.behaviours["1.1"] = partial(write_and_finish, "asked.py")
    node = review.reject(Node.objects.get(story_id="1.1").pk, comment="Once more.", user=None)
    wait_until(lambda: Node.objects.get(pk=node.pk).status == "completed")
    go_on.set()

    report = main_job.finish(execution)

    assert (report["status"], len(main_job.commits(report))) == (Execution.Status.COMPLETED, 3)
    assert [event.type for event in Event.objects.all()].count("swarm:completed") == 1


def test_a_rejected_story_whose_next_attempt_fails_keeps_its_commit_and_can_be_retried(main_job: MainJob) -> None:
    first = main_job.run("1.1")
    main_job.behaviours["1.1"] = lambda exchange: exchange.send(400, {"error": {"message": "no"}})
    review.reject(node_of(first, "1.1")["id"], comment="Once more.", user=None)
    second = again(main_job, first)
    node = node_of(second, "1.1")
    assert (node["status"], node["commit"], second["status"]) == ("failed", first["head_commit"], "failed")
    assert second["head_commit"] == first["head_commit"]

    main_job.behaviours["1.1"] = partial(write_and_finish, "asked.py")
    lifecycle.retry(first["id"])

    third = again(main_job, first)
    assert (third["status"], len(main_job.commits(third))) == (Execution.Status.COMPLETED, 2)


@pytest.mark.django_db
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("comment", ["", " \n"])
def test_a_rejection_without_a_comment_is_refused(comment: str) -> None:
    node = completed()
    before = rows(node)
    with pytest.raises(CommentMissing):
        review.reject(node.pk, comment=comment, user=None)
    assert rows(node) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("still")
def test_nothing_is_rejected_while_its_execution_is_being_cancelled() -> None:
    node = completed()
    Execution.objects.update(status="running", finished_at=None, cancel_requested_at=now())
    before = rows(node)
    with pytest.raises(WrongStatus, match="is being cancelled; reject the story once it has ended"):
        review.reject(node.pk, comment="No.", user=None)
    assert rows(node) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("still")
def test_of_many_rejections_at_once_one_counts() -> None:
    node = completed()

    def try_to_reject(number: int) -> bool:
        try:
            review.reject(node.pk, comment=f"No {number}.", user=None)
        except WrongStatus:
            return False
        return True

    assert run_threads([partial(try_to_reject, number) for number in range(8)]).count(True) == 1
    assert Event.objects.count() == 1


# Taking back


def test_a_reverted_story_is_as_if_it_had_never_been(main_job: MainJob, ada: User) -> None:
    without = main_job.run("2.3")
    first = main_job.run("1.1", "2.3")
    assert f"{KEY}: review" in main_job.file(first, BOARD)

    review.revert(node_of(first, "1.1")["id"], comment="Not now.", user=ada)

    second = report_of(Execution.objects.get(pk=first["id"]))
    assert everything(main_job, second).keys() == everything(main_job, without).keys()
    assert f"{KEY}: ready-for-dev" in main_job.file(second, BOARD)
    assert "2-3-find-what-can-be-cooked-today: review" in main_job.file(second, BOARD)
    same = {
        path for path, content in everything(main_job, second).items() if content == everything(main_job, without)[path]
    }
    assert same == everything(main_job, without).keys()
    node = node_of(second, "1.1")
    assert node["review"] is not None
    assert (node["status"], node["review"]["decision"], node["review"]["by"]) == ("completed", "reverted", "ada")
    commit = main_job.commits(second)[-1]
    assert commit.message.startswith('Revert "1.1 Weigh in ounces and pounds"\n\nNot now.\n\nReverts-Node: ')
    assert (commit.author.name, commit.author.email) == ("ada", "ada@example.invalid")
    event = Event.objects.get(type="swarm:node-reverted")
    assert (event.data["revert_commit"], event.data["by"]) == (second["head_commit"], "ada")


def test_a_reverted_story_can_be_retried_and_its_next_attempt_knows_why(main_job: MainJob) -> None:
    first = main_job.run("1.1", "2.3")
    node = node_of(first, "1.1")["id"]
    review.revert(node, comment="Name it otherwise.", user=None)

    lifecycle.retry(first["id"], [node])

    second = again(main_job, first)
    assert (second["status"], len(main_job.commits(second))) == (Execution.Status.COMPLETED, 4)
    assert node_of(second, "1.1")["review"] is None
    assert f"{KEY}: review" in main_job.file(second, BOARD)
    prompt = next(
        request.body["messages"][1]["content"]
        for request in reversed(main_job.model.received)
        if "took back what was committed for this story: Name it otherwise." in str(request.body)
    )
    assert "\nStatus: ready-for-dev\n" in prompt


def test_a_story_with_a_later_one_on_the_same_file_is_not_reverted_and_the_other_is_named(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "1.2")
    first, second = main_job.commits(execution)
    earlier, later = (Node.objects.get(commit=str(commit.id)) for commit in (first, second))
    before = rows(earlier)

    with pytest.raises(BuiltUpon, match=f"story {later.story_id} changed larder/units.py"):
        review.revert(earlier.pk, user=None)
    assert rows(earlier) == before

    review.revert(later.pk, user=None)
    review.revert(earlier.pk, user=None)
    base = Repository.open(main_job.workspace).read_files(execution["base_commit"], "")
    assert everything(main_job, report_of(Execution.objects.get(pk=execution["id"]))) == base


def test_a_story_is_reverted_with_the_commits_of_all_its_attempts(main_job: MainJob) -> None:
    first = main_job.run("1.1")
    node = node_of(first, "1.1")["id"]
    main_job.behaviours["1.1"] = partial(write_and_finish, "asked.py")
    review.reject(node, comment="More.", user=None)
    again(main_job, first)

    review.revert(node, user=None)

    second = report_of(Execution.objects.get(pk=first["id"]))
    assert everything(main_job, second) == Repository.open(main_job.workspace).read_files(first["base_commit"], "")


def test_a_revert_that_died_before_it_was_recorded_is_found_on_the_branch(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = main_job.run("1.1", "2.3")
    node = node_of(execution, "1.1")["id"]
    monkeypatch.setattr(review, "_tell", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        review.revert(node, user=None)
    assert Node.objects.get(pk=node).review == ""
    head = Repository.open(main_job.workspace).branch_head(execution["branch"])
    monkeypatch.undo()

    review.revert(node, user=None)

    assert Node.objects.get(pk=node).review == "reverted"
    assert Repository.open(main_job.workspace).branch_head(execution["branch"]) == head
    assert Execution.objects.get().head_commit == head


def test_a_story_that_others_depend_on_is_not_reverted_while_they_stand_or_wait(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "2.3", depends_on={"2.3": ["1.1"]})
    first, other = (node_of(execution, story)["id"] for story in ("1.1", "2.3"))
    with pytest.raises(BuiltUpon, match=r"Stories depend on it: 2\.3\."):
        review.revert(first, user=None)
    review.revert(other, user=None)
    review.revert(first, user=None)
    lifecycle.retry(execution["id"], [other])  # and with it what it depends on
    assert again(main_job, execution)["status"] == Execution.Status.COMPLETED
    assert not Node.objects.exclude(review="").exists()


def test_a_story_is_not_reverted_while_another_works_on_one_of_its_files(main_job: MainJob) -> None:
    execution = main_job.run("1.1")
    worker = make_node(Execution.objects.get(), number=9, story_id="9.9", status="running")
    claim(worker, "larder/units.py")
    with pytest.raises(PathHeld, match=r"larder/units\.py is held by developer-9 on story 9\.9"):
        review.revert(node_of(execution, "1.1")["id"], user=None)
    assert report_of(Execution.objects.get())["head_commit"] == execution["head_commit"]


def test_a_branch_that_moves_meanwhile_is_said_and_nothing_is_reverted(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = main_job.run("1.1")
    node = Node.objects.get()
    before = rows(node)
    monkeypatch.setattr(review, "advance_branch", lambda *_, **__: False)
    with pytest.raises(review.BranchMoved, match="try again"):
        review.revert(node.pk, user=None)
    assert rows(node) == before
    assert Repository.open(main_job.workspace).branch_head(execution["branch"]) == execution["head_commit"]


def test_without_its_branch_a_story_cannot_be_reverted(main_job: MainJob) -> None:
    execution = main_job.run("1.1")
    pygit2.Repository(str(main_job.workspace)).branches.delete(execution["branch"])
    node = Node.objects.get()
    before = rows(node)
    with pytest.raises(NoSuchBranch):
        review.revert(node.pk, user=None)
    assert rows(node) == before
