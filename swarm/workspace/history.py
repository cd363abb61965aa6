"""Reads back what stands on an execution's branch. Knows nothing of stories and nodes, only what trailers say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pygit2
from pygit2.enums import SortMode

from swarm.workspace.errors import NoSuchCommit
from swarm.workspace.repository import Repository

REVERTS = "Reverts-Node"
"""The trailer of a commit that takes back all commits of a node below it."""


@dataclass(frozen=True)
class BranchCommit:
    """A commit with its first line, the text below that, and the trailers in its last paragraph.

    What trailers say is empty where the commit is none of Swarm's.
    """

    id: str
    parent: str
    author: str
    subject: str
    body: str
    trailers: Mapping[str, str]

    @property
    def story(self) -> str:
        return self.trailers.get("Story", "")

    @property
    def node(self) -> str:
        return self.trailers.get("Node", "")

    @property
    def reverts(self) -> str:
        return self.trailers.get(REVERTS, "")

    @property
    def label(self) -> str:
        """How a person is told of it."""
        return f"story {self.story}" if self.story else f"commit {self.id[:8]}"


def branch_log(repository: Repository, *, base: str, head: str) -> list[BranchCommit]:
    """The commits behind `base` that lead to `head`, newest first. Raises `NoSuchCommit`."""
    try:
        walker = repository.handle.walk(head, SortMode.TOPOLOGICAL)
        walker.hide(base)
        return [_branch_commit(commit) for commit in walker if commit.parent_ids]
    except (KeyError, pygit2.GitError) as error:
        raise NoSuchCommit(f"Commits between {base} and {head} are gone from {repository.root}.") from error


def standing(log: Iterable[BranchCommit]) -> list[BranchCommit]:
    """Those commits of a log, newest first, that nothing took back, without those that took others back."""
    found: list[BranchCommit] = []
    reverted: set[str] = set()
    for commit in log:
        if commit.reverts:
            reverted.add(commit.reverts)
        elif commit.node not in reverted:
            found.append(commit)
    return found


def read_message(message: str) -> tuple[str, dict[str, str]]:
    """Take a message apart as `with_trailers` puts it together: the text below its first line, and the trailers."""
    _, *body, trailers = ["", *message.strip().split("\n\n")]
    pairs = (line.partition(": ") for line in trailers.splitlines())
    return "\n\n".join(body[1:]), {key: value for key, _, value in pairs}


def _branch_commit(commit: pygit2.Commit) -> BranchCommit:
    body, trailers = read_message(commit.message)
    return BranchCommit(
        id=str(commit.id),
        parent=str(commit.parent_ids[0]),
        author=commit.author.name,
        subject=commit.message.partition("\n")[0],
        body=body,
        trailers=trailers,
    )
