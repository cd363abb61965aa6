"""Starting, watching, cancelling, pausing and retrying executions."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Header, Query, Router
from ninja.responses import Status

from swarm.api.auth import OPERATORS, name_of
from swarm.api.paging import Page, PageQuery, page_of_rows
from swarm.api.schemas import (
    CancelBody,
    EventFrame,
    PauseBody,
    PlanQuery,
    RetryBody,
    StartBody,
)
from swarm.engine import lifecycle, report
from swarm.engine.backlog import read_backlog
from swarm.engine.plan_report import PlanReport, report_run
from swarm.engine.planning import plan_run, read_dependencies
from swarm.models import Event, Execution

router = Router(tags=["executions"])


class ExecutionQuery(PageQuery):
    status: Execution.Status | None = None


@router.post("/execute", auth=OPERATORS, response={202: report.ExecutionReport})
def execute(
    request: HttpRequest,
    response: HttpResponse,
    body: StartBody,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", pattern="^[ -~]{1,200}$")] = None,
) -> Status[Any]:
    """Start an execution and answer at once; the same `Idempotency-Key` gives the same execution."""
    asked = lifecycle.StartRequest(**body.model_dump())
    execution = lifecycle.start(asked, user=request.user, idempotency_key=idempotency_key)  # type: ignore[arg-type]
    response["Location"] = reverse("api:status", args=[execution.pk])
    return Status(202, _report(execution.pk))


@router.get("/plan", response=PlanReport)
def plan(request: HttpRequest, query: Query[PlanQuery]) -> Any:
    """How a run over these stories would start, without starting it: all that are ready if none is named."""
    backlog = read_backlog()
    named = [story.strip() for story in query.stories.split(",") if story.strip()]
    run = plan_run(
        backlog,
        named or [story.id for story in backlog.catalogue.ready()],
        depends_on=read_dependencies(query.depends_on),
        developers=query.developers,
    )
    return report_run(run)


@router.get("/executions", response=Page[report.ExecutionSummary])
def executions(request: HttpRequest, query: Query[ExecutionQuery]) -> Any:
    """All executions, newest first, without their nodes."""
    rows = Execution.objects.all()
    if query.status:
        rows = rows.filter(status=query.status)
    page = page_of_rows(rows, query, by=("created_at", "id"), newest_first=True)
    return page | {"items": report.execution_summaries(page["items"])}


@router.get("/status/{uuid:execution_id}", response=report.ExecutionReport)
def status(request: HttpRequest, execution_id: uuid.UUID) -> Any:
    """One execution with its nodes."""
    return _report(execution_id)


@router.post("/cancel/{uuid:execution_id}", auth=OPERATORS, response={202: report.ExecutionReport})
def cancel(request: HttpRequest, execution_id: uuid.UUID, body: CancelBody | None = None) -> Status[Any]:
    """Stop an execution; what its stories have committed stays. Asking twice is no error, after its end it is a 409."""
    lifecycle.cancel(execution_id, by=name_of(request), reason=body.reason if body else "")
    return Status(202, _report(execution_id))


@router.post("/pause/{uuid:execution_id}", auth=OPERATORS, response={202: report.ExecutionReport})
def pause(request: HttpRequest, execution_id: uuid.UUID, body: PauseBody | None = None) -> Status[Any]:
    """Let no node start, and each running one rest after its turn. Asking twice is no error, after its end: 409."""
    asked = body or PauseBody()
    lifecycle.pause(execution_id, by=name_of(request), reason=asked.reason, keep_claims=asked.claims == "keep")
    return Status(202, _report(execution_id))


@router.post("/resume/{uuid:execution_id}", auth=OPERATORS, response={202: report.ExecutionReport})
def resume(request: HttpRequest, execution_id: uuid.UUID) -> Status[Any]:
    """Go on; what failed for the reason that the execution was stopped for runs again. Not paused: 409."""
    lifecycle.resume(execution_id, by=name_of(request))
    return Status(202, _report(execution_id))


@router.post("/retry/{uuid:execution_id}", auth=OPERATORS, response={202: report.ExecutionReport})
def retry(request: HttpRequest, execution_id: uuid.UUID, body: RetryBody | None = None) -> Status[Any]:
    """Run failed nodes again; with `nodes`, those of the failed and cancelled ones. Nothing to retry is a 409."""
    nodes, resume = (body.nodes, body.is_resume) if body else (None, False)
    lifecycle.retry(execution_id, nodes, resume=resume)
    return Status(202, _report(execution_id))


@router.get("/events/{uuid:execution_id}", response=Page[EventFrame])
def events(
    request: HttpRequest, execution_id: uuid.UUID, query: Query[PageQuery], after: Annotated[int, Query(ge=0)] = 0
) -> Any:
    """What was recorded behind number `after`, in order."""
    execution = Execution.objects.only("id").get(pk=execution_id)
    return page_of_rows(Event.objects.after(execution.pk, after), query, by=("seq",))


def _report(execution_id: uuid.UUID) -> report.ExecutionReport:
    """The execution as it is now; its nodes may have gone on since it was started."""
    return report.execution_report(Execution.objects.get(pk=execution_id))
