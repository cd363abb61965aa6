"""Where checks run: one checkout at a time is made of a repository, and none is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarm.models import Activity, Node
from swarm.workspace.mutex import exclusive
from tests.engine.scripts import FINISH, script, write
from tests.factories import wait_until
from tests.main_job import MainJob, node_of


@pytest.fixture
def checkouts(main_job: MainJob, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for checkouts of this test's own."""
    settings.SWARM_CHECK_COMMAND = "true"
    main_job.behaviours = dict.fromkeys(("1.1", "1.2"), script([write("a.py", "a = 1\n"), *FINISH]))
    monkeypatch.setattr("swarm.engine.evidence.CHECKOUTS", tmp_path / "checkouts")
    return tmp_path / "checkouts"


def test_a_checkout_waits_until_another_is_made_and_the_wait_counts_as_one(main_job: MainJob, checkouts: Path) -> None:
    main_job.run("1.1")
    [mutex] = checkouts.iterdir()  # nothing else is left

    with exclusive(mutex, pause=lambda: pytest.fail("the mutex is still held")):
        execution = main_job.start("1.2")
        wait_until(lambda: Node.objects.filter(execution=execution, activity=Activity.WAITING_FOR_LOCK).exists())
        assert list(checkouts.iterdir()) == [mutex]
    report = main_job.finish(execution)

    assert report["progress"]["completed"] == 1
    assert node_of(report, "1.2")["lock_wait"] > 0


def test_what_a_killed_process_left_is_removed_by_the_next_checkout(main_job: MainJob, checkouts: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from swarm.workspace.checkout import checked_out;"
        "from swarm.workspace.repository import Repository; repository = Repository.open(Path(sys.argv[1]));"
        "block = checked_out(repository, commit=repository.head_commit(), changes={}, root=Path(sys.argv[2]));"
        "block.__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.call([sys.executable, "-c", code, str(main_job.workspace), str(checkouts)])
    assert len(list(checkouts.iterdir())) == 2

    main_job.run("1.1")

    assert [path.suffix for path in checkouts.iterdir()] == [".mutex"]


def test_a_folder_that_others_can_reach_ends_the_story_with_a_sentence(main_job: MainJob, checkouts: Path) -> None:
    checkouts.mkdir(mode=0o755)

    error = node_of(main_job.run("1.1", max_attempts=1), "1.1")["error"]

    assert error is not None
    assert error["code"] == "unsafe_folder"
    assert f"{checkouts} is not a folder of this user alone" in error["message"]
