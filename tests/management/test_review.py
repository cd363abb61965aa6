"""Reviewing and pruning from a terminal."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from swarm.models import Event, Execution, Node
from swarm.simulator.workspace import make_workspace
from swarm.workspace.repository import Repository
from tests.landed import ended_execution, landed_node
from tests.main_job import MainJob, node_of


def swarm(*arguments: str) -> str:
    out = StringIO()
    call_command("swarm", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def node(db: Any, tmp_path: Any) -> Node:
    repository = Repository.open(make_workspace(tmp_path / "workspace", 1))
    return landed_node(repository, ended_execution(repository), {"a.py": b"a = 1\n"})


def test_a_story_is_approved_and_reverted(node: Node) -> None:
    assert swarm("approve", str(node.pk)) == "Story 1.1 is approved.\n"
    assert swarm("revert", str(node.pk), "--comment", "Not now.") == "Story 1.1 is reverted.\n"
    node.refresh_from_db()
    assert (node.review, node.review_comment, node.reviewed_by) == ("reverted", "Not now.", "the operator")


def test_a_review_as_json_is_the_node(node: Node) -> None:
    assert json.loads(swarm("approve", str(node.pk), "--json"))["review"]["decision"] == "approved"


def test_a_rejected_story_is_seen_through(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = lambda exchange: exchange.send(400, {"error": {"message": "no"}})
    execution = main_job.run("2.3")
    node = node_of(execution, "2.3")["id"]
    main_job.behaviours["2.3"] = main_job.behaviours["1.1"]
    with pytest.raises(SystemExit) as ended:
        swarm("reject", str(node), "--comment", "Once more.")
    assert ended.value.code == 1
    assert Execution.objects.get().status == "failed"


@pytest.mark.parametrize(("verb", "rest"), [("approve", []), ("revert", []), ("reject", ["--comment", "No."])])
def test_what_cannot_be_reviewed_is_said(node: Node, verb: str, rest: list[str]) -> None:
    Node.objects.update(status="running")
    with pytest.raises(CommandError, match="is running"):
        swarm(verb, str(node.pk), *rest)
    nobody = str(uuid.uuid4())
    with pytest.raises(CommandError, match=f"There is no node {nobody}"):
        swarm(verb, nobody, *rest)


def test_old_executions_are_pruned_on_request(node: Node) -> None:
    assert swarm("prune") == "Pruned executions: 0.\n"
    old = now() - timedelta(days=100)
    Execution.objects.update(finished_at=old)
    Event.objects.create(execution=node.execution, seq=1, type="swarm:started", at=old)
    Execution.objects.update(last_seq=1)
    assert json.loads(swarm("prune", "--json")) == {"executions": 1}
    assert [event.type for event in Event.objects.all()] == ["swarm:pruned"]
