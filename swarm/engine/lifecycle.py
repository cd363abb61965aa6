"""Starts, cancels, pauses, resumes and retries executions: the one door for page, JSON API and command line."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from swarm.engine.attempts import run_node
from swarm.engine.backlog import read_backlog, require_model
from swarm.engine.breaker import nodes_to_mend
from swarm.engine.closing import close_if_ended
from swarm.engine.errors import NothingToRetry, UnusableRequest
from swarm.engine.executor import executor
from swarm.engine.planning import plan_run
from swarm.engine.resume import set_aside_bad_turns
from swarm.engine.running import CANCELLED, PAUSED, running_nodes
from swarm.engine.stopping import end_cancelled, order_to_cancel, settle_claims
from swarm.events.record import Recorder, recording
from swarm.locks.claims import renew_claims
from swarm.models import Execution, Node
from swarm.stories.plan import Plan
from swarm.stories.story import Story

log = structlog.get_logger(__name__)

DEFAULT_MAX_ATTEMPTS = 3
BRANCHES = "swarm"


@dataclass(frozen=True)
class StartRequest:
    """What to run and how; None stands for the default. `node_timeout` is in seconds.

    `depends_on` names, by story, the stories that must be done before it starts. `token_budget` is for all nodes
    together, `node_token_budget` for each of them, all its attempts together. With `recheck`, a story that read files
    which others have changed is checked again on top of their work before it is committed.
    """

    stories: Sequence[str]
    depends_on: Mapping[str, Sequence[str]] = field(default_factory=dict)
    developers: int | None = None
    max_attempts: int | None = None
    on_conflict: str = Execution.OnConflict.WAIT
    recheck: bool = True
    node_timeout: float | None = None
    token_budget: int | None = None
    node_token_budget: int | None = None


def start(request: StartRequest, *, user: User | None, idempotency_key: str | None = None) -> Execution:
    """Start an execution and return it at once; its nodes run in the executor's threads.

    The same key of the same user gives the same execution. Raises `UnknownStory`, `UnusableRequest`,
    `UnusableDependencies`, `Misconfigured` and the errors of the workspace; nothing is started then.
    """
    if idempotency_key and (earlier := _earlier(user, idempotency_key)):
        return earlier
    require_model()
    _refuse_unusable(request)
    backlog = read_backlog()
    run = plan_run(backlog, request.stories, depends_on=request.depends_on, developers=request.developers)
    execution = Execution(
        created_by_id=user.pk if user else None,
        idempotency_key=idempotency_key or None,
        workspace=str(run.repository.root),
        stories_folder=backlog.folder,
        board_path=run.board_path,
        base_commit=run.head,
        head_commit=run.head,
        developers=run.developers,
        max_attempts=request.max_attempts or DEFAULT_MAX_ATTEMPTS,
        on_conflict=request.on_conflict,
        recheck=request.recheck,
        node_timeout_s=request.node_timeout or settings.SWARM_NODE_TIMEOUT,
        token_budget=request.token_budget,
        node_token_budget=request.node_token_budget,
        warnings=backlog.warnings,
    )
    execution.branch = f"{BRANCHES}/{execution.pk}"
    try:
        with transaction.atomic():
            execution.save(force_insert=True)
            nodes = [_node(execution, number, story, run.plan) for number, story in enumerate(run.stories, start=1)]
            Node.objects.bulk_create(nodes)
            with recording(execution.pk) as record:
                record("swarm:started", stories=list(run.plan.order), branch=execution.branch)
            run.repository.create_branch(execution.branch, run.head)
    except IntegrityError:
        # The same key came twice at once, and the other was first.
        if idempotency_key and (earlier := _earlier(user, idempotency_key)):
            return earlier
        raise
    log.info("execution.started", execution=str(execution.pk), stories=len(run.stories))
    execution.refresh_from_db()
    dispatch(execution.pk)
    return execution


def cancel(execution_id: uuid.UUID, *, by: str = "", reason: str = "") -> Execution:
    """Tell an execution to stop; its waiting nodes end at once, the running ones as soon as they notice.

    Raises `Execution.DoesNotExist`, and `WrongStatus` if it has ended; asking again is no error.
    """
    with recording(execution_id) as record:
        record.execution.request_cancel(by=by, reason=reason)
        for node in record.execution.nodes.filter(status=Node.Status.PENDING):
            _cancel_pending(record, node)
        if record.execution.is_active:
            close_if_ended(record)
    running_nodes.cancel(_running(execution_id), CANCELLED)
    return Execution.objects.get(pk=execution_id)


def cancel_node(node_id: uuid.UUID, *, by: str = "", reason: str = "") -> Node:
    """Tell one node to stop; a waiting one ends at once, a running one as soon as it notices. The others go on.

    Raises `Node.DoesNotExist`, and `WrongStatus` if it has ended; asking again is no error.
    """
    with recording(Node.objects.values_list("execution_id", flat=True).get(pk=node_id)) as record:
        node = record.execution.nodes.get(pk=node_id)
        node.request_cancel(by=by, reason=reason)
        if node.status == Node.Status.PENDING:
            _cancel_pending(record, node)
    running_nodes.cancel([node_id], CANCELLED)
    return Node.objects.get(pk=node_id)


def pause(execution_id: uuid.UUID, *, by: str = "", reason: str = "", keep_claims: bool = True) -> Execution:
    """Let an execution rest: no node starts, each running one stops after its turn, or in the midst of a wait.

    Its nodes keep their claims meanwhile, unless told to give them up to others. Raises `Execution.DoesNotExist`, and
    `WrongStatus` if it has ended or is being cancelled; asking again is no error.
    """
    with recording(execution_id) as record:
        if record.execution.pause(by=by, reason=reason, keeps_claims=keep_claims):
            record("swarm:paused", by=by, reason=reason, code="", claims="keep" if keep_claims else "release")
            settle_claims(record, record.execution.nodes.filter(status=Node.Status.PENDING))
    running_nodes.cancel_when_safe(_running(execution_id), PAUSED)
    return Execution.objects.get(pk=execution_id)


def resume(execution_id: uuid.UUID, *, by: str = "") -> Execution:
    """Let a paused execution go on; what failed for the reason that it was stopped for runs again.

    Raises `Execution.DoesNotExist`, and `WrongStatus` unless it is paused.
    """
    with recording(execution_id) as record:
        execution = record.execution
        mended = nodes_to_mend(execution)
        execution.resume()
        for node in mended:
            set_aside_bad_turns(node)
            node.retry(execution.max_attempts, resume=True)
        renew_claims(execution.nodes.filter(status=Node.Status.PENDING).values_list("pk", flat=True))
        record("swarm:resumed", by=by, stories=[node.story_id for node in mended])
    running_nodes.withdraw(_running(execution_id), PAUSED)
    dispatch(execution_id)
    return execution


def retry(execution_id: uuid.UUID, nodes: Sequence[uuid.UUID] | None = None, *, resume: bool = False) -> Execution:
    """Run nodes again: the failed ones, or those named of the failed, cancelled and reverted ones.

    They begin anew, or go on behind their last good turn if they are to `resume`; the latter needs their paths to be as
    they were, else they begin anew too. With a node runs what it depends on, unless that is done: it could not start
    otherwise.

    Nodes may be named while the others still run. Raises `Execution.DoesNotExist`, `NothingToRetry`, and `WrongStatus`
    while the execution is being cancelled, or still runs and no nodes are named.
    """
    with recording(execution_id) as record:
        execution = record.execution
        candidates = execution.nodes.failed() if nodes is None else execution.nodes.filter(pk__in=nodes)
        chosen = list(candidates)
        if not chosen or (nodes is not None and len(chosen) < len(set(nodes))):
            raise NothingToRetry(
                "No failed node is there to retry." if nodes is None else "Some nodes are not of this run."
            )
        if nodes is None or not execution.is_active or execution.cancel_requested_at:
            execution.reopen()
        chosen = _with_dependencies(execution, chosen)
        for node in chosen:
            if resume:
                set_aside_bad_turns(node)
            node.retry(execution.max_attempts, resume=resume)
        record("swarm:started", stories=[node.story_id for node in chosen], branch=execution.branch, retried=True)
    dispatch(execution_id)
    return execution


def shut_down(drain_s: float = 0.0) -> bool:
    """Stop the nodes of this process, back into the queue for another; False if some did not end in time.

    A turn that ends within `drain_s` seconds is brought to its end and recorded, any other is cut short.
    """

    def stop_running(is_patient: bool) -> None:
        stop = running_nodes.cancel_when_safe if is_patient else running_nodes.cancel
        stop(running_nodes.here(), "The process is stopping.")

    return executor.close(stop_running, drain_s)


def dispatch(execution_id: uuid.UUID) -> None:
    """Hand every waiting node of an execution to the executor; those that find no free developer come back later."""
    pending = Node.objects.filter(execution=execution_id, status=Node.Status.PENDING).order_by("number")
    for node_id in list(pending.values_list("pk", flat=True)):
        executor.submit(run_and_dispatch, node_id)


def run_and_dispatch(node_id: uuid.UUID) -> None:
    """Run a node and then, however it ended, hand on those that waited for its developer."""
    has_run = True
    try:
        has_run = run_node(node_id)
    finally:
        if has_run:
            dispatch(Node.objects.values_list("execution_id", flat=True).get(pk=node_id))


def _running(execution_id: uuid.UUID) -> list[uuid.UUID]:
    running = Node.objects.filter(execution=execution_id, status=Node.Status.RUNNING)
    return list(running.values_list("pk", flat=True))


def _cancel_pending(record: Recorder, node: Node) -> None:
    order = order_to_cancel(record.execution, node)
    assert order is not None  # noqa: S101  both callers have just recorded it
    end_cancelled(record, node, order)


def _earlier(user: User | None, key: str) -> Execution | None:
    return Execution.objects.filter(created_by_id=user.pk if user else None, idempotency_key=key).first()


def _with_dependencies(execution: Execution, chosen: Sequence[Node]) -> list[Node]:
    """The chosen nodes and what they wait for, one behind another, that is not done; by number."""
    wanted = {node.story_id for node in chosen}
    found = {node.pk: node for node in chosen}
    # Whatever a node depends on has a lower number.
    for node in execution.nodes.undone().order_by("-number"):
        if node.story_id in wanted:
            wanted.update(node.depends_on)
            found[node.pk] = node
    return sorted(found.values(), key=lambda node: node.number)


def _refuse_unusable(request: StartRequest) -> None:
    if request.on_conflict not in Execution.OnConflict.values:
        raise UnusableRequest(
            f"on_conflict is {request.on_conflict!r}; use {' or '.join(Execution.OnConflict.values)}."
        )
    for name in ("max_attempts", "node_timeout", "token_budget", "node_token_budget"):
        value = getattr(request, name)
        if value is not None and not value > 0:
            raise UnusableRequest(f"{name} is {value}; it must be greater than 0.")


def _node(execution: Execution, number: int, story: Story, plan: Plan) -> Node:
    return Node(
        execution=execution,
        number=number,
        story_id=story.id,
        story_title=story.title,
        story_path=story.path,
        depends_on=list(plan.waits_for[story.id]),
        predicted_files=[[file.path, file.reason] for file in plan.files[story.id]],
        tasks_total=story.tasks_total,
        tasks_done=story.tasks_done,
        max_attempts=execution.max_attempts,
    )
