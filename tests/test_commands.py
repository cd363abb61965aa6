"""The commands as processes: what they print, and what they exit with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.workspace import CHECK_COMMAND, make_workspace
from tests.factories import wait_until
from tests.ports import free_port

LONG_S = 120


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(SimulatorOptions(latency_s=0.05)) as simulator:
        yield simulator


@pytest.fixture
def environment(tmp_path: Path, simulator: SimulatorServer) -> dict[str, str]:
    """Settings of a workspace, a database and a model of the test's own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SWARM_", "COVERAGE_"))}
    environment = {
        **own,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "REDIS_URL": "",
        "SECRET_KEY": "only-for-this-test-" * 3,
        "SWARM_WORKSPACE": str(make_workspace(tmp_path / "workspace")),
        "SWARM_CHECK_COMMAND": CHECK_COMMAND,
        "SWARM_CHAT_BASE_URL": simulator.base_url,
        "SWARM_CHAT_MODEL": "simulated-developer",
    }
    run(environment, "migrate", "--verbosity", "0")
    return environment


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment, capture_output=True, text=True, timeout=LONG_S, check=False,
    )  # fmt: skip


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def executions(environment: dict[str, str]) -> list[dict[str, object]]:
    items: list[dict[str, object]] = json.loads(run(environment, "swarm", "list", "--json").stdout)["items"]
    return items


def wait_for_status(environment: dict[str, str], status: str) -> dict[str, object]:
    for _ in range(200):
        found = [it for it in executions(environment) if it["status"] == status]
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no execution became {status}: {executions(environment)}")


def test_execute_exits_with_0_and_prints_only_the_execution_as_json(environment: dict[str, str]) -> None:
    done = run(environment, "swarm", "execute", "1.1", "2.3", "--node-token-budget", "1000000", "--json")

    assert done.returncode == 0, done.stderr
    execution = json.loads(done.stdout)
    assert execution["status"] == "completed"
    assert execution["options"]["node_token_budget"] == 1_000_000
    assert [node["story"]["id"] for node in execution["nodes"]] == ["1.1", "2.3"]


def test_execute_can_do_without_checking_again(environment: dict[str, str]) -> None:
    done = run(environment, "swarm", "execute", "2.3", "--no-recheck", "--json")

    assert json.loads(done.stdout)["options"]["recheck"] is False


def test_execute_tells_in_lines_how_it_goes_and_ends_with_a_table(environment: dict[str, str]) -> None:
    done = run(environment, "swarm", "execute", "--all-ready")

    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"swarm:node-completed developer-\d+ ", done.stdout)) == 10
    assert "NFR-1: " in done.stdout


