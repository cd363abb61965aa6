"""A full disk, a workspace that may not be written or is gone, checks that hang or are missing: named and survived."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from swarm.engine import evidence, integration
from swarm.engine.environment import environmental_error, once_database_is_back
from swarm.engine.executor import executor
from swarm.engine.lifecycle import resume
from swarm.models import Call, CheckRun, Event, Execution, Node, Turn
from swarm.workspace.errors import WorkspaceReadOnly
from tests.chat.server import Exchange
from tests.main_job import MainJob, node_of, play, report_of


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of its own for checkouts, which can be filled and made read-only."""
    folder = Path(tempfile.mkdtemp(prefix="swarm-small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a file system needs rights that this user lacks")
    monkeypatch.setattr(evidence, "CHECKOUTS", folder / "checkouts")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(path: Path) -> None:
    """Write to `path` until the disk takes no more."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def paused_code(execution: Execution) -> str:
    executor.drain()
    paused = report_of(execution)["paused"]
    assert paused is not None
    return paused["code"]


def test_a_full_disk_stops_the_execution_by_name_and_room_on_it_mends_that(main_job: MainJob, small_disk: Path) -> None:
    fill(small_disk / "filler")
    execution = main_job.start("1.1", "2.3", "3.3")
    assert paused_code(execution) == "disk_full"

    (small_disk / "filler").unlink()
    resume(execution.pk)
    executor.drain()
    assert report_of(execution)["status"] == Execution.Status.COMPLETED


def test_a_folder_for_checkouts_that_cannot_be_written_stops_it_by_name(main_job: MainJob, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert paused_code(main_job.start("1.1")) == "workspace_read_only"


def test_a_repository_that_is_gone_stops_it_by_name(main_job: MainJob) -> None:
    def remove_then_play(exchange: Exchange) -> None:
        shutil.rmtree(main_job.workspace, ignore_errors=True)
        play(exchange)

    main_job.behaviours["1.1"] = remove_then_play
    assert paused_code(main_job.start("1.1")) == "not_a_repository"


def test_an_execution_does_not_start_in_a_workspace_that_is_read_only(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pygit2.Repository.create_reference_direct", refuse)
    with pytest.raises(WorkspaceReadOnly, match="let this user write there"):
        main_job.start("1.1")
    assert not Execution.objects.exists()


def test_a_defect_is_not_blamed_on_the_environment(main_job: MainJob) -> None:
    assert environmental_error(ZeroDivisionError(), main_job.workspace) is None


def test_checks_that_hang_are_killed_told_and_counted_as_failed(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = "echo before; sleep 600"
    settings.SWARM_CHECK_TIMEOUT = 0.2

    main_job.run("2.3", max_attempts=1)

    answers = [str(answer["content"]) for turn in Turn.objects.all() for answer in turn.results]
    told = {answer for answer in answers if "check_timeout" in answer}.pop()
    assert told.startswith("Error: check_timeout. `echo before; sleep 600` was killed after 0 s (SWARM_CHECK_TIMEOUT)")
    assert "before" in told
    assert set(CheckRun.objects.values_list("exit_status", flat=True)) == {-9}


def test_checks_that_take_the_rest_of_a_nodes_time_end_it_as_timed_out(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = "sleep 600"

    node = node_of(main_job.run("2.3", node_timeout=1.5), "2.3")

    assert node["error"] is not None
    assert node["error"]["code"] == "node_timeout"


def test_a_call_that_hangs_ends_at_its_deadline(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CALL_TIMEOUT = 0.3
    main_job.behaviours["2.3"] = lambda exchange: main_job.model.is_closing.wait(60) and exchange.hang_up()

    main_job.run("2.3", node_timeout=2)

    assert "upstream_timeout" in Call.objects.values_list("outcome", flat=True)
    assert Node.objects.get().status == Node.Status.FAILED


def test_a_script_of_the_workspace_may_be_missing_until_the_story_has_written_it(
    main_job: MainJob, settings: Any
) -> None:
    settings.SWARM_CHECK_COMMAND = "./check-of-the-story.sh"

    main_job.run("2.3", max_attempts=1)

    assert "check_command_missing" not in Node.objects.values_list("error_code", flat=True)


# The database


def failing(times: int) -> Callable[[], str]:
    left = [OperationalError("gone")] * times

    def do() -> str:
        if left:
            raise left.pop()
        return "done"

    return do


@pytest.mark.django_db
def test_what_needs_the_database_is_done_once_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.engine.environment.RECONNECT_S", 0.0)
    assert once_database_is_back(failing(3)) == "done"


def test_a_node_whose_statement_fails_is_put_back_and_finished(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once, build = failing(1), integration.build_commit
    monkeypatch.setattr(integration, "build_commit", lambda *args, **options: fail_once() and build(*args, **options))

    execution = main_job.run("2.3", max_attempts=1)

    assert execution["status"] == Execution.Status.COMPLETED
    [event] = Event.objects.filter(type="swarm:node-retrying")
    assert event.data["error"]["code"] == "database_away"
