"""The user's git repository, as far as Swarm may use it: it reads all, and writes objects and `swarm/` branches only.

Everything goes through libgit2 (pygit2), which runs no hook and no command and needs no git program. HEAD, index,
stash, configuration and working tree are never written. Knows nothing of nodes, stories or the database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pygit2
from pygit2.enums import FileMode, FileStatus

from swarm.workspace.errors import BranchExists, NoCommits, NoSuchBranch, NoSuchCommit, NoSuchObject, NotARepository
from swarm.workspace.trouble import disk_trouble

BRANCH_PREFIX = "swarm/"
MAX_UNCOMMITTED = 100
"""How many uncommitted paths are listed at most."""


class Entry(NamedTuple):
    """What a commit holds under a path."""

    mode: int
    id: pygit2.Oid

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, so neither a folder, a symbolic link nor a submodule."""
        return self.mode in (FileMode.BLOB, FileMode.BLOB_EXECUTABLE)


class Repository:
    """One git repository, usable from any thread.

    A libgit2 handle must not be shared by threads, so each thread that comes here gets one of its own (opening takes
    0.1 ms) and keeps it until the thread ends.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._handles = threading.local()

    @classmethod
    def open(cls, path: Path) -> Repository:
        """Open the repository whose working tree is `path`, a linked worktree included.

        Raises `NotARepository` or `NoCommits`.
        """
        root = path.resolve()
        if not root.is_dir():
            raise NotARepository(f"{path} is not a folder: set SWARM_WORKSPACE to the folder of a git repository.")
        found = pygit2.discover_repository(str(root))
        if found is None:
            raise NotARepository(f"{path} is not a git repository: run `git init` there and make a first commit.")
        try:
            git = pygit2.Repository(found)
        except pygit2.GitError as error:
            raise NotARepository(f"The git repository at {path} cannot be read ({error}).") from error
        if git.workdir is None:
            raise NotARepository(f"{path} is a bare repository: clone it, and set SWARM_WORKSPACE to the clone.")
        top = Path(git.workdir).resolve()
        if top != root:
            raise NotARepository(f"{path} lies inside the git repository {top}: set SWARM_WORKSPACE to {top}.")
        if git.head_is_unborn:
            raise NoCommits(f"{path} has no commits: make a first one, for example with `git commit --allow-empty`.")
        return cls(root)

    @property
    def handle(self) -> pygit2.Repository:
        """The calling thread's own libgit2 handle; for this package only."""
        git: pygit2.Repository | None = getattr(self._handles, "git", None)
        if git is None:
            git = pygit2.Repository(str(self.root))
            git.set_ident("swarm", "swarm@swarm.invalid")  # who the reflog says it was
            self._handles.git = git
        return git

    def head_commit(self) -> str:
        """The commit that the user has checked out."""
        return str(self.handle.head.target)

    def head_branch(self) -> str | None:
        """The branch that the user has checked out; None while HEAD is detached."""
        return None if self.handle.head_is_detached else str(self.handle.head.shorthand)

    def uncommitted_paths(self) -> list[str]:
        """Paths that differ from HEAD, staged or not, and untracked ones (a new folder counts once), at most 100."""
        status = self.handle.status(untracked_files="normal")
        paths = (path.encode(errors="replace").decode() for path, flags in status.items() if flags not in _CLEAN)
        return sorted(paths)[:MAX_UNCOMMITTED]

    def create_branch(self, name: str, commit: str) -> None:
        """Make the branch `name`, which starts with `swarm/`, at `commit`; nothing to do if it is there already.

        Raises `BranchExists` if it points elsewhere, or if a branch called `swarm` is in the way.
        """
        self._commit(commit)
        try:
            self.handle.create_reference_direct(branch_ref(name), commit, False, "swarm: execution starts")
        except pygit2.AlreadyExistsError as error:
            if self.branch_head(name) != commit:
                raise BranchExists(f"The branch {name} is there already: delete or rename it.") from error
        except (pygit2.GitError, OSError) as error:
            if trouble := disk_trouble(error):
                raise trouble from error
            raise BranchExists(
                f"The branch {name} cannot be made ({error}): rename a branch called 'swarm' if there is one."
            ) from error

    def branch_head(self, name: str) -> str:
        """The newest commit of the branch `name`. Raises `NoSuchBranch`."""
        try:
            return str(self.handle.lookup_reference(branch_ref(name)).target)
        except KeyError as error:
            raise NoSuchBranch(f"The branch {name} is gone: start the stories in a new execution.") from error

    def entry(self, commit: str, path: str) -> Entry | None:
        """What `commit` holds under `path`; None if nothing."""
        found = self._find(commit, path)
        return None if found is None else Entry(found.filemode, found.id)

    def entries(self, commit: str, folder: str = "") -> Iterator[tuple[str, Entry]]:
        """Everything below `folder`, folders excepted, as (path, entry), in git's order."""
        tree = self._folder(commit, folder)
        if tree is not None:
            yield from _walk(tree, f"{folder}/" if folder else "")

    def names(self, commit: str, folder: str) -> dict[str, bool]:
        """The names right in `folder` ("" is the top), and whether each is a folder; {} if there is no such folder."""
        tree = self._folder(commit, folder)
        return {str(item.name): isinstance(item, pygit2.Tree) for item in tree} if tree is not None else {}

    def read_blob(self, entry: Entry) -> bytes:
        """The bytes of a file or symbolic link."""
        return bytes(self.handle[entry.id].read_raw())

    def write_blob(self, content: bytes) -> str:
        """Put content into the object store, where it stays while git prunes nothing younger; its id."""
        return str(self.handle.create_blob(content))

    def read_object(self, name: str) -> bytes:
        """The bytes that `write_blob` gave this id. Raises `NoSuchObject`."""
        try:
            return bytes(self.handle[name].read_raw())
        except (KeyError, ValueError) as error:
            raise NoSuchObject(f"The object {name} is gone from {self.root}, perhaps by `git gc`.") from error

    def blob_size(self, entry: Entry) -> int:
        """The size of a file in bytes, found without reading it."""
        _, size_bytes = self.handle.odb.read_header(entry.id)
        return size_bytes

    def read_file(self, commit: str, path: str) -> bytes | None:
        """The bytes of a regular file in `commit`; None if there is no such file."""
        entry = self.entry(commit, path)
        return self.read_blob(entry) if entry is not None and entry.is_file else None

    def read_files(self, commit: str, folder: str) -> dict[str, bytes]:
        """All regular files below `folder`, by path relative to the repository."""
        return {path: self.read_blob(entry) for path, entry in self.entries(commit, folder) if entry.is_file}

    def diff(self, commit_a: str, commit_b: str) -> str:
        """The change from `commit_a` to `commit_b` as a unified diff; empty if there is none."""
        patches = (patch.data for patch in self._diff(commit_a, commit_b) if patch is not None)
        return b"".join(patches).decode(errors="replace")

    def parent(self, commit: str) -> str:
        """The first parent of a commit. Raises `NoSuchCommit` if either is not there."""
        parents = self._commit(commit).parent_ids
        if not parents:
            raise NoSuchCommit(f"The commit {commit} has no parent in {self.root}.")
        return str(parents[0])

    def changed_paths(self, commit_a: str, commit_b: str) -> set[str]:
        """The paths whose content or mode differs between two commits; of a rename, both."""
        deltas = self._diff(commit_a, commit_b).deltas
        return {file.path for delta in deltas for file in (delta.old_file, delta.new_file)}

    def _folder(self, commit: str, folder: str) -> pygit2.Tree | None:
        found = self._find(commit, folder) if folder else self._commit(commit).tree
        return found if isinstance(found, pygit2.Tree) else None

    def _find(self, commit: str, path: str) -> pygit2.Object | None:
        try:
            return self._commit(commit).tree[path]
        except KeyError:
            return None

    def _diff(self, commit_a: str, commit_b: str) -> pygit2.Diff:
        return self._commit(commit_a).tree.diff_to_tree(self._commit(commit_b).tree)

    def _commit(self, commit: str) -> pygit2.Commit:
        try:
            return self.handle[commit].peel(pygit2.Commit)
        except KeyError as error:
            raise NoSuchCommit(f"The commit {commit} is gone from {self.root}: start a new execution.") from error


_CLEAN = (FileStatus.CURRENT, FileStatus.IGNORED)


def branch_ref(name: str) -> str:
    """The full ref name of one of Swarm's own branches; for this package only."""
    if not name.startswith(BRANCH_PREFIX):
        raise ValueError(f"{name!r} is not a branch of Swarm's")
    return f"refs/heads/{name}"


def _walk(tree: pygit2.Tree, prefix: str) -> Iterator[tuple[str, Entry]]:
    for item in tree:
        path = f"{prefix}{item.name}"
        if isinstance(item, pygit2.Tree):
            yield from _walk(item, f"{path}/")
        else:
            yield path, Entry(item.filemode, item.id)
