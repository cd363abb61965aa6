"""A small disk of a world's own, which a test can fill without harm to anybody else."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 24 << 20


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """Mount a file system of 24 MiB in memory at `place`; an ordinary folder stays where nobody may mount."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=755", "swarm-faults", str(place)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode == 0
    try:
        yield place
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(place: Path, processes: Iterable[int]) -> Iterator[None]:
    """Leave no byte free on the disk at `place` during the block.

    Where that is no disk of its own, these processes may write no file instead, which is harsher: not even their log.
    """
    if place.is_mount():
        _fill(place / "ballast")
    else:
        _limit_files(processes, 0)
    try:
        yield
    finally:
        if place.is_mount():
            (place / "ballast").unlink()
        else:
            _limit_files(processes, resource.RLIM_INFINITY)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for chunk in (bytes(1 << 16), bytes(1)):
            try:
                while True:
                    file.write(chunk)
            except OSError:  # full, for chunks of this size
                continue


def _limit_files(processes: Iterable[int], most_bytes: int) -> None:
    for process in processes:
        try:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        except ProcessLookupError:
            continue
