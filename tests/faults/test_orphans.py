"""What a killed server was running does not outlive it for long."""

from __future__ import annotations

from pathlib import Path

from swarm.simulator.workspace import CHECK_COMMAND
from tests.faults.databases import Databases
from tests.faults.processes import processes_of
from tests.faults.world import world


def test_checks_that_hang_are_ended_when_their_killed_server_is_started_again(
    tmp_path: Path, world_databases: Databases
) -> None:
    flag = tmp_path / "checks-may-end"
    hanging = {"SWARM_CHECK_COMMAND": f"test -e {flag} || sleep 600; {CHECK_COMMAND}"}
    with world(tmp_path, world_databases, "sqlite", settings=hanging) as made:
        made.execute("serve")
        made.wait_until(lambda: "sleep 600" in processes_of(tmp_path).values(), "no check has begun")
        for process in made.living:
            process.kill()
        flag.touch()

        made.wait_for_end()
        made.stop()

        assert processes_of(tmp_path) == {}
        assert made.judge()["problems"] == []
