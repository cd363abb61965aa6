"""Brings a finished story onto the execution's branch: checks, one commit, and the node's end, one story at a time."""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.utils.timezone import now

from swarm.engine.closing import complete_node
from swarm.engine.evidence import check
from swarm.engine.landing import Landing
from swarm.engine.stopping import refuse_cancelled
from swarm.engine.work import Work
from swarm.events.record import recording
from swarm.locks.claims import check_claims
from swarm.models import Activity
from swarm.stories.board import read_board, set_board_status
from swarm.stories.story import StoryStatus
from swarm.stories.writer import Change, record_completion, set_status, tick_subtasks, tick_task
from swarm.workspace.errors import BranchLocked, Refused
from swarm.workspace.integration import advance_branch, build_commit


class FinishRefused(Refused):
    """A node wanted to finish a story that is not done; the message says what is missing."""

    code = "not_finished"


class ChecksFailed(Refused):
    """A node wanted to finish a story while its checks fail."""

    code = "checks_failed"


def finish_story(work: Work, summary: str) -> str:
    """Check the story, commit it to the execution's branch and end its node; return the commit.

    Raises `FinishRefused` or `ChecksFailed`, for the model to mend, `LockLost` and `LostUpdate`.
    """
    _refuse_unfinished(work)
    _require_proof(work)
    with _one_at_a_time(work):
        work.timesheet.enter(Activity.INTEGRATING)
        while True:
            head = work.repository.branch_head(work.execution.branch)
            _meet_head(work, head)
            commit = _build(work, head, summary)
            if _land_unless_locked(work, head, commit, summary):
                work.is_finished = True
                return commit


def _refuse_unfinished(work: Work) -> None:
    if not work.snapshot.changes:
        raise FinishRefused("Nothing has been changed yet; implement the story first.")
    open_tasks = [str(task.number) for task in work.story.tasks if not task.done and task.number not in work.ticked]
    if open_tasks:
        raise FinishRefused(
            f"Open tasks: {', '.join(open_tasks)}. Do them and tick each with complete_task, then finish again."
        )


def _require_proof(work: Work) -> None:
    """Run the checks until they have passed on these very files: twice where a formatter in them had work to do."""
    may_take = True
    while not work.is_proven:
        result = check(work, may_take=may_take)
        if result is None:
            return
        if not result.has_passed:
            raise ChecksFailed(
                f"`{result.command}` ended with exit status {result.exit_status}; mend the work and finish again.\n"
                f"{result.output}"
            )
        may_take = False


def _meet_head(work: Work, head: str) -> None:
    """Move the snapshot to the branch's head; check again there if files that the node read have changed."""
    if head == work.snapshot.base:
        return
    changed = work.advance(head)
    if not changed or not work.execution.recheck:
        return
    try:
        _require_proof(work)
    except ChecksFailed as error:
        raise ChecksFailed(
            f"Other stories have changed {', '.join(sorted(changed))} since you read it; your snapshot shows it now. "
            f"On top of that, {error.message}"
        ) from error
    work.timesheet.enter(Activity.INTEGRATING)


def _build(work: Work, head: str, summary: str) -> str:
    node, story = work.node, work.story
    return build_commit(
        work.repository,
        parent=head,
        changes={**work.snapshot.changes, **_story_files(work, head, summary)},
        author=node.name,
        message=f"{story.id} {story.title}\n\n{summary}",
        trailers={
            "Story": story.id,
            "Execution": str(work.execution.pk),
            "Node": str(node.pk),
            "Attempt": str(node.attempt),
        },
    )


def _story_files(work: Work, head: str, summary: str) -> dict[str, bytes | None]:
    """The story file with its status, tasks and record, and the board: what only the server writes."""
    story = work.story
    text = work.repository.read_file(head, story.path) or b""
    for task in story.tasks:
        text = tick_subtasks(tick_task(text, task.number), task.number)
    files = sorted(work.snapshot.changes)
    change = Change(now().date(), summary, work.node.name)
    text = record_completion(text, model=settings.SWARM_CHAT_MODEL, notes=summary, files=files, change=change)
    written: dict[str, bytes | None] = {story.path: set_status(text, StoryStatus.REVIEW)}
    board = work.repository.read_file(head, work.execution.board_path) if work.execution.board_path else None
    if board is not None and (entry := read_board(board).entry_for(story)):
        written[work.execution.board_path] = set_board_status(board, entry.key, StoryStatus.REVIEW)
    return written


def _land_unless_locked(work: Work, head: str, commit: str, summary: str) -> bool:
    """As `_land`; False also, after a while, if another git process has the branch locked."""
    try:
        return _land(work, head, commit, summary)
    except BranchLocked as error:
        work.timesheet.enter(Activity.WAITING_FOR_LOCK, error.message)
        work.cancellation.wait(min(1.0, work.remaining_s()))
        return False


def _land(work: Work, head: str, commit: str, summary: str) -> bool:
    """Move the branch and end the node together; False if another process moved the branch first.

    What ends between the two, a process or a connection, leaves a commit without a row: see `complete_if_landed`.
    Raises `WrongStatus` if the node was taken away, and `LockLost`.
    """
    with recording(work.execution.pk) as record:
        work.node.hold()
        refuse_cancelled(record, work.node)
        check_claims(work.node, work.claims)
        if not advance_branch(work.repository, work.execution.branch, expected=head, commit=commit):
            return False
        work.timesheet.close()
        complete_node(record, work.node, Landing(commit, sorted(work.snapshot.changes), summary, head=commit))
    return True


_mutexes: defaultdict[uuid.UUID, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def _one_at_a_time(work: Work) -> Iterator[None]:
    """Let one node of the execution integrate at a time; the wait is booked as waiting, not as work."""
    mutex = _mutexes[work.execution.pk]
    if not mutex.acquire(blocking=False):
        work.timesheet.enter(Activity.WAITING_FOR_LOCK, "another story is being integrated")
        while not mutex.acquire(timeout=0.2):
            work.cancellation.raise_if_cancelled()
            work.remaining_s()
    try:
        yield
    finally:
        mutex.release()
