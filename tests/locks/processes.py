"""Starts and speaks with real processes that work on this test's database: `tests.locks.worker`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue
from typing import Any

from django.db import connection

from swarm.models import Node
from tests.factories import PATIENCE_S


class Worker:
    """One process; what it says comes line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def hear(self) -> str:
        """The next line that it says, or an empty one at its end; fails if it says nothing for long."""
        return self._lines.get(timeout=2 * PATIENCE_S)

    def begin(self) -> None:
        """Wait until it is ready and let it start."""
        assert self.hear() == "ready"
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """Kill it if it still runs, and leave nothing open."""
        with self.process:  # closes the pipes, and waits
            self.process.kill()
            self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")


@contextmanager
def workers(*jobs: Sequence[Node], database: dict[str, Any] | None = None, **options: Any) -> Iterator[list[Worker]]:
    """A process for each job, a thread in it for each node of the job; killed at the end if they still run."""
    database = database or {
        key: connection.settings_dict[key] for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
    }
    started = []
    try:
        for number, nodes in enumerate(jobs):
            job = {"database": database, "nodes": [str(node.pk) for node in nodes], "seed": f"{number}"} | options
            started.append(
                Worker(
                    subprocess.Popen(
                        [sys.executable, "-m", "tests.locks.worker", json.dumps(job)],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                    )
                )
            )  # fmt: skip
        yield started
    finally:
        for worker in started:
            worker.close()
