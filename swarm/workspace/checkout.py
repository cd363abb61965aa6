"""Makes a commit, with a node's changes, into plain files on disk for as long as checks need them.

Files are written from git's objects byte for byte: no `.git` inside, no index, no filter, no hook, so any number of
threads can do it at once and none can reach the user's repository through it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pygit2
from pygit2.enums import FileMode

from swarm.workspace.beneath import Folder
from swarm.workspace.errors import PathOutsideWorkspace, UnsafeFolder
from swarm.workspace.modes import file_modes
from swarm.workspace.mutex import try_lock
from swarm.workspace.removal import remove_folder
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import MAX_WRITE_BYTES
from swarm.workspace.strays import kill_strays


@contextmanager
def checked_out(
    repository: Repository, *, commit: str, changes: Mapping[str, bytes | None], root: Path
) -> Iterator[Path]:
    """Give a folder below `root` that holds `commit` with `changes`; it is removed at the end of the block.

    Symbolic links are made as they are, a submodule is an empty folder, a Git LFS file its pointer. Raises
    `UnsafeFolder` if others can reach `root`, `PathOutsideWorkspace` for a commit that git would not check out either.
    """
    make_private(root)
    with _own_folder(root) as folder:
        tree = folder / "workspace"
        tree.mkdir()
        with Folder(tree) as place:
            _write_tree(repository, commit, changes, place)
        yield tree


def rewritten_files(
    repository: Repository, *, commit: str, changes: Mapping[str, bytes | None], directory: Path
) -> dict[str, bytes | None]:
    """What differs in the checkout of `commit` with `changes` after something ran there: new content by path.

    None stands for a file that is gone, is no plain file any more or has become too large for a node. Not looked at are
    files that the checkout did not hold at first, those that were too large before, and permissions.
    """
    expected = {
        path: entry.id
        for path, entry in repository.entries(commit)
        if entry.is_file and path not in changes and repository.blob_size(entry) <= MAX_WRITE_BYTES
    }
    expected |= {path: pygit2.hash(content) for path, content in changes.items() if content is not None}
    try:
        place = Folder(directory)
    except OSError:
        return dict.fromkeys(expected)  # the folder itself is gone, or a link now
    with place:
        found = ((path, place.read(path, max_bytes=MAX_WRITE_BYTES)) for path in expected)
        return {path: content for path, content in found if content is None or pygit2.hash(content) != expected[path]}


def make_private(root: Path) -> None:
    """Make the folder `root` for this user alone. Raises `UnsafeFolder` if it is there and others can reach it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(root):
        raise UnsafeFolder(
            f"{root} is not a folder of this user alone, so no checkout can be made there: remove it, or set TMPDIR."
        )


def remove_leftovers(root: Path) -> int:
    """Remove the checkouts of processes that have died; return how many. Those in use are left alone.

    So is all of a folder that others can reach.
    """
    if not _is_private(root):
        return 0
    removed = 0
    for lock_path in root.glob("*.lock"):
        with suppress(FileNotFoundError), lock_path.open("rb") as lock:
            if try_lock(lock.fileno()):
                _remove(lock_path)
                removed += 1
    return removed


def _is_private(root: Path) -> bool:
    """Whether `root` is there, a folder and no link, and open to this user alone."""
    if not os.path.lexists(root):
        return False
    found = root.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


@contextmanager
def _own_folder(root: Path) -> Iterator[Path]:
    """Make a folder whose lock file beside it tells the living from the dead: the kernel unlocks it with the process.

    The lock file comes first and goes last, so that a folder without one cannot be left over.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix="checkout-", suffix=".lock", dir=root)
        # Between these two lines remove_leftovers may have taken the file for a dead one's, and unlinked it.
        if try_lock(descriptor) and os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)
    lock_path = Path(name)
    try:
        folder = lock_path.with_suffix("")
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(lock_path)
        os.close(descriptor)


def _remove(lock_path: Path) -> None:
    """End what still runs for a folder and remove it, then its lock file; the rest is left for `remove_leftovers`."""
    folder = lock_path.with_suffix("")
    kill_strays(folder)
    if remove_folder(folder):
        lock_path.unlink()


def _write_tree(repository: Repository, commit: str, changes: Mapping[str, bytes | None], place: Folder) -> None:
    entries = {path: entry for path, entry in repository.entries(commit) if path not in changes}
    modes = file_modes(repository, commit, changes)
    for path in (*entries, *modes):
        _refuse_breakout(path)
    for path, entry in entries.items():
        if entry.is_file:
            place.write_new(path, repository.read_blob(entry), permissions=_permissions(entry.mode))
    for path, mode in modes.items():
        place.write_new(path, changes[path] or b"", permissions=_permissions(mode))
    for path, entry in entries.items():  # links last, so that no file is ever written through one
        if entry.mode == FileMode.LINK:
            place.make_link(path, os.fsdecode(repository.read_blob(entry)))
        elif entry.mode == FileMode.COMMIT:
            place.make_folder(path)


def _refuse_breakout(path: str) -> None:
    """A tree made by hand can hold names that git would not check out either."""
    if any(name in ("", ".", "..") or name.casefold() == ".git" for name in path.split("/")):
        raise PathOutsideWorkspace(f"The commit holds {path!r}, which must not be checked out: remove it there.")


def _permissions(mode: int) -> int:
    return 0o777 if mode == FileMode.BLOB_EXECUTABLE else 0o666
