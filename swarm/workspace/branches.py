"""What a person does with an execution's branch: takes a story back, merges it into another branch.

Everything happens in git's object store and ends in one compare-and-swap of one ref: no hook runs, no index or working
tree is touched. `merge` is the only thing in Swarm that moves a branch of the user's. Knows nothing of the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ReferenceType

from swarm.workspace.errors import (
    BranchCheckedOut,
    BuiltUpon,
    MergeConflict,
    NoSuchBranch,
    NoSuchCommit,
    NotMergeable,
)
from swarm.workspace.history import BranchCommit, standing
from swarm.workspace.integration import move_ref, with_trailers
from swarm.workspace.paths import lock_key
from swarm.workspace.repository import BRANCH_PREFIX, Repository


@dataclass(frozen=True)
class Person:
    """Who a commit is by."""

    name: str
    email: str


class MergeKind(StrEnum):
    """How a branch came to hold another."""

    FAST_FORWARD = "fast_forward"
    MERGE_COMMIT = "merge_commit"
    ALREADY_MERGED = "already_merged"


@dataclass(frozen=True)
class Merge:
    """What a merge did: the head of the branch before and after."""

    kind: MergeKind
    before: str
    after: str


# Taking a story back


def story_paths(
    repository: Repository, log: Iterable[BranchCommit], node: str, *, apart_from: Collection[str]
) -> tuple[str, set[str]]:
    """The commit below all commits of a node, and the paths that these changed, `apart_from` excepted.

    Raises `NoSuchCommit` if none of them stands on the branch, and `BuiltUpon` if others have changed the paths since.
    """
    commits = standing(log)
    own = [commit for commit in commits if commit.node == node]
    if not own:
        raise NoSuchCommit("No commit of this story is on the branch any more, so there is nothing to revert.")
    touched = {commit.id: repository.changed_paths(commit.parent, commit.id) for commit in commits}
    paths = set[str]().union(*(touched[commit.id] for commit in own)) - set(apart_from)
    later = [it for it in commits[: commits.index(own[-1])] if it.node != node and touched[it.id] & paths]
    if later:
        what = "; ".join(f"{it.label} changed {', '.join(sorted(touched[it.id] & paths))}" for it in later)
        raise BuiltUpon(f"Later work builds on it: {what}. Revert that first, the newest before the others.")
    return own[-1].parent, paths


def build_restoration(
    repository: Repository,
    *,
    head: str,
    source: str,
    paths: Iterable[str],
    files: Mapping[str, bytes],
    person: Person,
    message: str,
    trailers: Mapping[str, str],
) -> str:
    """Write a commit on top of `head` in which `paths` are again what they are in the commit `source`; return its id.

    `files` get new content besides. No branch moves. Raises `BuiltUpon` if a file cannot stand beside what is there.
    """
    git = repository.handle
    index = pygit2.Index()  # in memory: the user's index is not involved
    index.read_tree(git[head].peel(pygit2.Tree))
    present = {entry.path for entry in index}
    taken_back = set(paths)
    for path in taken_back & present:  # all of them first: they make room
        index.remove(path)
    for path in sorted(taken_back):
        entry = repository.entry(source, path)
        if entry is not None:
            _refuse_crowding(path, present - taken_back)
            index.add(pygit2.IndexEntry(path, entry.id, FileMode(entry.mode)))
    for path, content in files.items():
        index.add(pygit2.IndexEntry(path, git.create_blob(content), index[path].mode))
    return _commit(repository, index.write_tree(git), [head], person, with_trailers(message, trailers))


def _refuse_crowding(path: str, present: Iterable[str]) -> None:
    key = lock_key(path)
    for other in map(lock_key, present):
        if other == key or other.startswith(f"{key}/") or key.startswith(f"{other}/"):
            raise BuiltUpon(f"{path} cannot come back, because a later commit made {other}. Revert that first.")


# Merging


def merge_targets(repository: Repository) -> dict[str, bool]:
    """The user's branches by name, and whether a working tree shows each, so that it cannot be merged into."""
    shown = set(_checked_out(repository))
    names = (name for name in repository.handle.branches.local if not name.startswith(BRANCH_PREFIX))
    return {name: name in shown for name in sorted(names)}


def merge(repository: Repository, branch: str, *, into: str, person: Person, message: str) -> Merge:
    """Bring one of Swarm's branches into the user's branch `into`, by fast-forward or by a merge commit.

    Raises `NoSuchBranch`, `NotMergeable`, `BranchCheckedOut`, `MergeConflict` and `BranchLocked`; nothing has changed
    then.
    """
    head = repository.branch_head(branch)
    while True:
        before = _users_head(repository, into)
        if into in _checked_out(repository):
            raise BranchCheckedOut(
                f"{into} is checked out in a working tree, which Swarm never touches: run `git merge {branch}` there."
            )
        kind, after = _merged(repository, before, head, person=person, into=into, message=message)
        reason = f"merge {branch} for {person.name}"
        if before == after or move_ref(repository, f"refs/heads/{into}", expected=before, commit=after, reason=reason):
            return Merge(kind, before, after)


def _users_head(repository: Repository, name: str) -> str:
    if name.startswith(BRANCH_PREFIX):
        raise NotMergeable(f"{name} belongs to an execution; name a branch of yours.")
    try:
        reference = repository.handle.branches.local[name]
    except (KeyError, ValueError):
        raise NoSuchBranch(f"There is no branch {name}; make it first, for example with `git branch`.") from None
    if reference.type != ReferenceType.DIRECT:
        raise NoSuchBranch(f"{name} only stands for another branch; name that one.")
    return str(reference.target)


def _merged(
    repository: Repository, before: str, head: str, *, person: Person, into: str, message: str
) -> tuple[MergeKind, str]:
    git = repository.handle
    base = git.merge_base(before, head)
    if base is None:
        raise NotMergeable(f"{into} and the execution have no commit in common.")
    if str(base) == head:
        return MergeKind.ALREADY_MERGED, before
    if str(base) == before:
        return MergeKind.FAST_FORWARD, head
    index = git.merge_commits(before, head)
    if index.conflicts is not None:
        entries = (entry for conflict in index.conflicts for entry in conflict if entry is not None)
        files = ", ".join(sorted({entry.path for entry in entries}))
        raise MergeConflict(
            f"{into} has changed the same lines meanwhile, in {files}: check {into} out and merge there by hand."
        )
    return MergeKind.MERGE_COMMIT, _commit(repository, index.write_tree(git), [before, head], person, message)


def _commit(repository: Repository, tree: pygit2.Oid, parents: list[str], person: Person, message: str) -> str:
    author = pygit2.Signature(person.name, person.email)
    committer = pygit2.Signature("swarm", "swarm@swarm.invalid")
    return str(repository.handle.create_commit(None, author, committer, message, tree, list(parents)))


def _checked_out(repository: Repository) -> Iterator[str]:
    """The branches that a working tree shows or comes back to after a rebase, the main one's and those of worktrees.

    Read from git's files, as git does: libgit2 leaves out worktrees whose folder is out of reach now.
    """
    own = Path(repository.handle.path)
    pointer = own / "commondir"
    common = own / pointer.read_text().strip() if pointer.is_file() else own
    for directory in (common, *(common / "worktrees").glob("*")):
        for name in ("HEAD", "rebase-merge/head-name", "rebase-apply/head-name"):
            place = directory / name
            if place.is_file():
                yield place.read_text(errors="replace").strip().removeprefix("ref: ").removeprefix("refs/heads/")
