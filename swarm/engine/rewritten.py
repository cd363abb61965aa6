"""Decides what becomes of files that a passing check command has changed: taken into the snapshot, or dropped.

Both functions return a note for the end of the check's output, which the model and people read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from swarm.engine.work import Work
from swarm.locks.errors import PathHeld
from swarm.workspace.errors import Refused

_MAX_NAMED = 10


def take_in(work: Work, rewritten: Mapping[str, bytes | None]) -> str:
    """Put the new contents into the snapshot if the node can have all their paths at once, otherwise none of them.

    Files that only the server writes, and those that have no content to take (None), are dropped by themselves.
    """
    plain = {path: content for path, content in rewritten.items() if content is not None and not work.is_reserved(path)}
    note = drop(rewritten.keys() - plain.keys(), "Only plain files that nodes may write are taken.")
    if not plain:
        return note
    try:
        work.claim_now(plain)
        work.snapshot.overwrite(plain)
    except (PathHeld, Refused) as error:
        return note + drop(plain, error.message)
    work.node.record_files(sorted(work.snapshot.changes))
    return f"{note}\n[The command changed {_names(plain)}: taken into your snapshot.]"


def drop(paths: Collection[str], reason: str) -> str:
    """Say that changes of these files are not kept, if there are any."""
    return f"\n[The command changed {_names(paths)}: not kept. {reason}]" if paths else ""


def _names(paths: Collection[str]) -> str:
    names = sorted(paths)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more
