"""Runs a node from its start to its end: attempts, what follows from an error, and the wait between two tries."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from itertools import count
from pathlib import Path

import structlog
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.engine.closing import complete_if_landed, fail_node
from swarm.engine.conversation import Conversation
from swarm.engine.developer import develop
from swarm.engine.environment import DATABASE_AWAY, environmental_error, once_database_is_back
from swarm.engine.errors import DatabaseAway, InternalError, NodeTimedOut, UnknownStory, WorkerStopped
from swarm.engine.lessons import lessons_of
from swarm.engine.prompt import first_message, resumption
from swarm.engine.resume import CannotResume, take_up
from swarm.engine.retry_policy import Retry, decide
from swarm.engine.running import CANCELLED, lease, running_nodes
from swarm.engine.stopping import end_stopped, measure_stop, order_to_cancel
from swarm.engine.timesheet import Timesheet, progress_data
from swarm.engine.work import Work
from swarm.errors import Cancelled, SwarmError
from swarm.events.record import recording
from swarm.locks.claims import release_claims
from swarm.locks.errors import DeadlockVictim
from swarm.models import Activity, Call, Execution, Node, Period, WrongStatus
from swarm.stories.reader import read_story
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot

log = structlog.get_logger(__name__)


def run_node(node_id: uuid.UUID) -> bool:
    """Run the node whose turn it is in the execution of this one to its end; False if none is to start now.

    Threads may come in any order; which node starts is settled by the nodes' numbers, that is by the plan.
    """
    node = _take_next(Node.objects.values_list("execution_id", flat=True).get(pk=node_id))
    if node is None:
        return False
    log.info("node.started", execution=str(node.execution_id), node=str(node.pk), story=node.story_id)
    with running_nodes.registered(node) as cancellation:
        _run(node, cancellation)
    log.info(
        "node.ended", execution=str(node.execution_id), node=str(node.pk), status=node.status, error=node.error_code
    )
    return True


def _take_next(execution_id: uuid.UUID) -> Node | None:
    """Take the next node that may start, if the execution has a developer free; its row decides races."""
    with recording(execution_id) as record:
        execution = record.execution
        is_free = execution.nodes.filter(status=Node.Status.RUNNING).count() < execution.developers
        if execution.cancel_requested_at or execution.paused_at or not is_free:
            return None
        node = execution.nodes.select_related("execution").next_to_start()
        if node is None:
            return None
        if execution.status == Execution.Status.PENDING:
            execution.start()
        node.start(lease_expires_at=now() + lease())
        record("swarm:node-started", node, **progress_data(node))
    return node


def _run(node: Node, cancellation: Cancellation) -> None:
    timesheet = Timesheet(node, cancellation)
    try:
        try:
            _work_to_the_end(node, timesheet, cancellation)
        except Cancelled:
            _stop(node, timesheet, cancellation, WorkerStopped("Its process was stopped; another takes it up."))
        except DATABASE_AWAY as error:
            log.warning("node.without_database", node=str(node.pk), error=str(error))
            _stop(node, timesheet, cancellation, DatabaseAway("The database was away; it goes on where it was."))
    except WrongStatus as error:
        # Somebody else has ended the node or taken it up; what it held was released with that.
        log.warning("node.taken_away", node=str(node.pk), reason=error.message)


def _work_to_the_end(node: Node, timesheet: Timesheet, cancellation: Cancellation) -> None:
    """Make attempts until one succeeds or no further one may be made. Raises `Cancelled` and `WrongStatus`."""
    deadline_s = time.monotonic() + node.execution.node_timeout_s - Period.objects.seconds_of(node)
    _notice_early_cancel(node, cancellation)
    for failures in count(1):
        if _has_landed(node, timesheet):
            return
        error = _try_once(node, timesheet, cancellation, deadline_s)
        if error is None:
            return
        retry = decide(
            error,
            failures=failures,
            attempts_left=node.max_attempts - node.attempt,
            has_answered=Call.objects.answered(node.execution_id).exists(),
        )
        if retry and retry.delay_s >= deadline_s - time.monotonic():
            retry, error = None, _out_of_time(node, error)
        if retry is None:
            with recording(node.execution_id) as record:
                timesheet.close()
                fail_node(record, node, error)
            return
        _prepare_next_try(node, timesheet, error, retry)
        if isinstance(error, DeadlockVictim):
            _let_others_end(error, cancellation, deadline_s)
        cancellation.wait(retry.delay_s)


def _has_landed(node: Node, timesheet: Timesheet) -> bool:
    """Whether an earlier attempt had brought the story onto the branch, in which case the node has ended with that."""
    if node.attempt == 1:
        return False
    with recording(node.execution_id) as record:
        if complete_if_landed(record, node):
            timesheet.close()
            return True
    return False


def _stop(node: Node, timesheet: Timesheet, cancellation: Cancellation, why: SwarmError) -> None:
    """End a node that was cancelled, let it rest, or put it back for another process or a better time."""

    def stop() -> None:
        with recording(node.execution_id) as record:
            order = order_to_cancel(record.execution, node)
            stopped = measure_stop(order, timesheet.activity, cancellation) if order else None
            timesheet.close()
            end_stopped(record, node, why, stopped)

    once_database_is_back(stop)


def _notice_early_cancel(node: Node, cancellation: Cancellation) -> None:
    """A cancel between taking the node and registering it found nobody to tell."""
    node.execution.refresh_from_db(fields=["cancel_requested_at"])
    if node.execution.cancel_requested_at:
        cancellation.cancel(CANCELLED)
    cancellation.raise_if_cancelled()


def _try_once(node: Node, timesheet: Timesheet, cancellation: Cancellation, deadline_s: float) -> SwarmError | None:
    """Go through with the attempt that has begun; None when the story stands on the branch, otherwise why not."""
    try:
        work = _prepare(node, timesheet, cancellation, deadline_s)
        develop(work, _conversation(work))
    except (Cancelled, WrongStatus, *DATABASE_AWAY):
        raise
    except SwarmError as error:
        return error
    except Exception as error:
        if named := environmental_error(error, Path(node.execution.workspace)):
            return named
        # The top of a developer's thread: a defect ends this node and no other.
        log.exception("node.crashed", execution=str(node.execution_id), node=str(node.pk))
        return InternalError(f"Swarm failed with {type(error).__name__}; the server's log has the details. Report it.")
    return None


def _prepare(node: Node, timesheet: Timesheet, cancellation: Cancellation, deadline_s: float) -> Work:
    execution = node.execution
    repository = Repository.open(Path(execution.workspace))
    head = repository.branch_head(execution.branch)
    story = read_story(repository.read_file(head, node.story_path) or b"", node.story_path, on_board=True)
    if story is None:
        raise UnknownStory(f"{node.story_path} is no longer a story on branch {execution.branch}.")
    return Work(
        node=node,
        execution=execution,
        story=replace(story, id=node.story_id),  # a plan may have named it otherwise than its file does
        repository=repository,
        snapshot=Snapshot(repository, head),
        timesheet=timesheet,
        cancellation=cancellation,
        deadline_s=deadline_s,
    )


def _conversation(work: Work) -> Conversation:
    """What the attempt is to go on with, if that is possible; a new conversation otherwise."""
    node = work.node
    if node.conversation < node.attempt:
        conversation = _resume(work)
        if conversation is not None:
            return conversation
    conversation = Conversation(node)
    conversation.add(
        first_message(
            story_path=work.story.path,
            story_text=work.story.text,
            paths=work.snapshot.list_files(),
            lessons=lessons_of(node),
        )
    )
    return conversation


def _resume(work: Work) -> Conversation | None:
    """Take the node's recorded conversation up; if that cannot be, let go of what it held, and tell."""
    node = work.node
    try:
        conversation = take_up(work)
    except CannotResume as error:
        with recording(node.execution_id) as record:
            record("swarm:node-retrying", node, **progress_data(node), error=_told(error))
        conversation = None
    if conversation is None:
        with recording(node.execution_id) as record:
            node.start_over()
            release_claims(record, node)
        return None
    if node.started_at and conversation.count_since(node.started_at) == 0:
        # A person had it retried from there, so it had failed or been cancelled.
        conversation.add(resumption(lessons_of(node)))
    return conversation


def _out_of_time(node: Node, error: SwarmError) -> NodeTimedOut:
    return NodeTimedOut(
        f"Of the {node.execution.node_timeout_s:.0f} s that the node may take too few are left for another attempt; "
        f"the last one ended with {error.code}: {error.message}"
    )


def _prepare_next_try(node: Node, timesheet: Timesheet, error: SwarmError, retry: Retry) -> None:
    """Roll the attempt back, with all that it held, and begin the next one."""
    timesheet.enter(Activity.IDLE, f"attempt {node.attempt} failed ({error.code}); the next one starts soon")
    with recording(node.execution_id) as record:
        record("swarm:node-retrying", node, **progress_data(node), error=_told(error))
        if not retry.is_charged:
            node.allow_attempt()
        node.begin_attempt()
        release_claims(record, node)


def _let_others_end(error: DeadlockVictim, cancellation: Cancellation, deadline_s: float) -> None:
    """Wait for the other nodes of a deadlock: before they end it could only come about again."""
    while time.monotonic() < deadline_s and Node.objects.active().filter(pk__in=error.others).exists():
        cancellation.wait(0.5)


def _told(error: SwarmError) -> dict[str, str]:
    return {"code": error.code, "message": error.message}
