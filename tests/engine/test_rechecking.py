"""Checking again on top of what others have committed, and what happens if claims fail."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.locks.claims import Claim
from swarm.models import CheckRun, Event, Node
from tests.engine.scripts import FINISH, TICKS, answers, script, wait_for_commit, write
from tests.main_job import MainJob, node_of

UNITS = "larder/units.py"
CHECK = f"! grep -q BREAKS {UNITS} || test -f fix.py || test $SWARM_STORY = 1.2"
"""Story 1.2 breaks what others build on, and does not notice."""


@pytest.fixture
def broken_by_another(main_job: MainJob, settings: Any) -> MainJob:
    """Story 1.1 reads a file, is checked, and finishes once story 1.2 has changed that file on the branch."""
    settings.SWARM_CHECK_COMMAND = CHECK
    main_job.behaviours["1.1"] = script(
        [("read_file", {"path": UNITS}), write("a.py", "a = 1\n"), ("run_checks", {})],
        FINISH,
        [write("fix.py", "fixed = True\n"), ("finish", {"summary": "fixed"})],
        before={1: lambda: wait_for_commit(main_job)},
    )
    main_job.behaviours["1.2"] = script([write(UNITS, "BREAKS = True\n"), *FINISH])
    return main_job


def runs_of(story: str) -> list[bool]:
    return [run.has_passed for run in CheckRun.objects.filter(node__story_id=story).order_by("id")]


def test_a_story_that_others_broke_is_checked_on_top_of_them_and_sent_back_to_mend(broken_by_another: MainJob) -> None:
    execution = broken_by_another.run("1.1", "1.2", max_attempts=1)

    assert execution["options"]["recheck"] is True
    assert execution["progress"]["completed"] == 2
    refusal = next(answer for answer in answers("1.1") if "checks_failed" in answer)
    assert refusal.startswith(f"Error: checks_failed. Other stories have changed {UNITS} since you read it;")
    assert runs_of("1.1") == [True, False, True]
    assert broken_by_another.file(execution, "fix.py") == "fixed = True\n"
    last = CheckRun.objects.filter(node__story_id="1.1").last()
    assert last is not None
    assert last.on_commit == node_of(execution, "1.2")["commit"]


def test_without_recheck_the_commit_goes_on_top_of_the_others_unchecked(broken_by_another: MainJob) -> None:
    execution = broken_by_another.run("1.1", "1.2", max_attempts=1, recheck=False)

    assert execution["options"]["recheck"] is False
    assert execution["progress"]["completed"] == 2
    assert runs_of("1.1") == [True]
    assert broken_by_another.file(execution, UNITS) == "BREAKS = True\n"
    assert broken_by_another.file(execution, "a.py") == "a = 1\n"


def test_a_story_that_did_not_read_what_others_changed_is_not_checked_again(broken_by_another: MainJob) -> None:
    broken_by_another.behaviours["1.1"] = script(
        [write("a.py", "a = 1\n"), ("run_checks", {})],
        FINISH,
        before={1: lambda: wait_for_commit(broken_by_another)},
    )

    assert broken_by_another.run("1.1", "1.2", max_attempts=1)["progress"]["completed"] == 2
    assert runs_of("1.1") == [True]


def test_an_edit_that_claims_did_not_guard_is_refused_loudly_and_nothing_is_lost(
    main_job: MainJob, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SWARM_CHECK_COMMAND = ""
    monkeypatch.setattr(
        "swarm.engine.work.claim_paths", lambda node, paths, **_: [Claim(path, 0, 0.0) for path in paths]
    )
    for module in ("integration", "work"):
        monkeypatch.setattr(f"swarm.engine.{module}.check_claims", lambda node, claims: None)
    main_job.behaviours["1.1"] = script(
        [write(UNITS, "mine = 1\n"), *TICKS],
        [("finish", {"summary": "done"})],
        before={1: lambda: wait_for_commit(main_job)},
    )
    main_job.behaviours["1.2"] = script([write(UNITS, "theirs = 1\n"), *FINISH])

    execution = main_job.run("1.1", "1.2", max_attempts=1)

    error = node_of(execution, "1.1")["error"]
    assert error is not None
    assert (error["code"], node_of(execution, "1.2")["status"]) == ("lost_update", Node.Status.COMPLETED)
    assert UNITS in error["message"]
    assert "claims.broken" in caplog.text
    assert main_job.file(execution, UNITS) == "theirs = 1\n"
    assert Event.objects.filter(type="swarm:node-failed").count() == 1
