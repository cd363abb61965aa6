"""A world to break: a workspace on a small disk, a database, a simulated model, and the real commands as processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import requests

from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.workspace import CHECK_COMMAND, make_workspace
from tests.faults.databases import SECRET_KEY, Databases
from tests.faults.disk import small_disk
from tests.faults.processes import PATIENCE_S, ROOT, Process, processes_of
from tests.ports import free_port

STORIES = ("1.1", "1.2", "2.1", "3.1", "3.2")
"""Two pairs that want the same file, and one whose second call meets a 429."""
NODE_LEASE_S = 2.0
TEND_EVERY_S = 0.5
ACTIVE = ("pending", "running")


class Progress(NamedTuple):
    """How far the execution is, as its row says: `seq` events are recorded."""

    status: str
    seq: int


@dataclass
class World:
    """One execution and all that it lives on. `fronts` are its servers and commands, the first one first."""

    root: Path
    disk: Path
    databases: Databases
    database_url: str
    token: str
    model: SimulatorOptions
    environment: dict[str, str]
    simulator: SimulatorServer
    stories: Sequence[str]
    fronts: list[tuple[Process, str]] = field(default_factory=list)
    """Each with its address, which is empty for a command."""

    @property
    def workspace(self) -> Path:
        return self.disk / "workspace"

    @property
    def git(self) -> Path:
        return self.workspace / ".git"

    def serve(self) -> None:
        """Start one more server and wait until it can serve."""
        process, address = self.start_server()
        self.wait_until(lambda: self._is_ready(process, address), "the server did not become ready")

    def start_server(self) -> tuple[Process, str]:
        """Start one more server, without waiting for it; the process and its address."""
        port = free_port()
        self.fronts.append((self._start("serve", "--port", str(port)), f"http://127.0.0.1:{port}"))
        return self.fronts[-1]

    def execute(self, front: str) -> None:
        """Start the execution with a server ("serve") or with the command ("execute")."""
        if front == "execute":
            self.fronts.append((self._start("swarm", "execute", *self.stories, "--json"), ""))
            self.wait_until(lambda: self.progress() is not None, "the command did not start its execution")
            return
        self.serve()
        self._api("POST", "execute", json={"stories": self.stories})

    @property
    def living(self) -> list[Process]:
        """Those of the fronts that run."""
        return [process for process, _ in self.fronts if process.is_alive]

    def tend(self) -> None:
        """What a supervisor and an operator do for an execution that goes on: start a server where nobody is left to
        run it, and resume it where it has paused itself because of what was broken.
        """
        if not self._is_active():
            return
        if not self.living:
            self.serve()
        with suppress(requests.RequestException, LookupError):  # no server; or one that has not noticed the mending
            (execution,) = self._api("GET", "executions")["items"]
            if self._api("GET", f"status/{execution['id']}").get("paused"):
                self._api("POST", f"resume/{execution['id']}")

    def progress(self) -> Progress | None:
        """Read the execution's row; None while there is none, or while the database is away."""
        with suppress(psycopg.OperationalError, sqlite3.OperationalError):
            rows = _query(self.database_url, "SELECT status, last_seq FROM swarm_execution")
            return Progress(*rows[0]) if rows else None
        return None

    def wait_until(self, condition: Callable[[], bool], failure: str) -> None:
        """Wait for what is bound to happen; fail with `failure` and the logs if it does not."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{failure}: {self.progress()}\n{self.logs()}"
            time.sleep(0.05)

    def wait_for_event(self, seq: int) -> None:
        """Wait until so many events are recorded, or the execution has ended before."""
        self._tend_until(lambda: not self._is_active() or self._seq() >= seq, f"event {seq} did not come")

    def wait_for_end(self) -> None:
        self._tend_until(lambda: not self._is_active(), "the execution did not end")

    def stop(self) -> None:
        """Let the command see its execution's end, and the servers go. Fails if one does not end, or ends badly."""
        for process in self.living:
            if process.name == "swarm":
                process.popen.wait(PATIENCE_S)
            else:
                assert process.terminate() == 0, process.last_words()

    def leftovers(self) -> list[str]:
        """What is left of checkouts and of the homes of checks."""
        return sorted(str(path) for path in (self.disk / "tmp").glob("*/*") if path.suffix != ".mutex")

    def break_model(self, **options: Any) -> None:
        """Let another simulator answer at the same address; without `options` a healthy one."""
        self.simulator.stop()
        self.simulator = SimulatorServer(replace(self.model, **options))
        self.simulator.start()

    def events(self) -> list[dict[str, Any]]:
        """All that was recorded, as the newest server tells it."""
        (execution,) = self._api("GET", "executions")["items"]
        frames: list[dict[str, Any]] = self._api("GET", f"events/{execution['id']}?limit=500")["items"]
        return frames

    def judge(self) -> dict[str, Any]:
        """What `tests.faults.invariants` finds, looked at by a process of its own; "problems" should be empty."""
        code = "from tests.faults.invariants import print_verdict; print_verdict()"
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports", "-c", code],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        verdict: dict[str, Any] = json.loads(done.stdout)
        return verdict

    def logs(self) -> str:
        return "\n".join(f"{process.log.name}:\n{process.last_words()}" for process, _ in self.fronts)

    def close(self) -> None:
        """End everything that is left, at once."""
        for process in processes_of(self.root):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.simulator.stop()

    def _start(self, *arguments: str) -> Process:
        log = self.root / f"{len(self.fronts)}-{arguments[0]}.log"
        return Process.start(self.environment, log, *arguments)

    def _api(self, method: str, path: str, **options: Any) -> Any:
        address = [address for process, address in self.fronts if address and process.is_alive][-1]
        url = f"{address}/api/swarm/{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, url, headers=headers, timeout=PATIENCE_S, **options)
        answer.raise_for_status()
        return answer.json()

    def _is_active(self) -> bool:
        progress = self.progress()
        return progress is None or progress.status in ACTIVE

    def _seq(self) -> int:
        progress = self.progress()
        return progress.seq if progress else 0

    def _is_ready(self, process: Process, address: str) -> bool:
        assert process.is_alive, f"a server did not start:\n{process.last_words()}"
        with suppress(requests.RequestException):
            return requests.get(f"{address}/readyz", timeout=5).ok
        return False

    def _tend_until(self, condition: Callable[[], bool], failure: str) -> None:
        tended_s = time.monotonic()

        def holds() -> bool:
            nonlocal tended_s
            if time.monotonic() - tended_s > TEND_EVERY_S:
                self.tend()
                tended_s = time.monotonic()
            return condition()

        self.wait_until(holds, failure)


