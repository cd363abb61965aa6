"""Puts a story's changes onto an execution's branch: one commit, then one compare-and-swap of the branch.

Writes objects and refs under `refs/heads/swarm/`, nothing else, but for `move_ref` when a person merges. Knows nothing
of claims or checks; that the changes still apply to `parent` is the caller's to know (`Snapshot.advance` refuses where
they do not).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import pygit2

from swarm.workspace.clash import refuse_clash
from swarm.workspace.errors import BranchLocked, NoSuchBranch
from swarm.workspace.leftovers import remove_leftover_lock
from swarm.workspace.modes import file_modes
from swarm.workspace.repository import Repository, branch_ref
from swarm.workspace.trouble import disk_trouble

LOCK_WAIT_S = 5.0
"""How long another process may hold the branch's lock; git itself holds it for about a millisecond."""


def build_commit(
    repository: Repository,
    *,
    parent: str,
    changes: Mapping[str, bytes | None],
    author: str,
    message: str,
    trailers: Mapping[str, str],
) -> str:
    """Write a commit on top of `parent` and return its id; no branch moves.

    `changes` maps paths to new content, None deletes; for modes see `file_modes`. Raises `PathClash`
    where a new path cannot stand beside what `parent` holds.
    """
    git = repository.handle
    index = pygit2.Index()  # in memory: the user's index is not involved
    index.read_tree(git[parent].peel(pygit2.Tree))
    modes = file_modes(repository, parent, changes)
    for path, content in sorted(changes.items(), key=lambda change: change[1] is not None):  # deletions make room
        entry = repository.entry(parent, path)
        if content is None:
            if entry is not None:
                index.remove(path)
            continue
        if entry is None or not entry.is_file:
            refuse_clash(repository, parent, changes, path)
        index.add(pygit2.IndexEntry(path, git.create_blob(content), modes[path]))
    signature = pygit2.Signature(author, f"{author}@swarm.invalid")
    text = with_trailers(message, trailers)
    return str(git.create_commit(None, signature, signature, text, index.write_tree(git), [parent]))


def with_trailers(message: str, trailers: Mapping[str, str]) -> str:
    """Join message and trailers as git-interpret-trailers does: the last paragraph, one line each."""
    lines = [f"{key}: {' '.join(value.split())}" for key, value in trailers.items()]
    text = f"{message.strip()}\n\n" + "".join(f"{line}\n" for line in lines)
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def advance_branch(
    repository: Repository, branch: str, *, expected: str, commit: str, reason: str = "story integrated"
) -> bool:
    """Move one of Swarm's own branches from `expected` to `commit`; False if it is not at `expected` (any more).

    `reason` is for the reflog. Raises `NoSuchBranch` and `BranchLocked`.
    """
    return move_ref(repository, branch_ref(branch), expected=expected, commit=commit, reason=reason)


def move_ref(repository: Repository, ref: str, *, expected: str, commit: str, reason: str) -> bool:
    """Move a branch, named in full, from `expected` to `commit`; False if it is not at `expected` (any more).

    Atomic against threads and against every other git process: `lock_ref` creates `<ref>.lock` exclusively, which is
    how git itself locks a ref, the value is read and compared while that file exists, and committing the transaction
    renames it over the ref. (`Reference.set_target` compares under the lock too, but its error cannot be told from
    others.) A lock that a killed process left is removed. Raises `NoSuchBranch`, and `BranchLocked` if another process
    holds the lock for five seconds.
    """
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while True:
        _target(repository, ref)  # first, because the lock of a missing ref can be taken
        with repository.handle.transaction() as transaction:
            try:
                transaction.lock_ref(ref)
            except pygit2.GitError as error:
                if trouble := disk_trouble(error):
                    raise trouble from error
                if not remove_leftover_lock(repository, ref) and time.monotonic() > deadline_s:
                    raise BranchLocked(
                        f"{ref} is locked by another git process ({error}); a lock file that is still there after "
                        "a minute is taken for left over and removed."
                    ) from error
            else:
                if _target(repository, ref) != expected:
                    return False
                transaction.set_target(ref, commit, message=f"swarm: {reason}")
                return True
        time.sleep(0.002)


def _target(repository: Repository, ref: str) -> str:
    try:
        return str(repository.handle.lookup_reference(ref).target)
    except KeyError as error:
        raise NoSuchBranch(f"{ref} is gone: make the branch again, or start the stories in a new execution.") from error
