"""Makes a commit, with a node's changes, into plain files on disk for as long as checks need them.

Files are written from git's objects byte for byte: no `.git` inside, no index, no filter, no hook, so any number of
threads can do it at once and none can reach the user's repository through it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pygit2.enums import FileMode

from swarm.workspace.errors import PathOutsideWorkspace
from swarm.workspace.repository import Repository


@contextmanager
def checked_out(
    repository: Repository, *, commit: str, changes: Mapping[str, bytes | None], root: Path
) -> Iterator[Path]:
    """Give a folder below `root` that holds `commit` with `changes`; it is removed at the end of the block.

    Symbolic links are made as they are, a submodule is an empty folder, a Git LFS file its pointer.
    """
    with _private_folder(root) as folder:
        tree = folder / "workspace"
        tree.mkdir()
        _write_tree(repository, commit, changes, tree)
        yield tree


def remove_leftovers(root: Path) -> int:
    """Remove the checkouts of processes that have died; return how many. Those in use are left alone."""
    removed = 0
    for lock_path in root.glob("*.lock"):
        with suppress(FileNotFoundError), lock_path.open("rb") as lock:
            if _try_lock(lock.fileno()):
                _remove(lock_path)
                removed += 1
    return removed


@contextmanager
def _private_folder(root: Path) -> Iterator[Path]:
    """Make a folder whose lock file beside it tells the living from the dead: the kernel unlocks it with the process.

    The lock file comes first and goes last, so that a folder without one cannot be left over.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        descriptor, name = tempfile.mkstemp(prefix="checkout-", suffix=".lock", dir=root)
        # Between these two lines remove_leftovers may have taken the file for a dead one's, and unlinked it.
        if _try_lock(descriptor) and os.fstat(descriptor).st_nlink:
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


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(lock_path: Path) -> None:
    """Remove a folder, then its lock file; what a process still writes to is left for `remove_leftovers`."""
    folder = lock_path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        lock_path.unlink()


def _write_tree(repository: Repository, commit: str, changes: Mapping[str, bytes | None], tree: Path) -> None:
    entries = dict(repository.entries(commit))
    for path, entry in entries.items():
        if entry.is_file and path not in changes:
            _write_file(_place(tree, path), repository.read_blob(entry), entry.mode)
    for path, content in changes.items():
        if content is not None:
            mode = entries[path].mode if path in entries else FileMode.BLOB
            _write_file(_place(tree, path), content, mode)
    for path, entry in entries.items():  # links last, so that no file is ever written through one
        if entry.mode == FileMode.LINK:
            _place(tree, path).symlink_to(os.fsdecode(repository.read_blob(entry)))
        elif entry.mode == FileMode.COMMIT:
            _place(tree, path).mkdir()


def _place(tree: Path, path: str) -> Path:
    """Where `path` goes, its folders made. A tree made by hand can hold names that git would not check out either."""
    names = path.split("/")
    if any(name in ("", ".", "..") or name.casefold() == ".git" for name in names):
        raise PathOutsideWorkspace(f"The commit holds {path!r}, which must not be checked out: remove it there.")
    place = tree.joinpath(*names)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _write_file(place: Path, content: bytes, mode: int) -> None:
    permissions = 0o777 if mode == FileMode.BLOB_EXECUTABLE else 0o666
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, permissions)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
