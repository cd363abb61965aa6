"""How much longer many stories take than one: five and fifty nodes beside a single one, in the same run.

The simulated model answers after 2 s, in a process of its own; each story takes four turns, so one story takes 8 s and
no run can take less. No check command is set: what is measured is the engine, not the checks.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LATENCY_S = 2.0
TURNS = 4


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="swarm-makespan-") as directory:
        port = _free_port()
        _configure(Path(directory), port)
        root = Path(__file__).resolve().parents[2]
        simulator = subprocess.Popen(
            [sys.executable, str(root / "manage.py"), "simulator", "--port", str(port), "--latency", str(LATENCY_S)],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            return _measure()
        finally:
            simulator.terminate()
            simulator.wait()


def _configure(directory: Path, port: int) -> None:
    """Set the environment that the settings read; only then may Django be loaded."""
    from swarm.simulator.workspace import make_plain_workspace

    os.environ.update(
        SWARM_WORKSPACE=str(make_plain_workspace(directory / "workspace", 50)),
        SWARM_CHECK_COMMAND="",
        SWARM_CHAT_BASE_URL=f"http://127.0.0.1:{port}/v1",
        SWARM_CHAT_MODEL="simulated-developer",
        SWARM_RPM="0",
        SWARM_TPM="0",
        SWARM_MAX_IN_FLIGHT="0",
        DATABASE_URL=f"sqlite:///{directory / 'db.sqlite3'}",
        REDIS_URL="",
        SECRET_KEY="benchmark",
        DJANGO_SETTINGS_MODULE="swarmsite.settings",
    )


def _measure() -> int:
    import django

    django.setup()
    logging.getLogger("swarm").setLevel(logging.WARNING)
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    physical_s = LATENCY_S * TURNS
    print(f"{'nodes':>6} {'makespan':>9} {'÷ one':>6} {'÷ limit':>8} {'start skew':>11} {'calls':>6} {'failed':>7}")
    one_s = 0.0
    is_good = True
    for count, most in ((1, 0.0), (5, 1.15), (50, 0.0)):
        makespan_s, skew_s, calls, failed = _run(count)
        one_s = one_s or makespan_s
        ratio = makespan_s / one_s
        print(
            f"{count:>6} {makespan_s:>7.2f} s {ratio:>6.2f} {makespan_s / physical_s:>8.2f} "
            f"{skew_s:>9.2f} s {calls:>6} {failed:>7}",
            flush=True,
        )
        is_good = is_good and failed == 0 and calls == TURNS * count and skew_s < 2 and (not most or ratio <= most)
    print(
        "goals met"
        if is_good
        else "GOALS MISSED: no failure, four calls a node, skew below 2 s, five ÷ one at most 1.15"
    )
    return 0 if is_good else 1


def _run(count: int) -> tuple[float, float, int, int]:
    """Run `count` generated stories; makespan and start skew in seconds, calls, failed nodes."""
    from swarm.engine import lifecycle
    from swarm.engine.backlog import read_backlog
    from swarm.engine.executor import executor
    from swarm.engine.report import execution_report
    from swarm.models import Execution

    ready = [story.id for story in read_backlog().catalogue.ready()][-count:]
    execution = lifecycle.start(lifecycle.StartRequest(stories=ready), user=None)
    executor.drain()
    nodes = execution_report(Execution.objects.get(pk=execution.pk))["nodes"]
    starts = [node["started_at"].timestamp() for node in nodes if node["started_at"]]
    ends = [node["finished_at"].timestamp() for node in nodes if node["finished_at"]]
    return (
        max(ends) - min(starts),
        max(starts) - min(starts),
        sum(node["usage"]["calls"] for node in nodes),
        sum(node["status"] != "completed" for node in nodes),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("The simulator did not start.")


if __name__ == "__main__":
    sys.exit(main())
