"""A node's status: every change there is, from every status, allowed or refused; progress, usage and periods."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from swarm.errors import Misconfigured
from swarm.locks.errors import LockTimedOut
from swarm.models import Activity, Node, Period, Turn, WrongStatus
from tests.factories import make_execution, make_node, run_threads

Change = Callable[[Node], object]
Status = Node.Status
CHANGES: dict[str, tuple[Change, set[str], str | None]] = {
    "start": (lambda it: it.start(lease_expires_at=now()), {"pending"}, "running"),
    "begin_attempt": (lambda it: it.begin_attempt(), {"running"}, None),
    "put_back": (lambda it: it.put_back(), {"running"}, "pending"),
    "show": (lambda it: it.show(Activity.THINKING, "of something"), {"running"}, None),
    "record_files": (lambda it: it.record_files(["a.py"]), {"running"}, None),
    "record_tasks": (lambda it: it.record_tasks(1), {"running"}, None),
    "complete": (lambda it: it.complete(commit="c" * 40, files=["a.py"], summary="Done."), {"running"}, "completed"),
    "fail": (lambda it: it.fail(Misconfigured("Set it.")), {"pending", "running"}, "failed"),
    "cancel": (lambda it: it.cancel(), {"pending", "running"}, "cancelled"),
    "allow_attempt": (lambda it: it.allow_attempt(), {"running"}, None),
    "retry": (lambda it: it.retry(2), {"failed", "cancelled"}, "pending"),
    "approve": (lambda it: it.approve(by="ada"), {"completed"}, None),
    "reject": (lambda it: it.reject(by="ada", comment="No.", attempts=2), {"completed"}, "pending"),
    "revert": (lambda it: it.revert(by="ada", comment=""), {"completed", "failed", "cancelled"}, None),
}
"""Each change, the statuses that allow it, and the status it leads to (None: the one before)."""


def a_node(**values: Any) -> Node:
    return make_node(make_execution(), **values)


def reload(node: Node) -> Node:
    return Node.objects.get(pk=node.pk)


@pytest.mark.django_db
@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_happens_in_the_statuses_that_allow_it_and_is_refused_in_all_others(change: str, status: str) -> None:
    act, allowed, after = CHANGES[change]
    node = a_node(status=status, commit="d" * 40)
    before = Node.objects.values().get()
    if status in allowed:
        act(node)
        assert Node.objects.values().get() != before
        expected = after or status
    else:
        with pytest.raises(WrongStatus, match=f"developer-1 is {status} in attempt 1"):
            act(node)
        assert Node.objects.values().get() == before
        expected = status
    assert (node.status, reload(node).status) == (expected, expected)


@pytest.mark.django_db
@pytest.mark.parametrize("change", CHANGES)
def test_a_late_writer_of_an_earlier_attempt_is_refused(change: str) -> None:
    act, allowed, _ = CHANGES[change]
    late = a_node(status=next(iter(allowed)), attempt=1, commit="d" * 40)
    Node.objects.update(attempt=2)
    before = Node.objects.values().get()
    with pytest.raises(WrongStatus, match="in attempt 2"):
        act(late)
    assert Node.objects.values().get() == before


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_reverted_node_can_be_retried_however_it_had_ended_and_is_not_done(status: str) -> None:
    node = a_node(status=status, review="reverted", commit="d" * 40)
    assert (node.is_done, Node.objects.completed_stories(), list(Node.objects.undone())) == (False, set(), [node])
    node.retry(2)
    node = reload(node)
    assert (node.status, node.commit, node.review, node.max_attempts) == ("pending", "", "reverted", 3)


@pytest.mark.django_db
def test_a_node_that_completes_again_awaits_a_new_review() -> None:
    node = a_node(status="completed", commit="d" * 40)
    node.reject(by="ada", comment="No.", attempts=2)
    node.start(lease_expires_at=now())
    node.complete(commit="c" * 40, files=[], summary="")
    node = reload(node)
    assert (node.review, node.review_comment, node.reviewed_by, node.reviewed_at) == ("", "", "", None)


@pytest.mark.django_db(transaction=True)
def test_of_8_threads_that_start_a_node_at_once_one_does() -> None:
    node = a_node(status="pending", attempt=0)

    def is_started() -> bool:
        try:
            reload_copy = Node.objects.get(pk=node.pk)
            reload_copy.start(lease_expires_at=now())
        except WrongStatus:
            return False
        return True

    assert sum(run_threads([is_started] * 8)) == 1
    assert reload(node).attempt == 1


@pytest.mark.django_db
def test_a_node_keeps_its_first_start_when_it_is_put_back_and_taken_up_again() -> None:
    node = a_node(status="pending", attempt=0)
    assert node.duration is None
    node.start(lease_expires_at=now())
    started_at = node.started_at
    node.put_back()
    assert (node.lease_expires_at, node.max_attempts) == (None, 4)
    node.start(lease_expires_at=now())
    assert (reload(node).started_at, reload(node).attempt) == (started_at, 2)


@pytest.mark.django_db
def test_each_attempt_begins_with_nothing_done() -> None:
    node = a_node(tasks_done=2, files=["a.py"], error_code="x", error_message="y")
    node.begin_attempt()
    node = reload(node)
    assert (node.attempt, node.tasks_done, node.files, node.error_code, node.error_message) == (2, 0, [], "", "")


@pytest.mark.django_db
def test_a_completed_node_holds_its_commit_and_is_idle() -> None:
    node = a_node(activity="integrating", detail="merging")
    node.complete(commit="c" * 40, files=["a.py"], summary="Done.")
    node = reload(node)
    assert (node.commit, node.files, node.summary) == ("c" * 40, ["a.py"], "Done.")
    assert (node.activity, node.detail) == ("idle", "")
    assert node.finished_at is not None


@pytest.mark.django_db
def test_a_failed_node_says_why_and_whether_another_attempt_may_help() -> None:
    node = a_node()
    node.fail(LockTimedOut("It stayed held."))
    node = reload(node)
    assert (node.error_code, node.error_message, node.error_retryable) == ("lock_timeout", "It stayed held.", True)
    assert list(Node.objects.failed()) == [node]


@pytest.mark.django_db
def test_a_retried_node_begins_anew_with_a_higher_attempt_and_its_own_number_of_tries() -> None:
    node = a_node(attempt=3, started_at=now(), tasks_done=1, files=["a.py"])
    node.fail(LockTimedOut("It stayed held."))
    node.retry(2)
    node = reload(node)
    assert (node.max_attempts, node.started_at, node.finished_at, node.error_code) == (5, None, None, "")
    assert (node.tasks_done, node.files, node.error_retryable) == (0, [], False)
    node.start(lease_expires_at=now())
    assert reload(node).attempt == 4


@pytest.mark.django_db
def test_usage_adds_up_even_from_stale_copies() -> None:
    node = a_node()
    for copy in (node, reload(node)):
        copy.add_usage(prompt_tokens=10, completion_tokens=1)
    node = reload(node)
    assert (node.calls, node.prompt_tokens, node.completion_tokens) == (2, 20, 2)


@pytest.mark.django_db
def test_a_long_detail_is_cut() -> None:
    node = a_node()
    node.show(Activity.THINKING, "x" * 501)
    assert reload(node).detail == "x" * 500


@pytest.mark.django_db
def test_a_running_node_is_lost_once_its_lease_has_run_out() -> None:
    at = now()
    execution = make_execution()
    lost = make_node(execution, lease_expires_at=at)
    make_node(execution, lease_expires_at=at + timedelta(seconds=1))
    make_node(execution, lease_expires_at=at, status="completed")
    make_node(execution, lease_expires_at=None, status="pending")
    assert list(Node.objects.lost(at)) == [lost]


@pytest.mark.django_db
@pytest.mark.parametrize("status", Status.values)
def test_pending_and_running_nodes_are_active(status: str) -> None:
    node = a_node(status=status)
    assert node.is_active == (status in {"pending", "running"})
    assert list(Node.objects.active()) == ([node] if node.is_active else [])


@pytest.mark.parametrize(
    ("status", "has_started", "done", "total", "progress"),
    [
        ("pending", False, 0, 4, 0),
        ("running", True, 0, 4, 10),
        ("running", True, 1, 4, 30),
        ("running", True, 4, 4, 90),
        ("running", True, 0, 0, 10),
        ("failed", True, 3, 4, 70),
        ("completed", True, 4, 4, 100),
        ("completed", True, 0, 0, 100),
    ],
)
def test_progress_counts_the_start_and_the_ticked_tasks_and_is_full_only_at_the_end(
    status: str, has_started: bool, done: int, total: int, progress: int
) -> None:
    node = Node(status=status, started_at=now() if has_started else None, tasks_done=done, tasks_total=total)
    assert node.progress == progress


def test_only_what_is_not_a_wait_is_work() -> None:
    work = {activity.value for activity in Activity} - Activity.waits()
    assert work == {"thinking", "using_tool", "checking", "integrating"}


@pytest.mark.django_db
def test_a_number_and_a_story_stand_for_one_node_of_an_execution() -> None:
    execution = make_execution()
    make_node(execution, number=1, story_id="1.1")
    make_node(make_execution(), number=1, story_id="1.1")
    for twice in ({"number": 1, "story_id": "1.2"}, {"number": 2, "story_id": "1.1"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_node(execution, **twice)


@pytest.mark.django_db
def test_a_turn_has_its_number_within_its_attempt_alone() -> None:
    node = a_node()

    def turn(attempt: int, number: int) -> Turn:
        return Turn.objects.create(
            node=node,
            attempt=attempt,
            number=number,
            reply={},
            prompt_tokens=1,
            completion_tokens=1,
            queued_s=0,
            upstream_s=0,
        )

    turn(1, 1)
    turn(1, 2)
    turn(2, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        turn(1, 1)


@pytest.mark.django_db
def test_seconds_are_summed_by_node_and_activity_since_the_last_start() -> None:
    started_at = now()
    execution = make_execution()
    node = make_node(execution, started_at=started_at)
    other = make_node(execution, started_at=started_at)
    waiting = make_node(execution, started_at=None)
    for whose, activity, after_s, seconds in (
        (node, "thinking", -1, 100),
        (node, "thinking", 0, 1),
        (node, "checking", 1, 2),
        (node, "thinking", 3, 4),
        (other, "thinking", 0, 8),
        (waiting, "thinking", 0, 16),
    ):
        at = started_at + timedelta(seconds=after_s)
        Period.objects.create(node=whose, attempt=1, activity=activity, started_at=at, seconds=seconds)
    assert Period.objects.seconds_by_activity() == {
        (node.pk, "thinking"): 5,
        (node.pk, "checking"): 2,
        (other.pk, "thinking"): 8,
    }


@pytest.mark.django_db
@pytest.mark.parametrize("status", Status.values)
def test_a_node_waits_for_its_dependencies_only_while_it_is_pending(status: str) -> None:
    node = a_node(status=status, depends_on=["0.1", "0.2"])
    assert node.waits_for({"0.2"}) == (["0.1"] if status == Status.PENDING else [])
    assert node.waits_for({"0.1", "0.2"}) == []


@pytest.mark.django_db
def test_the_completed_stories_are_those_of_the_completed_nodes() -> None:
    execution = make_execution()
    for status in Status.values:
        make_node(execution, status=status)
    assert execution.nodes.completed_stories() == {f"1.{Status.values.index('completed') + 1}"}


@pytest.mark.django_db
def test_the_next_to_start_has_the_lowest_number_of_those_that_wait_for_no_story() -> None:
    execution = make_execution()
    first = make_node(execution, status="running")
    make_node(execution, status="pending", depends_on=[first.story_id])
    third = make_node(execution, status="pending")
    make_node(execution, status="pending")
    assert execution.nodes.next_to_start() == third
    Node.objects.filter(status="pending").update(status="completed")
    assert execution.nodes.next_to_start() is None
