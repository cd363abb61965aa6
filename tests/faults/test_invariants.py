"""The judge of a broken world notices each kind of damage, and finds nothing wrong with a healthy one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest

from swarm.models import Call, Event, Execution, FileLock, Node
from tests.faults.invariants import find_problems
from tests.main_job import MainJob
from tests.workspace.repositories import USER, commit_all


@pytest.fixture
def workspace(main_job: MainJob) -> Path:
    """The workspace of an execution of one story that has ended."""
    main_job.run("2.3")
    return main_job.workspace


def test_an_undisturbed_execution_has_no_problems(workspace: Path) -> None:
    assert list(find_problems(Execution.objects.get())) == []


def fail_without_a_name(workspace: Path) -> None:
    Node.objects.update(status=Node.Status.FAILED, error_code="internal_error")


def end_the_execution_otherwise(workspace: Path) -> None:
    Execution.objects.update(status=Execution.Status.PARTIAL)


def commit_the_story_again(workspace: Path) -> None:
    git = pygit2.Repository(str(workspace))
    branch = git.branches[Execution.objects.get().branch]
    commit = branch.peel(pygit2.Commit)
    git.create_commit(branch.name, USER, USER, commit.message, commit.tree_id, [commit.id])


def lose_the_commit(workspace: Path) -> None:
    execution = Execution.objects.get()
    pygit2.Repository(str(workspace)).branches[execution.branch].set_target(execution.base_commit)


def undo_the_story(workspace: Path) -> None:
    git = pygit2.Repository(str(workspace))
    branch, base = git.branches[Execution.objects.get().branch], git[Execution.objects.get().base_commit]
    commit = git.create_commit(branch.name, USER, USER, "Undo", base.peel(pygit2.Tree).id, [branch.target])
    Execution.objects.update(head_commit=str(commit))


def leave_a_claim(workspace: Path) -> None:
    FileLock.objects.update(node=Node.objects.get())


def leave_a_call(workspace: Path) -> None:
    Call.objects.update(outcome=Call.IN_FLIGHT)


def leave_a_lock_file(workspace: Path) -> None:
    (workspace / ".git" / "index.lock").touch()


def lose_the_proof(workspace: Path) -> None:
    Node.objects.get().check_runs.all().delete()


def lose_an_event(workspace: Path) -> None:
    Event.objects.filter(seq=3).delete()


def lose_the_last_event(workspace: Path) -> None:
    Event.objects.filter(type="swarm:completed").delete()


def change_a_row_alone(workspace: Path) -> None:
    Node.objects.update(attempt=7)


def touch_the_checkout(workspace: Path) -> None:
    (workspace / "README.md").write_text("scratch\n")


def commit_for_the_user(workspace: Path) -> None:
    commit_all(pygit2.Repository(str(workspace)), "Somebody else's")


@pytest.mark.parametrize(
    ("damage", "finder"),
    [
        (fail_without_a_name, "wrong_ends"),
        (end_the_execution_otherwise, "wrong_ends"),
        (commit_the_story_again, "stories_not_once"),
        (commit_the_story_again, "wrong_history"),
        (lose_the_commit, "stories_not_once"),
        (undo_the_story, "failing_stories"),
        (leave_a_claim, "things_left"),
        (leave_a_call, "things_left"),
        (leave_a_lock_file, "things_left"),
        (lose_the_proof, "things_left"),
        (lose_an_event, "wrong_numbers"),
        (lose_the_last_event, "wrong_tales"),
        (change_a_row_alone, "wrong_tales"),
        (touch_the_checkout, "touched_checkout"),
        (commit_for_the_user, "touched_checkout"),
    ],
)
def test_damage_is_found(workspace: Path, damage: Callable[[Path], None], finder: str) -> None:
    damage(workspace)

    assert finder in {problem.split(":")[0] for problem in find_problems(Execution.objects.get())}
