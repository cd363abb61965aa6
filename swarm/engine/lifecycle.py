"""Starts, cancels and retries executions: the one door for page, JSON API and command line."""

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
from swarm.engine.closing import cancel_node
from swarm.engine.errors import NothingToRetry, UnusableRequest
from swarm.engine.executor import executor
from swarm.engine.planning import plan_run
from swarm.engine.running import running_nodes
from swarm.events.record import recording
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
    together, `node_token_budget` for each of them, all its attempts together.
    """

    stories: Sequence[str]
    depends_on: Mapping[str, Sequence[str]] = field(default_factory=dict)
    developers: int | None = None
    max_attempts: int | None = None
    on_conflict: str = Execution.OnConflict.WAIT
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


def cancel(execution_id: uuid.UUID) -> Execution:
    """Tell an execution to stop; its waiting nodes end at once, the running ones as soon as they notice.

    Raises `Execution.DoesNotExist`, and `WrongStatus` if it has ended; asking again is no error.
    """
    with recording(execution_id) as record:
        record.execution.request_cancel()
        for node in record.execution.nodes.filter(status=Node.Status.PENDING):
            cancel_node(record, node)
        running = list(record.execution.nodes.filter(status=Node.Status.RUNNING).values_list("pk", flat=True))
    running_nodes.cancel(running, "The execution was cancelled.")
    return Execution.objects.get(pk=execution_id)


def retry(execution_id: uuid.UUID, nodes: Sequence[uuid.UUID] | None = None) -> Execution:
    """Run nodes again, from the start: the failed ones, or those named of the failed and cancelled ones.

    With a node runs what it depends on, unless that is done: it could not start otherwise.

    Raises `Execution.DoesNotExist`, `NothingToRetry`, and `WrongStatus` while the execution still runs.
    """
    with recording(execution_id) as record:
        execution = record.execution
        candidates = execution.nodes.failed() if nodes is None else execution.nodes.filter(pk__in=nodes)
        chosen = list(candidates)
        if not chosen or (nodes is not None and len(chosen) < len(set(nodes))):
            raise NothingToRetry(
                "No failed node is there to retry." if nodes is None else "Some nodes are not of this run."
            )
        execution.reopen()
        chosen = _with_dependencies(execution, chosen)
        for node in chosen:
            node.retry(execution.max_attempts)
        record("swarm:started", stories=[node.story_id for node in chosen], branch=execution.branch, retried=True)
    dispatch(execution_id)
    return execution


def shut_down() -> None:
    """Stop the nodes of this process, back into the queue for another, and wait until they have ended."""
    executor.close(lambda: running_nodes.cancel_all("The process is stopping."))


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


def _earlier(user: User | None, key: str) -> Execution | None:
    return Execution.objects.filter(created_by_id=user.pk if user else None, idempotency_key=key).first()


def _with_dependencies(execution: Execution, chosen: Sequence[Node]) -> list[Node]:
    """The chosen nodes and what they wait for, one behind another, that is not done; by number."""
    wanted = {node.story_id for node in chosen}
    found = {node.pk: node for node in chosen}
    # Whatever a node depends on has a lower number.
    for node in execution.nodes.exclude(status=Node.Status.COMPLETED).order_by("-number"):
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
