"""What a check leaves running in a session of its own is found and killed, and nothing else is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarm.workspace.strays import kill_strays
from tests.factories import PATIENCE_S

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that would sleep for ever."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*, cwd: Path | str = "/", home: Path | str = "/") -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sleep", "infinity"], cwd=cwd, env={"HOME": str(home)}, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_processes_that_live_or_stand_in_the_folder_are_killed(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "checkout-1"
    (folder / "workspace").mkdir(parents=True)
    strays = [start(home=folder / "home-1"), start(cwd=folder / "workspace")]
    kill_strays(folder)
    assert [stray.wait(PATIENCE_S) for stray in strays] == [-9, -9]


def test_processes_of_other_folders_live_on(tmp_path: Path, start: Start) -> None:
    for name in ("checkout-1", "checkout-10"):
        (tmp_path / name / "workspace").mkdir(parents=True)
    others = [start(home=tmp_path / "checkout-10" / "home-1"), start(cwd=tmp_path / "checkout-10" / "workspace")]
    kill_strays(tmp_path / "checkout-1")
    assert [other.poll() for other in others] == [None, None]
