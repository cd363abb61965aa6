"""Hands an execution's branch over to the team: what is on it, patches of it, and its merge into a branch of theirs.

`merge` is the one thing with which Swarm changes a branch that is not its own, and only because a person asks for it.
"""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Literal

import structlog
from django.contrib.auth.models import User
from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from swarm.engine.review import name_of, person
from swarm.events.record import recording
from swarm.models import Execution, Node
from swarm.workspace.branches import MergeKind, merge_targets
from swarm.workspace.branches import merge as merge_branch
from swarm.workspace.errors import NoSuchCommit
from swarm.workspace.history import BranchCommit, branch_log, standing
from swarm.workspace.integration import with_trailers
from swarm.workspace.patches import mailbox
from swarm.workspace.repository import Repository

log = structlog.get_logger(__name__)


class CommitReport(TypedDict):
    """A commit of an execution's branch; `command` takes it over into the branch that is checked out."""

    id: str
    subject: str
    author: str
    story: str | None
    node: str | None
    state: Literal["stands", "reverted", "reverts"]
    command: str


class Target(TypedDict):
    """A branch of the user's; what a working tree shows cannot be merged into."""

    name: str
    is_checked_out: bool


class Commands(TypedDict):
    """What to type in a shell: in the workspace with a branch of one's own checked out, or in another clone."""

    merge: str
    fetch: str
    apply: str


class BranchReport(TypedDict):
    """An execution's branch, as it is in the repository now; commits newest first."""

    branch: str
    base_commit: str
    head_commit: str
    commits: list[CommitReport]
    targets: list[Target]
    commands: Commands


class MergeReport(TypedDict):
    """What a merge did to the branch `into`."""

    into: str
    how: str
    before: str
    after: str


def branch_report(execution: Execution) -> BranchReport:
    """Describe the execution's branch. Raises the errors of the workspace."""
    repository, head, commits = _open(execution)
    stands = {commit.id for commit in standing(commits)}
    nodes = {str(node_id) for node_id in execution.nodes.values_list("pk", flat=True)}
    return BranchReport(
        branch=execution.branch,
        base_commit=execution.base_commit,
        head_commit=head,
        commits=[_commit_report(commit, commit.id in stands, nodes) for commit in commits],
        targets=[Target(name=name, is_checked_out=shown) for name, shown in merge_targets(repository).items()],
        commands=Commands(
            merge=f"git merge {execution.branch}",
            fetch=f"git fetch {shlex.quote(execution.workspace)} {execution.branch}",
            apply=f"git am --keep-cr {file_name(execution)}",
        ),
    )


def execution_patches(execution: Execution) -> bytes:
    """All commits of the branch as patches for `git am`. Raises `NoSuchCommit` if there are none."""
    repository, _, commits = _open(execution)
    return _patches(repository, commits, f"{execution.branch} holds no commit so far.")


def node_patches(node: Node) -> bytes:
    """What stands of one story on the branch, as patches for `git am`. Raises `NoSuchCommit` if nothing does."""
    repository, _, commits = _open(node.execution)
    own = [commit for commit in standing(commits) if commit.node == str(node.pk)]
    return _patches(repository, own, f"Nothing of story {node.story_id} is on {node.execution.branch}.")


def file_name(execution: Execution, node: Node | None = None) -> str:
    """What a file with patches is called."""
    story = re.sub("[^A-Za-z0-9.]+", "-", f"-{node.story_id}") if node else ""
    return f"swarm-{execution.short_id}{story}.mbox"


def merge(execution_id: uuid.UUID, *, into: str, user: User | None) -> MergeReport:
    """Merge the branch, as it is now, into a branch of the user's; again is no error.

    Raises `Execution.DoesNotExist` and what `swarm.workspace.branches.merge` raises; nothing has changed then.
    """
    execution = Execution.objects.get(pk=execution_id)
    repository = Repository.open(Path(execution.workspace))
    stories = [node.story_id for node in execution.nodes.done()]
    message = with_trailers(
        f"Merge branch '{execution.branch}' into {into}\n\nStories: {', '.join(stories)}",
        {"Execution": str(execution.pk), "Merged-by": name_of(user)},
    )
    done = merge_branch(repository, execution.branch, into=into, person=person(user), message=message)
    report = MergeReport(into=into, how=done.kind, before=done.before, after=done.after)
    if done.kind != MergeKind.ALREADY_MERGED:
        log.info("execution.merged", execution=str(execution.pk), into=into, kind=done.kind, by=name_of(user))
        with recording(execution.pk) as record:
            record("swarm:merged", **report, by=name_of(user))
    return report


def _open(execution: Execution) -> tuple[Repository, str, list[BranchCommit]]:
    """The repository, the branch's head and its commits, newest first."""
    repository = Repository.open(Path(execution.workspace))
    head = repository.branch_head(execution.branch)
    return repository, head, branch_log(repository, base=execution.base_commit, head=head)


def _commit_report(commit: BranchCommit, stands: bool, nodes: Container[str]) -> CommitReport:
    """Describe a commit; a person's may carry trailers too, so that a node is named only if it is one of `nodes`."""
    return CommitReport(
        id=commit.id,
        subject=commit.subject,
        author=commit.author,
        story=commit.story or None,
        node=commit.node if commit.node in nodes else None,
        state="stands" if stands else "reverts" if commit.reverts else "reverted",
        command=f"git cherry-pick {commit.id}",
    )


def _patches(repository: Repository, commits: Sequence[BranchCommit], nothing: str) -> bytes:
    if not commits:
        raise NoSuchCommit(nothing)
    return mailbox(repository, [commit.id for commit in reversed(commits)])
