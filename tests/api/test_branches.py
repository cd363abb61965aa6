"""Taking an execution's branch over by the API: what is on it, patches, a merge."""

from __future__ import annotations

import subprocess
import uuid
from typing import Any

import pytest

from swarm.engine import review
from swarm.models import Event, Execution
from swarm.workspace.repository import Repository
from tests.api.client import ApiClient, problem
from tests.landed import ended_execution, landed_node


@pytest.fixture
def execution(db: Any, workspace: Repository) -> Execution:
    return ended_execution(workspace)


def git(repository: Repository, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=repository.root, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_branch_tells_of_its_commits_of_the_commands_and_of_the_branches_to_merge_into(
    execution: Execution, workspace: Repository, reader: ApiClient
) -> None:
    git(workspace, "branch", "release")
    soup, bread = (landed_node(workspace, execution, {name: b"1"}) for name in ("soup.py", "bread.py"))
    review.revert(bread.pk, user=None)

    answer = reader.get(f"/api/swarm/branch/{execution.pk}").json()

    head = workspace.branch_head(execution.branch)
    assert (answer["branch"], answer["head_commit"]) == (execution.branch, head)
    assert [(it["id"], it["story"], it["node"], it["state"]) for it in answer["commits"]] == [
        (head, None, None, "reverts"),
        (bread.commit, "1.2", str(bread.pk), "reverted"),
        (soup.commit, "1.1", str(soup.pk), "stands"),
    ]
    assert answer["commits"][2]["command"] == f"git cherry-pick {soup.commit}"
    assert answer["commands"] == {
        "merge": f"git merge {execution.branch}",
        "fetch": f"git fetch {workspace.root} {execution.branch}",
        "apply": f"git am --keep-cr swarm-{execution.short_id}.mbox",
    }
    assert answer["targets"] == [
        {"name": "main", "is_checked_out": True},
        {"name": "release", "is_checked_out": False},
    ]


def test_a_persons_commit_with_somebody_elses_trailers_names_no_node(
    execution: Execution, workspace: Repository, reader: ApiClient
) -> None:
    tree, parent = f"{execution.branch}^{{tree}}", execution.branch
    identity = ["-c", "user.name=U", "-c", "user.email=u@example.invalid"]
    commit = git(workspace, *identity, "commit-tree", "-p", parent, "-m", "Mine\n\nNode: <b>\nStory: 1.1", tree)
    git(workspace, "branch", "-f", execution.branch, commit)
    [told] = reader.get(f"/api/swarm/branch/{execution.pk}").json()["commits"]
    assert (told["node"], told["subject"], told["author"]) == (None, "Mine", "U")


def test_patches_of_all_and_of_one_story_come_as_a_file(
    execution: Execution, workspace: Repository, reader: ApiClient
) -> None:
    soup, bread = (landed_node(workspace, execution, {name: b"1\n"}) for name in ("soup.py", "bread.py"))
    whole = reader.get(f"/api/swarm/patch/{execution.pk}")
    assert whole["Content-Type"] == "application/mbox"
    assert whole["Content-Disposition"] == f'attachment; filename="swarm-{execution.short_id}.mbox"'
    assert whole.content.count(b"\nSubject: ") == 2
    one = reader.get(f"/api/swarm/nodes/{bread.pk}/patch")
    assert one["Content-Disposition"] == f'attachment; filename="swarm-{execution.short_id}-1.2.mbox"'
    assert b"bread.py" in one.content
    assert b"soup.py" not in one.content
    review.revert(soup.pk, user=None)
    gone = reader.get(f"/api/swarm/nodes/{soup.pk}/patch")
    assert "Nothing of story 1.1 is on" in problem(gone, 409, "no_such_commit")["detail"]


def test_an_empty_branch_has_no_patches(execution: Execution, reader: ApiClient) -> None:
    problem(reader.get(f"/api/swarm/patch/{execution.pk}"), 409, "no_such_commit")
    assert reader.get(f"/api/swarm/branch/{execution.pk}").json()["commits"] == []


def test_a_merge_says_what_it_did_and_is_recorded_once(
    execution: Execution, workspace: Repository, writer: ApiClient
) -> None:
    git(workspace, "branch", "release")
    node = landed_node(workspace, execution, {"soup.py": b"1"})
    report = {"into": "release", "how": "fast_forward", "before": workspace.head_commit(), "after": node.commit}
    assert writer.post(f"/api/swarm/merge/{execution.pk}", {"into": "release"}).json() == report
    assert git(workspace, "rev-parse", "release") == node.commit
    again = writer.post(f"/api/swarm/merge/{execution.pk}", {"into": "release"}).json()
    assert (again["how"], again["after"]) == ("already_merged", node.commit)
    event = Event.objects.get(type="swarm:merged")
    assert event.data == report | {"by": "operator"}


def test_a_merge_commit_names_the_person_and_the_stories(
    execution: Execution, workspace: Repository, writer: ApiClient
) -> None:
    identity = ["-c", "user.name=U", "-c", "user.email=u@example.invalid"]
    git(
        workspace, "branch", "release", git(workspace, *identity, "commit-tree", "-p", "main", "-m", "x", "main^{tree}")
    )
    landed_node(workspace, execution, {"soup.py": b"1"})
    assert writer.post(f"/api/swarm/merge/{execution.pk}", {"into": "release"}).json()["how"] == "merge_commit"
    assert git(workspace, "log", "-1", "--format=%an%n%B", "release").split("\n") == [
        "operator",
        f"Merge branch '{execution.branch}' into release",
        "",
        "Stories: 1.1",
        "",
        f"Execution: {execution.pk}",
        "Merged-by: operator",
    ]


def test_what_cannot_be_merged_is_said_and_changes_nothing(
    execution: Execution, workspace: Repository, writer: ApiClient
) -> None:
    landed_node(workspace, execution, {"kitchen.py": b"salt = 1\n"})
    before = git(workspace, "for-each-ref")
    for into, code in (
        ("main", "branch_checked_out"),
        ("nowhere", "no_such_branch"),
        (execution.branch, "not_mergeable"),
    ):
        problem(writer.post(f"/api/swarm/merge/{execution.pk}", {"into": into}), 409, code)
    assert git(workspace, "for-each-ref") == before
    assert not Event.objects.exists()


@pytest.mark.parametrize("body", [None, {}, {"into": ""}, {"into": 5}, {"into": "a\0b"}, {"branch": "main"}])
def test_a_merge_needs_a_branch(body: Any, execution: Execution, writer: ApiClient) -> None:
    problem(writer.post(f"/api/swarm/merge/{execution.pk}", body), 422, "invalid_request")


def test_merging_needs_the_permission_and_an_execution(
    execution: Execution, anyone: ApiClient, reader: ApiClient, writer: ApiClient
) -> None:
    body = {"into": "main"}
    problem(anyone.post(f"/api/swarm/merge/{execution.pk}", body), 401, "not_signed_in")
    problem(reader.post(f"/api/swarm/merge/{execution.pk}", body), 403, "not_permitted")
    problem(writer.post(f"/api/swarm/merge/{uuid.uuid4()}", body), 404, "not_found")
    for what in ("branch", "patch"):
        problem(anyone.get(f"/api/swarm/{what}/{execution.pk}"), 401, "not_signed_in")
        problem(reader.get(f"/api/swarm/{what}/{uuid.uuid4()}"), 404, "not_found")


def test_a_branch_that_is_gone_is_said(execution: Execution, workspace: Repository, reader: ApiClient) -> None:
    git(workspace, "branch", "-D", execution.branch)
    for what in ("branch", "patch"):
        problem(reader.get(f"/api/swarm/{what}/{execution.pk}"), 409, "no_such_branch")
