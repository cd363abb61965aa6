"""The contract's objects: times that add up, and a number of queries that does not grow."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import get_type_hints

import pytest
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from swarm.cancellation import Cancellation
from swarm.engine import timesheet
from swarm.engine.report import ExecutionReport, NodeReport, execution_report, execution_summaries, node_report
from swarm.models import Activity, Execution, Node, Period
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db

START = now() - timedelta(hours=1)


def book(node: Node, **seconds: float) -> None:
    """Book `seconds` under each activity, one after another, from the node's start on."""
    at = node.started_at
    assert at is not None
    for activity, booked in seconds.items():
        Period.objects.create(node=node, attempt=1, activity=activity, started_at=at, seconds=booked)
        at += timedelta(seconds=booked)


def completed_node(execution: Execution, *, start_s: float = 0, **seconds: float) -> Node:
    """A node that ran from `start_s` seconds after the start on, for as long as it has `seconds` booked."""
    started_at = START + timedelta(seconds=start_s)
    finished_at = started_at + timedelta(seconds=sum(seconds.values()))
    node = make_node(execution, status="completed", started_at=started_at, finished_at=finished_at)
    book(node, **seconds)
    return node


def report_of(execution: Execution) -> ExecutionReport:
    return execution_report(Execution.objects.get(pk=execution.pk))


EVERYTHING = {
    "idle": 1.0,
    "thinking": 2.0,
    "using_tool": 4.0,
    "waiting_for_lock": 8.0,
    "waiting_for_budget": 16.0,
    "checking": 32.0,
    "integrating": 64.0,
}


def test_every_second_of_a_node_is_work_or_one_of_the_waits() -> None:
    assert set(EVERYTHING) == set(Activity.values)
    execution = make_execution()
    completed_node(execution, **EVERYTHING)
    [node] = report_of(execution)["nodes"]
    assert (node["work_time"], node["lock_wait"], node["budget_wait"]) == (2 + 4 + 32 + 64, 8, 16)
    assert node["duration"] == node["work_time"] + node["lock_wait"] + node["budget_wait"] + EVERYTHING["idle"]


def test_the_verdict_is_reckoned_without_the_waits() -> None:
    execution = make_execution()
    completed_node(execution, thinking=10)
    completed_node(execution, start_s=1, thinking=4, waiting_for_lock=9, checking=2)
    parallelism = report_of(execution)["parallelism"]
    assert (parallelism["single_story"], parallelism["makespan"]) == (8, 16)
    assert (parallelism["ratio"], parallelism["speedup"], parallelism["critical_path"]) == (2, 1, 1.6)
    assert (parallelism["verified"], parallelism["reason"]) == (False, None)


def test_only_completed_nodes_count_for_the_verdict() -> None:
    execution = make_execution()
    for _ in range(2):
        completed_node(execution, thinking=10)
    for status in ("failed", "cancelled", "running"):
        book(make_node(execution, status=status, started_at=START, finished_at=now()), thinking=1000)
    parallelism = report_of(execution)["parallelism"]
    assert (parallelism["makespan"], parallelism["ratio"], parallelism["verified"]) == (10, 1, True)


def test_what_a_node_did_before_it_was_retried_does_not_count() -> None:
    execution = make_execution(status="partial")
    node = completed_node(execution, thinking=100, waiting_for_lock=50)
    Node.objects.update(status="failed")
    node.refresh_from_db()
    node.retry(1)
    node.start(lease_expires_at=now())
    [report] = report_of(execution)["nodes"]
    assert (report["work_time"], report["lock_wait"]) == (0, 0)
    book(node, thinking=3)
    [report] = report_of(execution)["nodes"]
    assert (report["work_time"], report["lock_wait"]) == (3, 0)


def test_a_timesheet_books_all_of_a_nodes_time_without_gap_or_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0

    def sleep(duration_s: int) -> None:
        nonlocal seconds
        seconds += duration_s

    monkeypatch.setattr(timesheet, "now", lambda: START + timedelta(seconds=seconds))
    monkeypatch.setattr(timesheet, "time", SimpleNamespace(monotonic=lambda: seconds))
    execution = make_execution()
    sheet = timesheet.Timesheet(make_node(execution, started_at=START), Cancellation())
    sleep(1)
    for activity in (Activity.THINKING, Activity.WAITING_FOR_LOCK, Activity.THINKING):
        sheet.enter(activity, "something")
        sleep(10)
        sheet.enter(activity, "something")
        sleep(10)
    sheet.close()
    periods = Period.objects.order_by("id").values_list("activity", "started_at", "seconds")
    assert list(periods) == [
        ("idle", START, 1),
        ("thinking", START + timedelta(seconds=1), 20),
        ("waiting_for_lock", START + timedelta(seconds=21), 20),
        ("thinking", START + timedelta(seconds=41), 20),
    ]
    [report] = report_of(execution)["nodes"]
    assert (report["work_time"], report["lock_wait"]) == (40, 20)