def test_execute_exits_with_1_when_a_story_fails(environment: dict[str, str]) -> None:
    environment["SWARM_CHECK_COMMAND"] = "false"

    done = run(environment, "swarm", "execute", "2.3", "--max-attempts", "1", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "failed"


@pytest.mark.parametrize(
    "arguments",
    [["9.9"], [], ["1.1", "--all-ready"], ["1.1", "--developers", "0"], ["1.1", "--node-token-budget", "0"]],
)
def test_execute_exits_with_2_on_unusable_arguments(environment: dict[str, str], arguments: list[str]) -> None:
    done = run(environment, "swarm", "execute", *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("CommandError: ")


def test_an_interrupt_cancels_cleanly_and_exits_with_130(environment: dict[str, str]) -> None:
    with SimulatorServer(SimulatorOptions(latency_s=60)) as slow:
        environment["SWARM_CHAT_BASE_URL"] = slow.base_url
        process = start(environment, "swarm", "execute", "1.1", "2.3", "--json")
        wait_for_status(environment, "running")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=LONG_S)

    assert process.returncode == 130
    assert json.loads(out)["status"] == "cancelled"


def test_a_cancel_from_another_process_stops_a_run(environment: dict[str, str]) -> None:
    with SimulatorServer(SimulatorOptions(latency_s=60)) as slow:
        environment["SWARM_CHAT_BASE_URL"] = slow.base_url
        process = start(environment, "swarm", "execute", "1.1", "--json")
        execution = wait_for_status(environment, "running")
        cancelled = run(environment, "swarm", "cancel", str(execution["id"]), "--json")
        out, _ = process.communicate(timeout=LONG_S)

    assert cancelled.returncode == 0, cancelled.stderr
    assert process.returncode == 1
    assert json.loads(out)["status"] == "cancelled"


def test_a_detached_execution_goes_on_after_the_command_has_ended(environment: dict[str, str]) -> None:
    started = run(environment, "swarm", "execute", "2.3", "--detach", "--json")

    assert started.returncode == 0, started.stderr
    assert wait_for_status(environment, "completed")["id"] == json.loads(started.stdout)["id"]


def test_a_detached_execution_that_cannot_start_says_why(environment: dict[str, str]) -> None:
    started = run(environment, "swarm", "execute", "9.9", "--detach")

    assert started.returncode == 2
    assert "There is no story 9.9" in started.stderr


def test_failed_nodes_are_retried_and_conflicts_and_locks_listed(environment: dict[str, str]) -> None:
    failed = run(
        environment | {"SWARM_CHECK_COMMAND": "false"}, "swarm", "execute", "2.3", "--max-attempts", "1", "--json"
    )
    execution = json.loads(failed.stdout)["id"]

    retried = run(environment, "swarm", "retry", execution, "--json")
    again = run(environment, "swarm", "retry", execution)

    assert (retried.returncode, json.loads(retried.stdout)["status"]) == (0, "completed")
    assert (again.returncode, "No failed node is there to retry" in again.stderr) == (2, True)
    assert json.loads(run(environment, "swarm", "status", execution, "--json").stdout)["status"] == "completed"
    assert json.loads(run(environment, "swarm", "locks", "--json").stdout) == {"items": []}
    assert json.loads(run(environment, "swarm", "conflicts", "--json").stdout) == {"items": []}


def test_an_api_token_is_printed_once_and_revoked(environment: dict[str, str]) -> None:
    run(
        environment | {"DJANGO_SUPERUSER_PASSWORD": "x"},
        "createsuperuser",
        "--noinput",
        "--username=ada",
        "--email=ada@swarm.invalid",
    )

    token = run(environment, "api_token", "ada")
    revoked = run(environment, "api_token", "ada", "--revoke")
    unknown = run(environment, "api_token", "nobody")

    assert re.fullmatch(r"swarm_[\w-]{40,}\n", token.stdout)
    assert "Revoked 1 tokens" in revoked.stdout
    assert "There is no user 'nobody'" in unknown.stderr


def test_the_demo_exits_with_0_when_all_acceptance_tests_pass(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    done = run(environment, "demo", "--exit", "--stories", "4", "--latency", "0.05")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No real model is called" in done.stdout
    assert "Every story's acceptance tests pass in the integrated result." in done.stdout
    assert not list(tmp_path.glob("swarm-demo-*")), "the throw-away folder is gone"


@pytest.mark.parametrize("arguments", [["--stories", "0"], ["--latency", "-1"]])
def test_the_demo_refuses_unusable_arguments(arguments: list[str]) -> None:
    done = run(dict(os.environ), "demo", "--exit", *arguments)

    assert done.returncode != 0
    assert "must be" in done.stderr


def test_serve_puts_nodes_back_when_it_stops_in_the_middle_of_their_calls(environment: dict[str, str]) -> None:
    run(
        environment | {"DJANGO_SUPERUSER_PASSWORD": "x"},
        "createsuperuser", "--noinput", "--username=ada", "--email=ada@swarm.invalid",
    )  # fmt: skip
    token = run(environment, "api_token", "ada").stdout.strip()
    port = free_port()
    with SimulatorServer(SimulatorOptions(latency_s=60)) as slow:
        server = start(environment | {"SWARM_CHAT_BASE_URL": slow.base_url}, "serve", "--port", str(port))
        try:
            assert server.stdout is not None
            server.stdout.readline()
            started = requests.post(
                f"http://127.0.0.1:{port}/api/swarm/execute",
                json={"stories": ["1.1", "2.3"], "max_attempts": 1},
                headers={"Authorization": f"Bearer {token}"},
                timeout=LONG_S,
            )
            wait_until(lambda: slow.stats.in_flight == 2)
        finally:
            server.terminate()
            server.communicate(timeout=LONG_S)

    execution = json.loads(run(environment, "swarm", "status", started.json()["id"], "--json").stdout)
    assert [(node["status"], node["error"]) for node in execution["nodes"]] == [("pending", None)] * 2


def test_serve_says_when_its_port_is_taken(environment: dict[str, str]) -> None:
    port = str(free_port())
    first = start(environment, "serve", "--port", port)
    try:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("Swarm serves on")
        second = run(environment, "serve", "--port", port)
    finally:
        first.terminate()
        first.communicate(timeout=LONG_S)

    assert second.returncode != 0
    assert f"127.0.0.1:{port} cannot be used" in second.stderr
