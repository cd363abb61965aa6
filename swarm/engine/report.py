"""What an execution and its nodes look like from outside: the contract's objects, for page, JSON API and terminal."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from swarm.engine.parallelism import Chain, NodeTime, Parallelism, longest_chain, measure
from swarm.models import Activity, Execution, Node, Period


class Usage(TypedDict):
    """Answered calls, their tokens and, where SWARM_PRICES has their model, what they cost."""

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


class StoryReference(TypedDict):
    id: str
    title: str
    path: str


class ErrorReport(TypedDict):
    code: str
    message: str
    retryable: bool


class CancelReport(TypedDict):
    """When a cancel was asked for, by whom and why."""

    at: datetime | None
    by: str
    reason: str


class PauseReport(TypedDict):
    """Since when an execution rests, who stopped it and why; `code` is the error that its breaker found."""

    at: datetime
    by: str
    reason: str
    code: str
    claims: str


class ReviewReport(TypedDict):
    """What a person decided about a node's commit."""

    decision: str
    comment: str
    by: str
    at: datetime | None


class NodeReport(TypedDict):
    """The contract's Node; durations in seconds."""

    id: uuid.UUID
    name: str
    story: StoryReference
    depends_on: list[str]
    status: str
    activity: str
    detail: str
    progress: int
    tasks_done: int
    tasks_total: int
    attempt: int
    max_attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    work_time: float
    lock_wait: float
    budget_wait: float
    files: list[str]
    commit: str | None
    summary: str
    usage: Usage
    error: ErrorReport | None
    cancelled: CancelReport | None
    review: ReviewReport | None


class Progress(TypedDict):
    completed: int
    failed: int
    cancelled: int
    total: int


class Options(TypedDict):
    developers: int
    max_attempts: int
    on_conflict: str
    recheck: bool
    node_timeout: float
    token_budget: int | None
    node_token_budget: int | None


class ExecutionSummary(TypedDict):
    """The contract's Execution without its nodes, as lists show it; durations in seconds."""

    id: uuid.UUID
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration: float | None
    progress: Progress
    options: Options
    branch: str
    base_commit: str
    head_commit: str
    usage: Usage
    parallelism: Parallelism
    warnings: list[str]
    paused: PauseReport | None
    cancelled: CancelReport | None
    pruned_at: datetime | None
    last_seq: int


class ExecutionReport(ExecutionSummary):
    """The contract's Execution, with its nodes."""

    nodes: list[NodeReport]


def execution_report(execution: Execution) -> ExecutionReport:
    """Describe an execution with its nodes, in two queries."""
    nodes = list(execution.nodes.all())
    seconds = Period.objects.filter(node__execution=execution).seconds_by_activity()
    completed = {node.story_id for node in nodes if node.is_done}
    reports = [_node_report(node, seconds, completed) for node in nodes]
    return ExecutionReport(**_summary(execution, nodes, seconds), nodes=reports)


def execution_summaries(executions: Sequence[Execution]) -> list[ExecutionSummary]:
    """Describe executions in their order, without their nodes, in two queries however many there are."""
    nodes: dict[uuid.UUID, list[Node]] = defaultdict(list)
    for node in Node.objects.filter(execution__in=executions):
        nodes[node.execution_id].append(node)
    seconds = Period.objects.filter(node__execution__in=executions).seconds_by_activity()
    return [_summary(execution, nodes[execution.pk], seconds) for execution in executions]


def node_report(node: Node) -> NodeReport:
    """Describe one node by itself."""
    # Asked for only where it matters: most nodes wait for nobody.
    completed = node.execution.nodes.completed_stories() if node.waits_for(()) else ()
    return _node_report(node, Period.objects.filter(node=node).seconds_by_activity(), completed)


def _node_report(
    node: Node, seconds: Mapping[tuple[uuid.UUID, str], float], completed_stories: Container[str]
) -> NodeReport:
    waits_for = node.waits_for(completed_stories)
    return NodeReport(
        id=node.pk,
        name=node.name,
        story=StoryReference(id=node.story_id, title=node.story_title, path=node.story_path),
        depends_on=node.depends_on,
        status=node.status,
        activity=node.activity,
        detail=f"waits for {' and '.join(waits_for)} to be done" if waits_for else node.detail,
        progress=node.progress,
        tasks_done=node.tasks_done,
        tasks_total=node.tasks_total,
        attempt=node.attempt,
        max_attempts=node.max_attempts,
        started_at=node.started_at,
        finished_at=node.finished_at,
        duration=_seconds(node.duration),
        work_time=work_time(node, seconds),
        lock_wait=seconds.get((node.pk, Activity.WAITING_FOR_LOCK), 0.0),
        budget_wait=seconds.get((node.pk, Activity.WAITING_FOR_BUDGET), 0.0),
        files=node.files,
        commit=node.commit or None,
        summary=node.summary,
        usage=_usage([node]),
        error=ErrorReport(code=node.error_code, message=node.error_message, retryable=node.error_retryable)
        if node.error_code
        else None,
        cancelled=_cancel(node, is_over=node.status == Node.Status.CANCELLED),
        review=ReviewReport(decision=node.review, comment=node.review_comment, by=node.reviewed_by, at=node.reviewed_at)
        if node.review
        else None,
    )


