"""Removes the lock file of one of Swarm's branches that a process left which was killed while it moved the branch."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

from swarm.workspace.repository import Repository

log = logging.getLogger(__name__)

LEFT_OVER_S = 60.0
"""The age from which on a lock file is left over: git holds it for about a millisecond, a node's lease is shorter."""


def remove_leftover_lock(repository: Repository, ref: str) -> bool:
    """Remove the lock file of `ref` if it is old enough; False if it is not, so that somebody may be at work."""
    path = _common_directory(repository) / f"{ref}.lock"
    with suppress(FileNotFoundError):  # given back or removed by another just now
        if time.time() - path.stat().st_mtime < LEFT_OVER_S:
            return False
        path.unlink()
        log.warning("workspace.leftover_lock_removed %s", path)
    return True


def _common_directory(repository: Repository) -> Path:
    """Where the refs are: in a linked worktree not its own git directory but the one of the repository behind it."""
    own = Path(repository.handle.path)
    pointer = own / "commondir"
    return own / pointer.read_text().strip() if pointer.exists() else own
