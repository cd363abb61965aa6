"""Reads back what `integration` put on an execution's branch. Knows nothing of nodes: trailers are names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pygit2

from swarm.workspace.errors import NoSuchCommit
from swarm.workspace.repository import Repository


@dataclass(frozen=True)
class IntegratedCommit:
    """A commit with the text below its first line, and the trailers that stand in its last paragraph."""

    id: str
    body: str
    trailers: Mapping[str, str]


def integrated_commits(repository: Repository, branch: str, *, base: str) -> Iterator[IntegratedCommit]:
    """The commits of a branch that its base does not hold, newest first. Raises `NoSuchBranch` and `NoSuchCommit`."""
    try:
        walker = repository.handle.walk(repository.branch_head(branch))
        walker.hide(base)
    except (KeyError, pygit2.GitError) as error:
        raise NoSuchCommit(f"The commit {base}, where {branch} began, is gone from {repository.root}.") from error
    for commit in walker:
        yield _read(str(commit.id), commit.message)


def _read(commit: str, message: str) -> IntegratedCommit:
    """Take a message apart as `build_commit` puts it together."""
    _, *body, trailers = ["", *message.strip().split("\n\n")]
    pairs = (line.partition(": ") for line in trailers.splitlines())
    return IntegratedCommit(commit, "\n\n".join(body[1:]), {key: value for key, _, value in pairs})
