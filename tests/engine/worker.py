"""A worker process of its own for tests: `python -m tests.engine.worker EXECUTION [die-after-landing]`.

It says that it is ready, begins once a line comes in, and works on the execution's nodes until none is left for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid

import django
from django.conf import settings
from django.db import connection

DATABASES = {"sqlite": "sqlite:///{NAME}", "postgresql": "postgres://{USER}:@/{NAME}?host={OPTIONS[host]}"}


def start_worker(execution_id: uuid.UUID, *arguments: str) -> subprocess.Popen[str]:
    """Start a worker with the settings and the database of the calling test, and wait until it is ready."""
    names = ("WORKSPACE", "CHECK_COMMAND", "CHAT_BASE_URL", "CHAT_MODEL", "NODE_LEASE")
    own = {f"SWARM_{name}": str(getattr(settings, f"SWARM_{name}")) for name in names}
    database = DATABASES[connection.vendor].format_map(connection.settings_dict)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.worker", str(execution_id), *arguments],
        env=os.environ | own | {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "swarmsite.settings"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begin(*processes: subprocess.Popen[str]) -> None:
    """Let workers begin, as nearly at once as can be."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def wait_for(*processes: subprocess.Popen[str]) -> list[int]:
    """The exit codes of workers."""
    for process in processes:
        process.communicate(timeout=120)
    return [process.returncode for process in processes]


def main(execution_id: str, *arguments: str) -> None:
    django.setup()
    from swarm.engine import integration, lifecycle  # Django's models must be there first
    from swarm.engine.executor import executor

    if arguments == ("die-after-landing",):
        vars(integration)["complete_node"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    lifecycle.dispatch(uuid.UUID(execution_id))
    executor.drain()


if __name__ == "__main__":
    main(*sys.argv[1:])
