"""Processes that are told to stop, and executions that are stopped from another process, as a shell sees them."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest
import requests

from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from tests.factories import wait_until
from tests.ports import free_port
from tests.test_commands import LONG_S, environment, run, simulator, start, wait_for_status

__all__ = ["environment", "simulator"]  # fixtures

EXECUTE = ("swarm", "execute", "1.1", "2.3", "--json")


def status_of(environment: dict[str, str], execution: object) -> Any:
    return json.loads(run(environment, "swarm", "status", str(execution), "--json").stdout)


def transcript(environment: dict[str, str]) -> int:
    """How many turns were recorded."""
    script = "from swarm.models import Turn; print('turns', Turn.objects.count())"
    out = run(environment, "shell", "--no-imports", "-c", script).stdout
    return int(out.rpartition("turns ")[2])


def calls_in_flight(slow: SimulatorServer, count: int) -> None:
    wait_until(lambda: slow.stats.in_flight == count)


@pytest.fixture
def slow(environment: dict[str, str]) -> Any:
    """A model that takes its time, but not forever."""
    with SimulatorServer(SimulatorOptions(latency_s=3)) as simulator:
        environment["SWARM_CHAT_BASE_URL"] = simulator.base_url
        yield simulator


@pytest.fixture
def hanging(environment: dict[str, str]) -> Any:
    """A model that does not answer within any test, and processes that would wait for it when they are to stop."""
    with SimulatorServer(SimulatorOptions(latency_s=600)) as simulator:
        environment |= {"SWARM_CHAT_BASE_URL": simulator.base_url, "SWARM_DRAIN_TIMEOUT": "600"}
        yield simulator


def test_a_sigterm_lets_the_turn_end_and_leaves_the_rest_for_a_resume(
    environment: dict[str, str], slow: SimulatorServer
) -> None:
    process = start(environment, *EXECUTE)
    calls_in_flight(slow, 2)
    process.terminate()
    out, err = process.communicate(timeout=LONG_S)

    assert process.returncode == 128 + signal.SIGTERM
    stopped = json.loads(out)
    assert (stopped["status"], [node["status"] for node in stopped["nodes"]]) == ("running", ["pending", "pending"])
    assert transcript(environment) == 2, "the answers that were under way are kept"
    assert f"manage.py swarm resume {stopped['id']}" in err

    with SimulatorServer(SimulatorOptions(latency_s=0.01)) as fast:
        environment["SWARM_CHAT_BASE_URL"] = fast.base_url
        resumed = run(environment, "swarm", "resume", stopped["id"], "--json")
    assert (resumed.returncode, json.loads(resumed.stdout)["status"]) == (0, "completed"), resumed.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_the_command_at_once(
    environment: dict[str, str], hanging: SimulatorServer, number: signal.Signals
) -> None:
    process = start(environment, *EXECUTE)
    calls_in_flight(hanging, 2)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(number)
    process.communicate(timeout=LONG_S)

    assert process.returncode == -number


def test_a_drain_that_takes_too_long_is_cut_short(environment: dict[str, str], hanging: SimulatorServer) -> None:
    process = start(environment | {"SWARM_DRAIN_TIMEOUT": "0.5"}, *EXECUTE)
    calls_in_flight(hanging, 2)
    process.terminate()
    out, _ = process.communicate(timeout=LONG_S)

    assert process.returncode == 128 + signal.SIGTERM
    assert [node["status"] for node in json.loads(out)["nodes"]] == ["pending", "pending"]


def test_a_detached_execution_is_stopped_by_a_sigterm_too(
    environment: dict[str, str], hanging: SimulatorServer
) -> None:
    detached = run(environment | {"SWARM_DRAIN_TIMEOUT": "0"}, "swarm", "execute", "1.1", "--detach").stdout
    calls_in_flight(hanging, 1)
    pid = int(detached.rpartition("(process ")[2].partition(")")[0])
    subprocess.run(["kill", str(pid)], check=True)

    execution = detached.partition(" ")[0]
    wait_until(lambda: status_of(environment, execution)["nodes"][0]["status"] == "pending")


@pytest.fixture
def token(environment: dict[str, str]) -> str:
    run(
        environment | {"DJANGO_SUPERUSER_PASSWORD": "x"},
        "createsuperuser", "--noinput", "--username=ada", "--email=ada@swarm.invalid",
    )  # fmt: skip
    return run(environment, "api_token", "ada").stdout.strip()


class Server:
    """`serve` as a process, and its API."""

    def __init__(self, environment: dict[str, str], token: str) -> None:
        self.port = free_port()
        self.headers = {"Authorization": f"Bearer {token}"}
        self.process = start(environment, "serve", "--port", str(self.port))
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("Swarm serves on")

    def post(self, path: str, **body: Any) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/swarm/{path}"
        return requests.post(url, json=body, headers=self.headers, timeout=LONG_S).json()


def test_a_server_still_serves_the_calls_of_its_nodes_while_it_drains(
    environment: dict[str, str], slow: SimulatorServer, token: str
) -> None:
    server = Server(environment, token)
    started = server.post("execute", stories=["1.1", "2.3"])
    calls_in_flight(slow, 2)
    server.process.terminate()
    server.process.communicate(timeout=LONG_S)

    assert server.process.returncode == 0
    nodes = status_of(environment, started["id"])["nodes"]
    assert [(node["status"], node["error"]) for node in nodes] == [("pending", None)] * 2
    assert transcript(environment) == 2


def test_the_second_signal_ends_a_server_at_once(
    environment: dict[str, str], hanging: SimulatorServer, token: str
) -> None:
    server = Server(environment, token)
    server.post("execute", stories=["1.1"])
    calls_in_flight(hanging, 1)
    server.process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(1)
    server.process.terminate()
    server.process.communicate(timeout=LONG_S)

    assert server.process.returncode == -signal.SIGTERM


def test_a_cancel_by_a_command_aborts_the_calls_of_a_server_within_a_second(
    environment: dict[str, str], hanging: SimulatorServer, token: str
) -> None:
    environment["SWARM_NODE_LEASE"] = "3600"  # no heartbeat comes in time
    server = Server(environment | {"SWARM_DRAIN_TIMEOUT": "0"}, token)
    try:
        started = server.post("execute", stories=["1.1", "2.3", "3.3"])
        calls_in_flight(hanging, 3)
        node = started["nodes"][0]["id"]
        one = run(environment, "swarm", "cancel", started["id"], "--node", node, "--reason", "Not now.", "--json")
        both = run(environment, "swarm", "cancel", started["id"], "--json")
        execution = wait_for_status(environment, "cancelled")
    finally:
        server.process.terminate()
        server.process.communicate(timeout=LONG_S)

    assert (one.returncode, both.returncode) == (0, 0)
    assert execution["progress"] == {"completed": 0, "failed": 0, "cancelled": 3, "total": 3}
    script = (
        "import json; from swarm.models import Event; "
        "print('told', json.dumps([it.data for it in Event.objects.filter(type='swarm:node-cancelled')]))"
    )
    told = json.loads(run(environment, "shell", "--no-imports", "-c", script).stdout.rpartition("told ")[2])
    assert {(it["by"], it["reason"]) for it in told} == {("command line", "Not now."), ("command line", "")}
    for it in told:
        assert it["stopped"]["activity"] == "thinking"
        assert it["stopped"]["noticed"] <= it["stopped"]["ended"] <= it["stopped"]["claims_released"]
        assert it["stopped"]["noticed"] < 5, "a look comes every half second; the machine may be busy"


def test_a_pause_by_a_command_ends_execute_and_a_resume_finishes_the_work(
    environment: dict[str, str], slow: SimulatorServer
) -> None:
    process = start(environment, *EXECUTE)
    calls_in_flight(slow, 2)
    [execution] = json.loads(run(environment, "swarm", "list", "--json").stdout)["items"]
    paused = run(environment, "swarm", "pause", execution["id"], "--reason", "Lunch.", "--json")
    out, err = process.communicate(timeout=LONG_S)

    assert (paused.returncode, process.returncode) == (0, 1)
    assert json.loads(out)["paused"]["reason"] == "Lunch."
    assert "Paused by command line. Lunch. To go on: manage.py swarm resume" in err

    with SimulatorServer(SimulatorOptions(latency_s=0.01)) as fast:
        environment["SWARM_CHAT_BASE_URL"] = fast.base_url
        resumed = run(environment, "swarm", "resume", execution["id"], "--json")
        again = run(environment, "swarm", "resume", execution["id"])
    assert (resumed.returncode, json.loads(resumed.stdout)["status"]) == (0, "completed"), resumed.stderr
    assert (again.returncode, "is completed, but not paused" in again.stderr) == (2, True)


def test_execute_ends_and_says_so_when_the_reason_of_all_failures_lies_outside(environment: dict[str, str]) -> None:
    environment["SWARM_CHECK_COMMAND"] = "no-such-program-anywhere --fast"

    done = run(environment, *EXECUTE)

    assert done.returncode == 1
    assert json.loads(done.stdout)["paused"]["code"] == "check_command_missing"
    assert "no-such-program-anywhere: not found" in done.stderr
    assert "manage.py swarm resume" in done.stderr


def test_a_node_of_another_execution_is_not_cancelled(environment: dict[str, str]) -> None:
    first = json.loads(run(environment, "swarm", "execute", "2.3", "--json").stdout)
    second = json.loads(run(environment, "swarm", "execute", "3.3", "--json").stdout)

    refused = run(environment, "swarm", "cancel", first["id"], "--node", second["nodes"][0]["id"])

    assert refused.returncode == 2
    assert "has no node" in refused.stderr
