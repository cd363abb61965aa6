"""Writes a story's or the board's file to disk, if it is still the file that was read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from swarm.stories.errors import FileChanged


def replace_file(path: Path, *, before: bytes, after: bytes) -> None:
    """Give a file new content, whole or not at all; its permissions stay.

    Raises `FileChanged` if it does not hold `before` any more, is gone, or is a symbolic link.
    """
    _demand_unchanged(path, before)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o7777)
        _demand_unchanged(path, before)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _demand_unchanged(path: Path, before: bytes) -> None:
    try:
        is_same = not path.is_symlink() and path.read_bytes() == before
    except OSError:
        is_same = False
    if not is_same:
        raise FileChanged(f"{path} was changed since it was read; read it again and repeat.")
