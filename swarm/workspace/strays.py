"""Kills what a check command has left running: after its server was killed, or in a session of its own.

Knows a stray by its environment or working directory, which lie in the folder that the check was given. Works where
there is a /proc, and only as far as a process does not hide both: a sandbox would hold more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ROUNDS = 10
"""A process may fork between being found and being killed."""


def kill_strays(folder: Path) -> None:
    """Kill every process of this machine that was started for a check in `folder`, and what it started in turn."""
    for _ in range(_ROUNDS):
        found = list(_strays(os.fsencode(folder) + b"/"))
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _strays(prefix: bytes) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            environment = (process / "environ").read_bytes().split(b"\0")
            is_at_home = any(it.startswith(b"HOME=" + prefix) for it in environment)
            if is_at_home or os.fsencode((process / "cwd").readlink()).startswith(prefix):
                yield int(process.name)