@contextmanager
def world(
    root: Path,
    databases: Databases,
    engine: str,
    *,
    stories: Sequence[str] = STORIES,
    make: Callable[[Path], Path] = make_workspace,
    latency_s: float = 0.3,
    settings: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """Make a world below `root`, which is empty, and end all of it afterwards.

    `make` makes the workspace, the model answers after `latency_s`, `settings` come on top of the world's own.
    """
    database_url, token = databases.make(engine)
    disk = root / "disk"
    disk.mkdir()
    with small_disk(disk):
        (disk / "tmp").mkdir()
        make(disk / "workspace")
        model = SimulatorOptions(latency_s=latency_s, port=free_port())
        simulator = SimulatorServer(model)
        simulator.start()
        environment = _environment(disk, database_url, simulator.base_url) | dict(settings or {})
        made = World(root, disk, databases, database_url, token, model, environment, simulator, stories)
        try:
            yield made
        finally:
            made.close()


def _environment(disk: Path, database_url: str, model_url: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SWARM_", "COVERAGE_"))}
    return {
        **own,
        "TMPDIR": str(disk / "tmp"),
        "DATABASE_URL": database_url,
        "REDIS_URL": "",
        "SECRET_KEY": SECRET_KEY,
        "SWARM_WORKSPACE": str(disk / "workspace"),
        "SWARM_CHECK_COMMAND": CHECK_COMMAND,
        "SWARM_CHAT_BASE_URL": model_url,
        "SWARM_CHAT_MODEL": "simulated-developer",
        "SWARM_NODE_LEASE": str(NODE_LEASE_S),
        "SWARM_LOCK_TTL": str(2 * NODE_LEASE_S),
    }


def _query(url: str, sql: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=PATIENCE_S)) as connection:
            return connection.execute(sql).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()
