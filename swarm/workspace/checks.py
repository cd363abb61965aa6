"""Runs a check command in a directory: bounded in time and output, blind to the server's secrets, killed as a group.

Knows nothing of git or of nodes. This is not yet a sandbox: the command runs with the server's rights on the machine.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from swarm.cancellation import Cancellation

MAX_OUTPUT_BYTES = 64 << 10
"""How much of the output is kept, from its end, where test runners put their summary."""
_POLL_S = 0.05
"""How soon the end of the command is seen while a process that it left behind holds its output open."""
_LAST_WORDS_S = 1.0
"""How long killed processes may take to let go of the output."""


@dataclass(frozen=True)
class CheckResult:
    """How a check ended. `exit_status` is negative for a signal; `output` is the end of stdout and stderr together."""

    command: str
    exit_status: int
    seconds: float
    output: str
    timed_out: bool


def run_checks(
    command: str,
    directory: Path,
    *,
    environment: Mapping[str, str],
    timeout_s: float,
    cancellation: Cancellation,
) -> CheckResult:
    """Run `command` with `sh` in `directory` and return how it ended.

    It sees PATH, a private HOME and TMPDIR beside `directory` (removed afterwards, like everything there by whoever
    made it), a UTF-8 locale and `environment`; nothing else. Its whole process group is killed when it ends, after
    `timeout_s` seconds, or when `cancellation` is thrown; then `Cancelled` is raised.
    """
    cancellation.raise_if_cancelled()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="home-", dir=directory.parent, ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            ["sh", "-c", command],
            cwd=directory,
            env=_scrubbed(home) | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        pipe = cast(IO[bytes], process.stdout)
        with pipe, cancellation.calling(lambda: _kill_group(process)):
            output = _Output(pipe)
            try:
                timed_out = not output.follow(process, started + timeout_s)
            finally:
                _kill_group(process)
            process.wait()
            output.drain(time.monotonic() + _LAST_WORDS_S)
    cancellation.raise_if_cancelled()
    return CheckResult(command, process.returncode, time.monotonic() - started, output.text(), timed_out)


def _scrubbed(home: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and all that it started in its session's first process group."""
    with suppress(ProcessLookupError, PermissionError):  # gone; macOS: only zombies left
        os.killpg(process.pid, signal.SIGKILL)


class _Output:
    """The end of what comes out of a pipe, read without ever blocking on it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._fd = pipe.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._kept = bytearray()
        self._dropped_bytes = 0
        self._is_open = True

    def follow(self, process: subprocess.Popen[bytes], deadline_s: float) -> bool:
        """Read until `process` ends; False if it has not by `deadline_s` on the monotonic clock."""
        while process.poll() is None:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return False
            if self._is_open:
                self._read(min(remaining_s, _POLL_S))
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(remaining_s)
        return True

    def drain(self, deadline_s: float) -> None:
        """Read what is left until all writers are gone, or until `deadline_s`."""
        while self._is_open and (remaining_s := deadline_s - time.monotonic()) > 0:
            self._read(remaining_s)

    def text(self) -> str:
        """What was kept, as text that any database can hold, with a note where something was left out."""
        text = self._kept.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        return f"[{self._dropped_bytes} bytes left out]\n{text}" if self._dropped_bytes else text

    def _read(self, timeout_s: float) -> None:
        if not self._poll.poll(timeout_s * 1000):
            return
        chunk = os.read(self._fd, 1 << 16)
        self._is_open = bool(chunk)
        self._kept += chunk
        excess_bytes = len(self._kept) - MAX_OUTPUT_BYTES
        if excess_bytes > 0:
            del self._kept[:excess_bytes]
            self._dropped_bytes += excess_bytes
