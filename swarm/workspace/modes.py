"""Which files are executable after a node's changes: a file keeps its bit when it is edited, and when it is moved.

A node can only delete and write, so a move is found as git finds one: by how alike the contents are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from pygit2.enums import FileMode

from swarm.workspace.repository import Repository

_ALIKE = 0.5
"""The share of lines that makes a written file a moved one; git's own default for renames."""


def file_modes(repository: Repository, commit: str, changes: Mapping[str, bytes | None]) -> dict[str, FileMode]:
    """The mode of each file that `changes` writes on top of `commit`."""
    moved_away = list(_deleted_scripts(repository, commit, changes))
    modes = {}
    for path, content in changes.items():
        if content is None:
            continue
        entry = repository.entry(commit, path)
        if entry is not None and entry.is_file:
            modes[path] = FileMode(entry.mode)
        elif any(_likeness(old, content) >= _ALIKE for old in moved_away):
            modes[path] = FileMode.BLOB_EXECUTABLE
        else:
            modes[path] = FileMode.BLOB
    return modes


def _deleted_scripts(repository: Repository, commit: str, changes: Mapping[str, bytes | None]) -> Iterator[bytes]:
    for path, content in changes.items():
        entry = repository.entry(commit, path) if content is None else None
        if entry is not None and entry.mode == FileMode.BLOB_EXECUTABLE:
            yield repository.read_blob(entry)


def _likeness(old: bytes, new: bytes) -> float:
    """The share of lines that two files have in common, from 0 to 1; two empty files have none."""
    lines, others = Counter(old.splitlines()), Counter(new.splitlines())
    return (lines & others).total() / max(lines.total(), others.total(), 1)
