"""Lets one thread of all processes on this machine at a time do something, by a file that the kernel locks.

A process that dies lets go at once; the file stays, empty.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(lock_path: Path, *, pause: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the file `lock_path` for the block; the file is made in a folder that is there.

    `pause` is called again and again while somebody else holds it: it sleeps a little, and raises to give up.
    """
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while not try_lock(descriptor):
            pause()
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that is being started may hold the descriptor a little longer
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file for its opener alone; False if another has done so."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
