"""A path that a node waited for and that came back changed: the newest version first, and the model is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from swarm.engine.report import ExecutionReport
from swarm.models import Conflict
from tests.engine.scripts import FINISH, Call, answers, script, write
from tests.factories import PATIENCE_S, in_thread, wait_until
from tests.main_job import MainJob

UNITS = "larder/units.py"
THEIRS = "theirs = 1\nkept = 2\n"
Run = Callable[..., ExecutionReport]


@pytest.fixture
def wait_and_do(main_job: MainJob, settings: Any) -> Run:
    """Runs the turns of story 1.1, whose first call waits for what story 1.2 then commits."""
    settings.SWARM_CHECK_COMMAND = ""
    held = threading.Event()

    def until_the_other_waits() -> None:
        held.set()
        in_thread(lambda: wait_until(Conflict.objects.waiting().exists)).result(PATIENCE_S)

    def run(*turns: Sequence[Call]) -> ExecutionReport:
        main_job.behaviours["1.1"] = script(*turns, before={0: lambda: held.wait(PATIENCE_S)})
        main_job.behaviours["1.2"] = script(
            [write(UNITS, THEIRS), write("read.py", "new = 1\n")], FINISH, before={1: until_the_other_waits}
        )
        report = main_job.run("1.1", "1.2", max_attempts=1)
        assert report["progress"]["completed"] == 2, answers("1.1")
        return report

    return run


def edit(old_text: str) -> Call:
    return "edit_file", {"path": UNITS, "old_text": old_text, "new_text": "mine"}


def test_an_edit_is_made_on_the_newest_version_and_the_model_is_shown_what_changed(
    main_job: MainJob, wait_and_do: Run
) -> None:
    execution = wait_and_do([edit("kept"), *FINISH])

    told = answers("1.1")[0]
    assert told.startswith(f"{UNITS} is changed in your snapshot.\nAnother story changed {UNITS} meanwhile:")
    assert "+theirs = 1" in told
    assert main_job.file(execution, UNITS) == "theirs = 1\nmine = 2\n"


def test_an_edit_that_does_not_fit_any_more_says_so_and_what_changed(main_job: MainJob, wait_and_do: Run) -> None:
    execution = wait_and_do([edit("was there before")], [edit("kept"), *FINISH])

    refused = answers("1.1")[0]
    assert refused.startswith("Error: file_changed. ")
    assert "+theirs = 1" in refused
    assert "Your edit does not fit any more" in refused
    assert main_job.file(execution, UNITS) == "theirs = 1\nmine = 2\n"


@pytest.mark.parametrize("call", [write(UNITS, "mine = 1\n"), ("delete_file", {"path": UNITS})])
def test_a_whole_file_is_not_overwritten_before_the_model_has_seen_what_changed(
    main_job: MainJob, wait_and_do: Run, call: Call
) -> None:
    execution = wait_and_do([call], [write(UNITS, f"{THEIRS}mine = 3\n"), *FINISH])

    refused = answers("1.1")[0]
    assert refused.startswith("Error: file_changed. ")
    assert "+theirs = 1" in refused
    assert "Nothing was written. You hold the path now" in refused
    assert main_job.file(execution, UNITS) == f"{THEIRS}mine = 3\n"


def test_files_that_the_model_had_read_and_that_changed_too_are_named(wait_and_do: Run) -> None:
    wait_and_do([("read_file", {"path": "read.py"}), edit("kept"), *FINISH])

    missing, told = answers("1.1")[:2]
    assert missing.startswith("Error: no_such_file. ")
    assert "Also changed since you read them: read.py." in told
