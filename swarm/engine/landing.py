"""Tells whether a node's story stands on the branch although its row does not say so.

The branch moves inside the transaction that records it, so a process that dies, or a database that fails, between the
two leaves a commit that no row tells of. Its trailers name the node and the attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarm.errors import SwarmError
from swarm.models import Execution, Node
from swarm.workspace.history import BranchCommit, branch_log
from swarm.workspace.repository import Repository


@dataclass(frozen=True)
class Landing:
    """A node's commit on the branch, as its row should tell of it, and the branch's head."""

    commit: str
    files: list[str]
    summary: str
    head: str


def find_landing(execution: Execution, node: Node) -> Landing | None:
    """The commit that the node has put on the branch; None if there is none.

    Ask while the execution's row is locked, under which alone branches move. A workspace that cannot be read holds no
    commit that anybody could use, so it counts as none.
    """
    if not node.attempt:
        return None
    try:
        repository = Repository.open(Path(execution.workspace))
        head = repository.branch_head(execution.branch)
        commits = branch_log(repository, base=execution.base_commit, head=head)
        found = next((commit for commit in commits if _is_of(commit, node)), None)
        return None if found is None else _landing(repository, execution, found, head)
    except SwarmError:
        return None


def _is_of(commit: BranchCommit, node: Node) -> bool:
    attempt = commit.trailers.get("Attempt", "")
    is_own = commit.node == str(node.pk)
    return is_own and attempt.isdecimal() and int(attempt) > node.superseded_attempt


def _landing(repository: Repository, execution: Execution, commit: BranchCommit, head: str) -> Landing:
    changed = repository.changed_paths(commit.parent, commit.id)
    by_server = (f"{execution.stories_folder}/", execution.board_path or "/")
    return Landing(
        commit=commit.id,
        files=sorted(path for path in changed if not path.startswith(by_server)),
        summary=commit.body,
        head=head,
    )
