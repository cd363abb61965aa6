"""Runs the check command on a node's work and keeps the result as a row."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

from swarm.engine.work import Work
from swarm.models import Activity, CheckRun
from swarm.workspace.checkout import checked_out
from swarm.workspace.checks import run_checks

CHECKOUTS = Path(tempfile.gettempdir()) / f"swarm-checkouts-{os.getuid()}"


def check(work: Work) -> CheckRun | None:
    """Run the checks on the node's snapshot and note if they pass; None if no check command is set.

    The command finds the story's id in the environment variable SWARM_STORY.
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
            timeout_s=work.remaining_s(),
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
    if run.has_passed:
        work.proven = commit, changes
    return run