def work_time(node: Node, seconds: Mapping[tuple[uuid.UUID, str], float]) -> float:
    """Seconds that the node worked: everything booked that is not a wait."""
    return sum(seconds.get((node.pk, activity), 0.0) for activity in Activity if activity not in Activity.waits())


def parallelism(
    execution: Execution, nodes: Sequence[Node], seconds: Mapping[tuple[uuid.UUID, str], float]
) -> Parallelism:
    """The NFR-1 verdict over the nodes that completed."""
    times = [
        NodeTime(node.started_at, node.finished_at, work_time(node, seconds))
        for node in nodes
        if node.status == Node.Status.COMPLETED and node.started_at and node.finished_at
    ]
    return measure(
        times,
        stories=len(nodes),
        developers=execution.developers,
        was_reopened=execution.was_reopened,
        was_paused=execution.was_paused,
        chain=_longest_chain(nodes, seconds),
    )


def _longest_chain(nodes: Sequence[Node], seconds: Mapping[tuple[uuid.UUID, str], float]) -> Chain | None:
    """The longest chain of dependencies among the completed nodes, which come by number; None if no node has any."""
    depends_on = {node.story_id: node.depends_on for node in nodes}
    if not any(depends_on.values()):
        return None
    done = (node for node in nodes if node.status == Node.Status.COMPLETED)
    return longest_chain({node.story_id: work_time(node, seconds) for node in done}, depends_on)


def _summary(
    execution: Execution, nodes: Sequence[Node], seconds: Mapping[tuple[uuid.UUID, str], float]
) -> ExecutionSummary:
    return ExecutionSummary(
        id=execution.pk,
        status=execution.status,
        created_at=execution.created_at,
        started_at=execution.started_at,
        finished_at=execution.finished_at,
        duration=_seconds(execution.duration),
        progress=_progress(nodes),
        options=Options(
            developers=execution.developers,
            max_attempts=execution.max_attempts,
            on_conflict=execution.on_conflict,
            recheck=execution.recheck,
            node_timeout=execution.node_timeout_s,
            token_budget=execution.token_budget,
            node_token_budget=execution.node_token_budget,
        ),
        branch=execution.branch,
        base_commit=execution.base_commit,
        head_commit=execution.head_commit,
        usage=_usage(nodes),
        parallelism=parallelism(execution, nodes, seconds),
        warnings=execution.warnings,
        paused=_pause(execution),
        cancelled=_cancel(execution, is_over=False),
        pruned_at=execution.pruned_at,
        last_seq=execution.last_seq,
    )


def _pause(execution: Execution) -> PauseReport | None:
    if execution.paused_at is None:
        return None
    return PauseReport(
        at=execution.paused_at,
        by=execution.paused_by,
        reason=execution.pause_reason,
        code=execution.pause_code,
        claims="keep" if execution.keeps_claims else "release",
    )


def _cancel(row: Execution | Node, *, is_over: bool) -> CancelReport | None:
    """A cancel of the row's own; one of a whole execution ends its nodes without a request to each."""
    if row.cancel_requested_at is None and not is_over:
        return None
    return CancelReport(at=row.cancel_requested_at, by=row.cancelled_by, reason=row.cancel_reason)


def _usage(nodes: Sequence[Node]) -> Usage:
    costs = [node.cost for node in nodes if node.cost is not None]
    return Usage(
        calls=sum(node.calls for node in nodes),
        prompt_tokens=sum(node.prompt_tokens for node in nodes),
        completion_tokens=sum(node.completion_tokens for node in nodes),
        cost=float(sum(costs)) if costs else None,
    )


def _progress(nodes: Sequence[Node]) -> Progress:
    statuses = [node.status for node in nodes]
    return Progress(
        completed=statuses.count(Node.Status.COMPLETED),
        failed=statuses.count(Node.Status.FAILED),
        cancelled=statuses.count(Node.Status.CANCELLED),
        total=len(nodes),
    )


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
