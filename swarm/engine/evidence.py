"""Runs the check command on a node's work and keeps the result as a row."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

from swarm.engine.work import Work
from swarm.models import Activity, CheckRun
from swarm.workspace.checkout import checked_out
from swarm.workspace.checks import run_checks

CHECKOUTS = Path(tempfile.gettempdir()) / "swarm-checkouts"


def check(work: Work, *, commit: str) -> CheckRun | None:
    """Run the checks on `commit` with the node's changes; None if no check command is set.

    The command finds the story's id in the environment variable SWARM_STORY.
    """
    command = settings.SWARM_CHECK_COMMAND
    if not command:
        return None
    work.timesheet.enter(Activity.CHECKING, command)
    environment: Mapping[str, str] = {"SWARM_STORY": work.story.id}
    with checked_out(work.repository, commit=commit, changes=work.snapshot.changes, root=CHECKOUTS) as directory:
        result = run_checks(
            command,
            directory,
            environment=environment,
            timeout_s=work.remaining_s(),
            cancellation=work.cancellation,
        )
    return CheckRun.objects.create(
        node=work.node,
        attempt=work.node.attempt,
        command=command,
        exit_status=result.exit_status,
        seconds=result.seconds,
        output=result.output,
        on_commit=commit,
    )
