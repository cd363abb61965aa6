"""Reviewing a story by the API."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from swarm.engine import review
from swarm.models import CheckRun, Execution, Node
from swarm.workspace.repository import Repository
from tests.api.client import ApiClient, invalid_fields, problem
from tests.landed import ended_execution, landed_node


@pytest.fixture(autouse=True)
def _still(still: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody works on what is queued."""
    monkeypatch.setattr(review, "dispatch", lambda execution_id: None)


@pytest.fixture
def execution(db: Any, workspace: Repository) -> Execution:
    return ended_execution(workspace)


@pytest.fixture
def node(execution: Execution, workspace: Repository) -> Node:
    return landed_node(workspace, execution, {"kitchen.py": b"salt = 1\n"})


def test_an_approved_node_says_by_whom_and_when(node: Node, writer: ApiClient) -> None:
    response = writer.post(f"/api/swarm/nodes/{node.pk}/approve")
    assert response.status_code == 200
    node.refresh_from_db()
    assert node.reviewed_at is not None
    assert response.json()["review"] == {
        "decision": "approved",
        "comment": "",
        "by": "operator",
        "at": node.reviewed_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert writer.post(f"/api/swarm/nodes/{node.pk}/approve").json() == response.json()


def test_a_rejected_node_waits_for_its_next_attempt(node: Node, writer: ApiClient) -> None:
    response = writer.post(f"/api/swarm/nodes/{node.pk}/reject", {"comment": "More salt."})
    assert response.status_code == 202
    answer = response.json()
    assert (answer["status"], answer["commit"], answer["max_attempts"]) == ("pending", node.commit, 4)
    assert (answer["review"]["decision"], answer["review"]["comment"]) == ("rejected", "More salt.")
    assert writer.get(f"/api/swarm/status/{node.execution_id}").json()["status"] == "running"
    again = writer.post(f"/api/swarm/nodes/{node.pk}/reject", {"comment": "More salt."})
    assert "is pending" in problem(again, 409, "wrong_status")["detail"]


@pytest.mark.parametrize("body", [None, {}, {"comment": ""}, {"comment": 7}, {"comment": "x" * 10_001}, {"why": "x"}])
def test_a_rejection_needs_a_comment(body: Any, node: Node, writer: ApiClient) -> None:
    problem(writer.post(f"/api/swarm/nodes/{node.pk}/reject", body), 422, "invalid_request")
    node.refresh_from_db()
    assert node.review == ""


def test_a_comment_of_blanks_is_none(node: Node, writer: ApiClient) -> None:
    problem(writer.post(f"/api/swarm/nodes/{node.pk}/reject", {"comment": " \n"}), 422, "comment_missing")


def test_the_field_that_is_wrong_is_named(node: Node, writer: ApiClient) -> None:
    document = problem(writer.post(f"/api/swarm/nodes/{node.pk}/reject", {"comment": ""}), 422, "invalid_request")
    assert invalid_fields(document) == {("body", "comment")}


@pytest.mark.parametrize("body", [None, {}, {"comment": "Not now."}])
def test_a_reverted_node_says_so_and_its_change_is_gone(
    body: Any, node: Node, writer: ApiClient, workspace: Repository
) -> None:
    response = writer.post(f"/api/swarm/nodes/{node.pk}/revert", body)
    assert response.status_code == 200
    assert response.json()["review"]["decision"] == "reverted"
    head = workspace.branch_head(node.execution.branch)
    assert workspace.read_file(head, "kitchen.py") == b"salt = 0\n"
    assert writer.get(f"/api/swarm/status/{node.execution_id}").json()["head_commit"] == head
    for verb in ("approve", "revert"):
        again = writer.post(f"/api/swarm/nodes/{node.pk}/{verb}")
        assert "Retry it instead" in problem(again, 409, "wrong_status")["detail"]
    retried = writer.post(f"/api/swarm/retry/{node.execution_id}", {"nodes": [str(node.pk)]})
    assert retried.status_code == 202


def test_a_revert_that_would_undo_later_work_names_it(
    node: Node, execution: Execution, writer: ApiClient, workspace: Repository
) -> None:
    landed_node(workspace, execution, {"kitchen.py": b"salt = 2\n"})
    detail = problem(writer.post(f"/api/swarm/nodes/{node.pk}/revert"), 409, "built_upon")["detail"]
    assert "story 1.2 changed kitchen.py" in detail


@pytest.mark.parametrize("verb", ["approve", "reject", "revert"])
def test_reviewing_needs_the_permission_and_a_node(
    verb: str, node: Node, anyone: ApiClient, reader: ApiClient, writer: ApiClient
) -> None:
    body = {"comment": "x"} if verb == "reject" else None
    problem(anyone.post(f"/api/swarm/nodes/{node.pk}/{verb}", body), 401, "not_signed_in")
    problem(reader.post(f"/api/swarm/nodes/{node.pk}/{verb}", body), 403, "not_permitted")
    problem(writer.post(f"/api/swarm/nodes/{uuid.uuid4()}/{verb}", body), 404, "not_found")
    node.refresh_from_db()
    assert node.review == ""


def test_the_check_that_proved_a_story_is_named(node: Node, reader: ApiClient) -> None:
    failed, passed = (
        CheckRun.objects.create(node=node, attempt=1, command="x", exit_status=status, seconds=1, on_commit="c" * 40)
        for status in (1, 0)
    )
    Node.objects.update(proof=passed)
    answer = reader.get(f"/api/swarm/nodes/{node.pk}").json()
    assert answer["proof"] == passed.pk
    assert [check["id"] for check in answer["checks"]] == [failed.pk, passed.pk]
