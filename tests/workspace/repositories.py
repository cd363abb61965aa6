"""Real git repositories for the tests, made with libgit2 in temporary folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pygit2

from swarm.workspace.integration import build_commit
from swarm.workspace.repository import Repository

USER = pygit2.Signature("User", "user@example.invalid")


def make_repository(root: Path, files: Mapping[str, bytes]) -> Repository:
    """Make a repository whose only commit, on `main`, holds `files`; they lie in its working tree too."""
    git = pygit2.init_repository(str(root), initial_head="main")
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    commit_all(git, "Start")
    return Repository.open(root)


def commit_all(git: pygit2.Repository, message: str) -> None:
    """Do what the user does with `git add --all` and `git commit`."""
    git.index.add_all()
    git.index.write()
    parents = [] if git.head_is_unborn else [git.head.target]
    git.create_commit("HEAD", USER, USER, message, git.index.write_tree(), parents)


def commit_on(repository: Repository, parent: str, changes: Mapping[str, bytes | None]) -> str:
    """Commit what another node did on top of `parent`."""
    return build_commit(
        repository, parent=parent, changes=changes, author="developer-9", message="Other story", trailers={}
    )


def history(repository: Repository, commit: str) -> list[pygit2.Commit]:
    """The commits that lead to `commit`, newest first; fails where one has two parents."""
    found = [repository.handle[commit].peel(pygit2.Commit)]
    while found[-1].parents:
        (parent,) = found[-1].parents
        found.append(parent)
    return found
