"""What becomes of files that the check command changes: formatters, caches, and worse."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.contrib.auth.models import User

from swarm.engine.report import ExecutionReport
from swarm.locks.people import lock_path
from swarm.models import CheckRun, Conflict, Node
from tests.engine.scripts import FINISH, answers, script, wait_for_commit, write
from tests.main_job import MainJob, node_of

UNITS = "larder/units.py"


def changed_paths(main_job: MainJob, execution: ExecutionReport) -> set[str]:
    """The code that the execution's only commit changes."""
    [commit] = main_job.commits(execution)
    deltas = commit.tree.diff_to_tree(commit.parents[0].tree).deltas
    return {delta.new_file.path for delta in deltas if not delta.new_file.path.startswith("_bmad-output/")}


def run(main_job: MainJob, settings: Any, command: str) -> ExecutionReport:
    """Write `a.py`, which ends its line with blanks, and finish, with `command` as the checks."""
    settings.SWARM_CHECK_COMMAND = command
    main_job.behaviours["1.1"] = script([write("a.py", "a = 1   \n"), *FINISH])
    execution = main_job.run("1.1", max_attempts=1)
    assert node_of(execution, "1.1")["status"] == Node.Status.COMPLETED, answers("1.1")
    return execution


def outputs() -> list[str]:
    return list(CheckRun.objects.order_by("id").values_list("output", flat=True))


def test_what_a_formatter_made_of_a_story_is_committed_and_has_passed_itself(main_job: MainJob, settings: Any) -> None:
    execution = run(main_job, settings, "sha256sum < a.py && sed -i 's/ *$//' a.py")

    assert main_job.file(execution, "a.py") == "a = 1\n"
    first, second = outputs()
    assert "[The command changed a.py: taken into your snapshot.]" in first
    assert second == f"{hashlib.sha256(b'a = 1' + bytes([10])).hexdigest()}  -\n"


def test_a_file_that_the_story_had_not_touched_is_claimed_and_committed_too(main_job: MainJob, settings: Any) -> None:
    execution = run(main_job, settings, f"grep -q formatted {UNITS} || echo '# formatted' >> {UNITS}")

    assert changed_paths(main_job, execution) == {"a.py", UNITS}
    assert main_job.file(execution, UNITS).endswith("# formatted\n")
    assert node_of(execution, "1.1")["files"] == ["a.py", UNITS]
    assert len(outputs()) == 2


def test_a_file_that_somebody_else_holds_is_not_kept_and_the_model_is_told(
    main_job: MainJob, settings: Any, operator: User
) -> None:
    lock_path(operator, UNITS, reason="mine", ttl_s=600)

    execution = run(main_job, settings, f"sed -i 's/ *$//' a.py; echo '# formatted' >> {UNITS}")

    assert changed_paths(main_job, execution) == {"a.py"}
    assert main_job.file(execution, "a.py") == "a = 1   \n"  # all of it or nothing
    [output] = outputs()
    assert f"[The command changed a.py, {UNITS}: not kept. {UNITS} is held by operator" in output
    assert Conflict.objects.get().outcome == Conflict.Outcome.NOTIFIED


def test_a_file_that_others_changed_meanwhile_is_taken_in_their_version(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = f'test "$SWARM_STORY" = 1.2 || echo "# formatted" >> {UNITS}'
    main_job.behaviours["1.1"] = script(
        [write("a.py", "a = 1\n")],
        [("run_checks", {})],
        FINISH,
        before={1: lambda: wait_for_commit(main_job)},
    )
    main_job.behaviours["1.2"] = script([("read_file", {"path": UNITS}), write(UNITS, "theirs = 1\n"), *FINISH])

    execution = main_job.run("1.1", "1.2", max_attempts=1)

    assert execution["progress"]["completed"] == 2
    told = answers("1.1")[1]
    assert f"The command changed {UNITS}: not kept. Another story changed {UNITS} meanwhile:" in told
    assert "+theirs = 1" in told
    assert main_job.file(execution, UNITS).startswith("theirs = 1\n")


def test_new_files_and_caches_are_dropped_without_a_word(main_job: MainJob, settings: Any) -> None:
    execution = run(main_job, settings, "mkdir .cache larder/__pycache__; touch .cache/x larder/__pycache__/y new.txt")

    assert changed_paths(main_job, execution) == {"a.py"}
    assert outputs() == [""]


def test_a_command_that_changes_a_file_in_every_run_is_run_twice_and_no_more(main_job: MainJob, settings: Any) -> None:
    execution = run(main_job, settings, f"echo '# once more' >> {UNITS}")

    assert main_job.file(execution, UNITS).count("# once more") == 1
    first, second = outputs()
    assert "taken into your snapshot" in first
    assert f"[The command changed {UNITS}: not kept. Only a first run" in second


def test_a_story_file_that_a_formatter_changed_is_the_servers_still(main_job: MainJob, settings: Any) -> None:
    execution = run(main_job, settings, "sed -i 's/ *$//' a.py; for f in _bmad-output/*/*.md; do echo x >> $f; done")

    assert main_job.file(execution, "a.py") == "a = 1\n"
    assert not main_job.file(execution, node_of(execution, "1.1")["story"]["path"]).endswith("x\n")
    assert "Only plain files that nodes may write" in outputs()[0]


@pytest.mark.parametrize(
    "command",
    [
        "rm a.py; ln -s /etc/hostname a.py",
        "rm a.py; ln -s ../../../../../etc/hostname a.py",
        "rm a.py; ln larder/units.py a.py",
        "rm a.py; mkfifo a.py",
        "rm a.py; mkdir a.py",
        "rm a.py",
        "truncate -s 2M a.py",
        "truncate -s 1T a.py",
        "mv larder away; ln -s away larder",
    ],
)
def test_what_is_no_plain_file_any_more_is_not_kept(main_job: MainJob, settings: Any, command: str) -> None:
    execution = run(main_job, settings, command)

    assert changed_paths(main_job, execution) == {"a.py"}
    assert main_job.file(execution, "a.py") == "a = 1   \n"
    assert "not kept" in outputs()[0]


def test_a_command_that_replaces_its_own_folder_by_a_link_gives_nothing_away(main_job: MainJob, settings: Any) -> None:
    execution = run(main_job, settings, 'cd .. && mv workspace away && ln -s "$HOME" workspace')

    assert changed_paths(main_job, execution) == {"a.py"}


def test_what_failing_checks_changed_is_dropped(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = "sed -i 's/ *$//' a.py; test -f b.py"
    main_job.behaviours["1.1"] = script(
        [write("a.py", "a = 1   \n"), ("run_checks", {}), ("read_file", {"path": "a.py"})],
        [write("b.py", "b = 1\n"), *FINISH],
    )

    execution = main_job.run("1.1", max_attempts=1)

    assert answers("1.1")[2] == "a = 1   \n"
    assert main_job.file(execution, "a.py") == "a = 1\n"
