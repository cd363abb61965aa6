"""Finds new paths that cannot stand beside what is there: `Readme.md` beside `README.md`, `a/b` below a file `a`.

Asked twice: when a node writes, and again when its story is put onto a branch that others have moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from swarm.workspace.errors import PathClash
from swarm.workspace.paths import lock_key
from swarm.workspace.repository import Repository


def refuse_clash(repository: Repository, commit: str, changes: Mapping[str, bytes | None], path: str) -> None:
    """Raise `PathClash` if `path` cannot be a file beside what `commit` with `changes` holds.

    A file that `changes` deletes is not in the way; a folder is, even if all its files are deleted.
    """
    names = path.split("/")
    for depth, name in enumerate(names):
        prefix = "".join(f"{folder}/" for folder in names[:depth])
        is_last = depth == len(names) - 1
        for sibling, is_folder in _siblings(repository, commit, changes, prefix):
            if sibling != name and lock_key(sibling) == lock_key(name):
                raise PathClash(
                    f"{prefix}{name} differs from {prefix}{sibling} only in case or Unicode form; use that spelling."
                )
            if sibling == name and is_last and is_folder:
                raise PathClash(f"{path} is a folder; name a file in it.")
            if sibling == name and not is_last and not is_folder:
                raise PathClash(f"{prefix}{name} is not a folder, so there can be no {path}; choose another path.")


def _siblings(
    repository: Repository, commit: str, changes: Mapping[str, bytes | None], prefix: str
) -> Iterator[tuple[str, bool]]:
    """The names right below `prefix` in `commit` and in `changes`, and whether each is a folder."""
    for name, is_folder in repository.names(commit, prefix.rstrip("/")).items():
        if is_folder or changes.get(prefix + name, b"") is not None:
            yield name, is_folder
    for path, content in changes.items():
        if content is not None and path.startswith(prefix):
            name, slash, _ = path.removeprefix(prefix).partition("/")
            yield name, bool(slash)
