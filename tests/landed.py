"""Executions as they are after their nodes have committed, without running any: for tests of what comes then."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.timezone import now

from swarm.models import Execution, Node
from swarm.workspace.integration import advance_branch, build_commit
from swarm.workspace.repository import Repository
from tests.factories import make_execution, make_node


def ended_execution(repository: Repository) -> Execution:
    """An execution with a branch at the user's commit and no nodes yet."""
    head = repository.head_commit()
    execution = make_execution(
        status="completed", started_at=now(), finished_at=now(), workspace=str(repository.root), base_commit=head,
        head_commit=head, stories_folder="stories",
    )  # fmt: skip
    execution.branch = f"swarm/{execution.pk}"
    execution.save(update_fields=["branch"])
    repository.create_branch(execution.branch, head)
    return execution


def landed_node(repository: Repository, execution: Execution, changes: Mapping[str, bytes | None]) -> Node:
    """One more node, completed, with a commit on the branch."""
    node = make_node(execution, status="completed", started_at=now(), finished_at=now())
    head = repository.branch_head(execution.branch)
    commit = build_commit(
        repository, parent=head, changes=changes, author=node.name, message=f"{node.story_id} {node.story_title}",
        trailers={"Story": node.story_id, "Execution": str(execution.pk), "Node": str(node.pk), "Attempt": "1"},
    )  # fmt: skip
    advance_branch(repository, execution.branch, expected=head, commit=commit)
    Node.objects.filter(pk=node.pk).update(commit=commit)
    Execution.objects.filter(pk=execution.pk).update(head_commit=commit)
    return Node.objects.get(pk=node.pk)
