from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils.timezone import now

from swarm.models import Activity, Call, CheckRun, Execution, FileLock, Node, Period, Turn
from swarm.workspace.repository import Repository
from tests.api.client import ApiClient, problem
from tests.factories import make_execution, make_node
from tests.workspace.repositories import commit_on

START = datetime(2026, 1, 1, tzinfo=UTC)


def turn_of(node: Node, number: int) -> Turn:
    return Turn.objects.create(
        node=node, attempt=1, number=number,
        reply={"role": "assistant", "content": f"turn {number}"},
        results=[{"role": "tool", "tool_call_id": "c", "content": "done"}],
        prompt_tokens=10, completion_tokens=2, queued_s=0.5, upstream_s=1.5, created_at=START,
    )  # fmt: skip


def call_of(node: Node, number: int, **values: Any) -> Call:
    return Call.objects.create(node=node, attempt=1, number=number, model="m", started_at=START, **values)


def period_of(node: Node, attempt: int, activity: Activity, after_s: float, seconds: float) -> None:
    started_at = START + timedelta(seconds=after_s)
    Period.objects.create(node=node, attempt=attempt, activity=activity, started_at=started_at, seconds=seconds)


@pytest.fixture
def node(db: Any) -> Node:
    return make_node(make_execution(), started_at=START, attempt=2)


def test_a_node_tells_of_its_attempts_calls_locks_and_checks(node: Node, reader: ApiClient) -> None:
    period_of(node, 1, Activity.THINKING, 0, 2)
    period_of(node, 1, Activity.WAITING_FOR_LOCK, 2, 3)
    period_of(node, 2, Activity.THINKING, 5, 4)
    period_of(node, 2, Activity.THINKING, 9, 1)
    call_of(
        node, 1, outcome="ok", queued_s=0.5, upstream_s=1.5, prompt_tokens=10, completion_tokens=2, retries=1,
        rate_limited_count=1, cost=Decimal("0.25"),
    )  # fmt: skip
    call_of(node, 2, outcome="upstream_timeout")
    check = CheckRun.objects.create(
        node=node, attempt=1, command="pytest", exit_status=1, seconds=3, output="1 failed", on_commit="a" * 40
    )
    FileLock.objects.create(key="a.py", path="a.py", node=node, locked_at=now(), expires_at=now() + timedelta(hours=1))

    response = reader.get(f"/api/swarm/nodes/{node.pk}").json()

    assert response["name"] == "developer-1"
    assert response["execution"] == str(node.execution_id)
    assert (response["work_time"], response["lock_wait"]) == (7, 3)
    assert response["attempts"] == [
        {"number": 1, "started_at": "2026-01-01T00:00:00Z", "seconds": {"thinking": 2.0, "waiting_for_lock": 3.0}},
        {"number": 2, "started_at": "2026-01-01T00:00:05Z", "seconds": {"thinking": 5.0}},
    ]
    assert response["calls"] == [
        {
            "attempt": 1, "number": 1, "at": "2026-01-01T00:00:00Z", "model": "m", "outcome": "ok",
            "queued": 0.5, "upstream": 1.5, "prompt_tokens": 10, "completion_tokens": 2,
            "retries": 1, "rate_limited": 1, "cost": 0.25,
        },
        {
            "attempt": 1, "number": 2, "at": "2026-01-01T00:00:00Z", "model": "m", "outcome": "upstream_timeout",
            "queued": 0.0, "upstream": 0.0, "prompt_tokens": 0, "completion_tokens": 0,
            "retries": 0, "rate_limited": 0, "cost": None,
        },
    ]  # fmt: skip
    assert [lock["path"] for lock in response["locks"]] == ["a.py"]
    (shown,) = response["checks"]
    assert shown["passed"] is False
    assert (shown["command"], shown["output"], shown["on_commit"]) == (check.command, "1 failed", "a" * 40)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_node_takes_the_same_queries_however_much_it_did(
    rows: int, node: Node, reader: ApiClient, django_assert_num_queries: Any
) -> None:
    for number in range(1, rows + 1):
        call_of(node, number)
        period_of(node, number, Activity.THINKING, number, 1)
        FileLock.objects.create(key=str(number), node=node, locked_at=now(), expires_at=now() + timedelta(hours=1))

    with django_assert_num_queries(7):  # the token, node, seconds, attempts, calls, locks, checks
        response = reader.get(f"/api/swarm/nodes/{node.pk}").json()
    assert {len(response[name]) for name in ("attempts", "calls", "locks")} == {rows}


def test_the_transcript_comes_in_pages_in_order(node: Node, reader: ApiClient) -> None:
    for number in (1, 2, 3):
        turn_of(node, number)
    turn_of(make_node(node.execution), 1)

    pages = reader.pages(f"/api/swarm/nodes/{node.pk}/transcript", limit=2)

    assert [[turn["number"] for turn in page] for page in pages] == [[1, 2], [3]]
    assert pages[0][0]["reply"] == {"role": "assistant", "content": "turn 1"}
    assert pages[0][0]["results"] == [{"role": "tool", "tool_call_id": "c", "content": "done"}]


def test_the_diff_is_what_the_node_committed_and_no_more(reader: ApiClient, workspace: Repository) -> None:
    other = commit_on(workspace, workspace.head_commit(), {"other.py": b"x = 1\n"})
    commit = commit_on(workspace, other, {"kitchen.py": b"salt = 1\n"})
    node = make_node(make_execution(workspace=str(workspace.root)), status=Node.Status.COMPLETED, commit=commit)

    response = reader.get(f"/api/swarm/nodes/{node.pk}/diff")

    assert response["Content-Type"] == "text/x-diff; charset=utf-8"
    text = response.content.decode()
    assert "-salt = 0\n+salt = 1\n" in text
    assert "other.py" not in text


def test_a_node_without_a_commit_has_no_diff(node: Node, reader: ApiClient) -> None:
    assert "running" in problem(reader.get(f"/api/swarm/nodes/{node.pk}/diff"), 404, "not_found")["detail"]


def test_a_commit_that_git_has_dropped_is_said(node: Node, reader: ApiClient, workspace: Repository) -> None:
    Node.objects.filter(pk=node.pk).update(commit="c" * 40)
    Execution.objects.update(workspace=str(workspace.root))
    problem(reader.get(f"/api/swarm/nodes/{node.pk}/diff"), 409, "no_such_commit")


def test_a_workspace_that_is_gone_is_said(node: Node, reader: ApiClient, tmp_path: Path) -> None:
    Node.objects.filter(pk=node.pk).update(commit="c" * 40)
    Execution.objects.update(workspace=str(tmp_path / "gone"))
    problem(reader.get(f"/api/swarm/nodes/{node.pk}/diff"), 503, "not_a_repository")


@pytest.mark.django_db
@pytest.mark.parametrize("rest", ["", "/diff", "/transcript"])
def test_an_unknown_node_is_not_found(rest: str, reader: ApiClient) -> None:
    response = reader.get(f"/api/swarm/nodes/{uuid.UUID(int=1)}{rest}")

    assert problem(response, 404, "not_found")["detail"] == "There is no such node."
