"""Runs the check command on a node's work and keeps the result as a row."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

from swarm.engine.errors import CheckCommandMissing
from swarm.engine.work import Work
from swarm.models import Activity, CheckRun
from swarm.workspace.checkout import checked_out
from swarm.workspace.checks import run_checks
from swarm.workspace.errors import Refused


class CheckTimedOut(Refused):
    """The checks took longer than one run of them may."""

    code = "check_timeout"


COMMAND_NOT_FOUND = 127
"""The shell's exit status, also for a program that the command itself runs."""
CHECKOUTS = Path(tempfile.gettempdir()) / f"swarm-checkouts-{os.getuid()}"


def check(work: Work) -> CheckRun | None:
    """Run the checks on the node's snapshot and note if they pass; None if no check command is set.

    The command finds the story's id in the environment variable SWARM_STORY. Raises `CheckTimedOut`, for the model to
    mend, `CheckCommandMissing`, and `NodeTimedOut` if the checks took the rest of the node's time.
    """
    command = settings.SWARM_CHECK_COMMAND
    if not command:
        return None
    work.timesheet.enter(Activity.CHECKING, command)
    environment: Mapping[str, str] = {"SWARM_STORY": work.story.id}
    commit, changes = work.snapshot.base, dict(work.snapshot.changes)
    with checked_out(work.repository, commit=commit, changes=changes, root=CHECKOUTS) as directory:
        result = run_checks(
            command,
            directory,
            environment=environment,
            timeout_s=min(work.remaining_s(), settings.SWARM_CHECK_TIMEOUT),
            cancellation=work.cancellation,
        )
    run = CheckRun.objects.create(
        node=work.node,
        attempt=work.node.attempt,
        command=command,
        exit_status=result.exit_status,
        seconds=result.seconds,
        output=result.output,
        on_commit=commit,
    )
    if result.timed_out:
        work.remaining_s()
        raise CheckTimedOut(
            f"`{command}` was killed after {result.seconds:.0f} s (SWARM_CHECK_TIMEOUT): does something in it hang?\n"
            f"{run.output}"
        )
    if run.exit_status == COMMAND_NOT_FOUND and _is_missing(command):
        raise CheckCommandMissing(f"SWARM_CHECK_COMMAND cannot be run: {run.output.strip()} Install it, or correct it.")
    if run.has_passed:
        work.proven = commit, changes
    return run


def _is_missing(command: str) -> bool:
    """Whether the command's program is not installed. One named with a folder may be for the story to write."""
    program = command.split()[0]
    return "/" not in program and shutil.which(program) is None
