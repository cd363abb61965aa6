"""Processes of one world: starting them so that they can be told, and finding those that are left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90
"""How long something may take that must happen; only a failing test waits that long."""


@dataclass
class Process:
    """A management command that runs; all it writes goes to `log`."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, environment: Mapping[str, str], log: Path, *arguments: str) -> Process:
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *arguments],
                env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return cls(arguments[0], popen, log)

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.popen.kill()
        self.popen.wait()

    def terminate(self) -> int:
        """Tell it to end and wait until it has; its exit status. Raises `subprocess.TimeoutExpired`."""
        self.popen.terminate()
        return self.popen.wait(PATIENCE_S)

    def freeze(self) -> None:
        self.popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.popen.send_signal(signal.SIGCONT)

    def last_words(self, count: int = 25) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-count:]
        return "\n".join(f"    {line}" for line in lines)


def processes_of(folder: Path) -> dict[int, str]:
    """The processes whose environment names `folder`, by id, with their command lines.

    Checks of nodes have no variable in common with the server, but their home lies in its temporary folder.
    """
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                environment = (place / "environ").read_bytes()
                command = (place / "cmdline").read_bytes()
            except OSError:  # ended meanwhile
                continue
            if os.fsencode(folder) in environment and command:
                found[int(place.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found
