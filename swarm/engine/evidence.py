"""Runs the check command on a node's work, takes in what a formatter in it changed, and keeps the result as a row."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings

from swarm.engine.errors import CheckCommandMissing
from swarm.engine.rewritten import drop, take_in
from swarm.engine.work import Shown, Work
from swarm.models import Activity, CheckRun
from swarm.workspace.checkout import checked_out, make_private, remove_leftovers, rewritten_files
from swarm.workspace.checks import run_checks
from swarm.workspace.errors import Refused
from swarm.workspace.mutex import exclusive


class CheckTimedOut(Refused):
    """The checks took longer than one run of them may."""

    code = "check_timeout"


COMMAND_NOT_FOUND = 127
"""The shell's exit status, also for a program that the command itself runs."""
CHECKOUTS = Path(tempfile.gettempdir()) / f"swarm-checkouts-{os.getuid()}"
_PAUSE_S = 0.02


def check(work: Work, *, may_take: bool = True) -> CheckRun | None:
    """Run the checks on the node's snapshot and note if they pass; None if no check command is set.

    The command finds the story's id in the environment variable SWARM_STORY. Files that a passing command has changed
    are taken into the snapshot, which then is another than the one that passed, unless `may_take` is off. Raises
    `CheckTimedOut`, for the model to mend, `CheckCommandMissing`, and `NodeTimedOut` if the checks took the rest of the
    node's time.
    """
    command = settings.SWARM_CHECK_COMMAND
    if not command:
        return None
    environment: Mapping[str, str] = {"SWARM_STORY": work.story.id}
    commit, changes = work.snapshot.base, dict(work.snapshot.changes)
    rewritten: Mapping[str, bytes | None] = {}
    with _checkout(work, commit, changes) as directory:
        result = run_checks(
            command,
            directory,
            environment=environment,
            timeout_s=min(work.remaining_s(), settings.SWARM_CHECK_TIMEOUT),
            cancellation=work.cancellation,
        )
        if result.exit_status == 0:
            rewritten = rewritten_files(work.repository, commit=commit, changes=changes, directory=directory)
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
        run.output += take_in(work, rewritten) if may_take else drop(rewritten, "Only a first run may change files.")
        run.save(update_fields=["output"])
    return run


def _is_missing(command: str) -> bool:
    """Whether the command's program is not installed. One named with a folder may be for the story to write."""
    program = command.split()[0]
    return "/" not in program and shutil.which(program) is None


@contextmanager
def _checkout(work: Work, commit: str, changes: Mapping[str, bytes | None]) -> Iterator[Path]:
    """A checkout, made when no other is being made of this repository: the disk is the limit, and a wait no work."""

    def pause() -> None:
        work.timesheet.enter(Activity.WAITING_FOR_LOCK, "another checkout is being made")
        work.cancellation.wait(_PAUSE_S)
        work.remaining_s()

    remove_leftovers(CHECKOUTS)
    make_private(CHECKOUTS)
    name = hashlib.sha256(os.fsencode(work.repository.root)).hexdigest()[:16]
    with ExitStack() as stack:
        with exclusive(CHECKOUTS / f"{name}.mutex", pause=pause):
            work.timesheet.enter(Activity.CHECKING, settings.SWARM_CHECK_COMMAND)
            made = checked_out(work.repository, commit=commit, changes=changes, root=CHECKOUTS)
            directory = stack.enter_context(made)
        yield directory


class NothingToShow(Refused):
    """A node wanted to tick a task although nothing had happened since it ticked the one before."""

    code = "nothing_to_show"


def demand_evidence(work: Work) -> None:
    """Raise `NothingToShow` unless the node changed something, or its checks passed, since it last ticked tasks.

    Tasks that are ticked in one turn may rest on the same change. Without a check command, any change at all will do:
    there is nothing else to show for a task whose work was done with an earlier one's.
    """
    shown = Shown(work.turn, dict(work.snapshot.changes), work.proven)
    is_new = shown.changes != work.shown.changes or shown.proven is not work.shown.proven
    is_enough = is_new or shown.turn == work.shown.turn or (shown.changes and not settings.SWARM_CHECK_COMMAND)
    if not is_enough:
        raise NothingToShow(
            "Nothing was changed and no check has passed since you last ticked a task. Do the task first; if its work "
            "is done already, call run_checks, and tick all tasks that are done in one message."
        )
    work.shown = shown