def test_progress_and_usage_are_those_of_all_nodes() -> None:
    execution = make_execution()
    for status in ("completed", "failed", "failed", "cancelled", "running", "pending"):
        make_node(execution, status=status, calls=1, prompt_tokens=10, completion_tokens=100)
    report = report_of(execution)
    assert report["progress"] == {"completed": 1, "failed": 2, "cancelled": 1, "total": 6}
    assert report["usage"] == {"calls": 6, "prompt_tokens": 60, "completion_tokens": 600, "cost": None}


def test_an_error_is_told_where_there_is_one_and_a_commit_too() -> None:
    execution = make_execution()
    make_node(execution, status="failed", error_code="lock_timeout", error_message="It waited.", error_retryable=True)
    make_node(execution, status="completed", commit="c" * 40)
    failed, completed = report_of(execution)["nodes"]
    assert failed["error"] == {"code": "lock_timeout", "message": "It waited.", "retryable": True}
    assert (failed["commit"], completed["error"], completed["commit"]) == (None, None, "c" * 40)


def test_a_pending_node_tells_whom_it_waits_for_until_those_are_done(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    execution = make_execution()
    first, second = make_node(execution), make_node(execution)
    third = make_node(execution, status="pending", depends_on=["1.1", "1.2"])
    free = make_node(execution, status="pending")
    details = {it["story"]["id"]: it["detail"] for it in report_of(execution)["nodes"]}
    assert (details["1.3"], details["1.4"]) == ("waits for 1.1 and 1.2 to be done", "")
    Node.objects.filter(pk=first.pk).update(status="completed")
    assert node_report(Node.objects.get(pk=third.pk))["detail"] == "waits for 1.2 to be done"
    assert report_of(execution)["nodes"][2]["depends_on"] == ["1.1", "1.2"]
    Node.objects.filter(pk=second.pk).update(status="completed")
    assert node_report(Node.objects.get(pk=third.pk))["detail"] == ""
    with django_assert_num_queries(1):  # a node that depends on nothing asks for nothing but its periods
        node_report(free)


def test_the_longest_chain_is_measured_in_work_over_the_completed_nodes() -> None:
    execution = make_execution()
    for number, dependencies in enumerate(([], ["1.1"], []), start=1):
        completed_node(execution, thinking=10, waiting_for_lock=5)
        Node.objects.filter(execution=execution, number=number).update(depends_on=dependencies)
    parallelism = report_of(execution)["parallelism"]
    assert (parallelism["verified"], parallelism["ratio"]) == (None, 1.5)
    assert "The longest chain of them, 1.1 → 1.2, took 20.0 s of work." in str(parallelism["reason"])
    assert execution_summaries([execution])[0]["parallelism"] == parallelism


def test_an_execution_that_has_not_begun_has_no_times_and_no_verdict() -> None:
    execution = make_execution(status="pending")
    make_node(execution, status="pending")
    report = report_of(execution)
    assert (report["started_at"], report["duration"], report["nodes"][0]["duration"]) == (None, None, None)
    assert (report["parallelism"]["verified"], report["parallelism"]["makespan"]) == (None, None)


def test_the_reports_have_exactly_the_fields_that_they_promise() -> None:
    execution = make_execution()
    make_node(execution)
    report = report_of(execution)
    assert set(report) == set(get_type_hints(ExecutionReport))
    assert set(report["nodes"][0]) == set(get_type_hints(NodeReport))


def test_summaries_say_the_same_as_the_reports_in_the_order_given_but_leave_the_nodes_out() -> None:
    first, second = make_execution(), make_execution()
    for execution in (first, second, second):
        completed_node(execution, thinking=1, checking=1)
    executions = [Execution.objects.get(pk=it.pk) for it in (second, first)]
    expected = [{name: it for name, it in execution_report(of).items() if name != "nodes"} for of in executions]
    assert execution_summaries(executions) == expected


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_queries_does_not_grow_with_the_executions(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(count):
        completed_node(make_execution(), thinking=1)
    executions = list(Execution.objects.all())
    with django_assert_num_queries(2):
        assert len(execution_summaries(executions)) == count


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_queries_does_not_grow_with_the_nodes(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    execution = make_execution()
    for _ in range(count):
        completed_node(execution, thinking=1, checking=1)
    execution = Execution.objects.get()
    with django_assert_num_queries(2):
        execution_report(execution)
