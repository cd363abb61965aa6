"""Tells apart what the operating system refuses: a full disk and a place that may not be written."""

from __future__ import annotations

import errno
import os

from swarm.workspace.errors import DiskFull, WorkspaceReadOnly

_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
_READ_ONLY = (os.strerror(errno.EROFS), os.strerror(errno.EACCES), os.strerror(errno.EPERM))


def disk_trouble(error: Exception) -> DiskFull | WorkspaceReadOnly | None:
    """The named error that `error` stands for; None if it is about something else.

    Goes by the text, because libgit2 and the databases pass the system's words on, but not its number.
    """
    text = str(error)
    if any(words in text for words in _FULL):
        return DiskFull(f"The disk is full, or its quota used up ({text}): make room, then resume or retry.")
    if any(words in text for words in _READ_ONLY):
        return WorkspaceReadOnly(
            f"The workspace or the folder for checkouts cannot be written ({text}): "
            "let this user write there, then resume or retry."
        )
    return None
