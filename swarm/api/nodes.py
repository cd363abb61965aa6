"""One node: what it did, what it changed, what was said; how to stop it or run it again, and how to review it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.db.models import Min, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from ninja import Query, Router
from ninja.responses import Status

from swarm.api.auth import OPERATORS, name_of
from swarm.api.branches import MAILBOX, as_download
from swarm.api.errors import NotFound
from swarm.api.paging import Page, PageQuery, page_of_rows
from swarm.api.schemas import CancelBody, NodeDetail, NodeRetryBody, RejectBody, RevertBody, Turn
from swarm.engine import delivery, lifecycle, review
from swarm.engine.report import NodeReport, node_report
from swarm.engine.stopping import proof_of_stop
from swarm.models import FileLock, Node, Period
from swarm.workspace.repository import Repository

router = Router(tags=["nodes"])


@router.get("/{uuid:node_id}", response=NodeDetail)
def node(request: HttpRequest, node_id: uuid.UUID) -> Any:
    """One node with its attempts, calls, held locks and checks."""
    return _detail(node_id)


@router.post("/{uuid:node_id}/cancel", auth=OPERATORS, response={202: NodeDetail})
def cancel(request: HttpRequest, node_id: uuid.UUID, body: CancelBody | None = None) -> Status[Any]:
    """Stop one node; the others go on. Asking twice is no error, after its end it is a 409."""
    lifecycle.cancel_node(node_id, by=name_of(request), reason=body.reason if body else "")
    return Status(202, _detail(node_id))


@router.post("/{uuid:node_id}/retry", auth=OPERATORS, response={202: NodeDetail})
def retry(request: HttpRequest, node_id: uuid.UUID, body: NodeRetryBody | None = None) -> Status[Any]:
    """Run a failed or cancelled node again, also while others of its execution run. Any other: 409."""
    execution_id = Node.objects.values_list("execution_id", flat=True).get(pk=node_id)
    lifecycle.retry(execution_id, [node_id], resume=body is not None and body.is_resume)
    return Status(202, _detail(node_id))


def _detail(node_id: uuid.UUID) -> dict[str, Any]:
    row = Node.objects.get(pk=node_id)
    return {
        **node_report(row),
        "execution": row.execution_id,
        "stopped": proof_of_stop(row),
        "proof": row.proof_id,
        "attempts": _attempts(row),
        "calls": row.call_rows.all(),
        "locks": FileLock.objects.held(now()).filter(node=row).select_related("node"),
        "checks": row.check_runs.all(),
    }


@router.get(
    "/{uuid:node_id}/diff",
    openapi_extra={"responses": {200: {"content": {"text/x-diff": {"schema": {"type": "string"}}}}}},
)
def diff(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    """The change that a completed node committed; 404 for any other."""
    row = Node.objects.select_related("execution").get(pk=node_id)
    if not row.commit:
        raise NotFound(f"{row.name} is {row.status} and has committed nothing; only completed nodes have a diff.")
    repository = Repository.open(Path(row.execution.workspace))
    change = repository.diff(repository.parent(row.commit), row.commit)
    return HttpResponse(change, content_type="text/x-diff; charset=utf-8")


@router.get("/{uuid:node_id}/transcript", response=Page[Turn])
def transcript(request: HttpRequest, node_id: uuid.UUID, query: Query[PageQuery]) -> Any:
    """The conversation, turn by turn, of all attempts."""
    row = Node.objects.only("id").get(pk=node_id)
    return page_of_rows(row.turns.defer("state"), query, by=("id",))


@router.get(
    "/{uuid:node_id}/patch",
    openapi_extra={"responses": {200: {"content": {MAILBOX: {"schema": {"type": "string"}}}}}},
)
def patch(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    """What of one story stands on the branch, as patches for `git am`; a 409 if nothing does."""
    row = Node.objects.select_related("execution").get(pk=node_id)
    return as_download(delivery.node_patches(row), delivery.file_name(row.execution, row))


@router.post("/{uuid:node_id}/approve", auth=OPERATORS, response=NodeReport)
def approve(request: HttpRequest, node_id: uuid.UUID) -> Any:
    """Say that a completed story is fine. Again is no error; a story that is worked on or was reverted is a 409."""
    return node_report(review.approve(node_id, user=request.user))  # type: ignore[arg-type]


@router.post("/{uuid:node_id}/reject", auth=OPERATORS, response={202: NodeReport})
def reject(request: HttpRequest, node_id: uuid.UUID, body: RejectBody) -> Status[Any]:
    """Have a completed story worked on again, by what the comment says, on top of what it committed."""
    node = review.reject(node_id, comment=body.comment, user=request.user)  # type: ignore[arg-type]
    return Status(202, node_report(node))


@router.post("/{uuid:node_id}/revert", auth=OPERATORS, response=NodeReport)
def revert(request: HttpRequest, node_id: uuid.UUID, body: RevertBody | None = None) -> Any:
    """Take a story's commits back by another commit; a 409 that names what builds on it, if something does."""
    comment = body.comment if body else ""
    return node_report(review.revert(node_id, comment=comment, user=request.user))  # type: ignore[arg-type]


def _attempts(row: Node) -> list[dict[str, Any]]:
    """Where the time of each attempt went, in one query."""
    attempts: dict[int, dict[str, Any]] = {}
    booked = Period.objects.filter(node=row).order_by("attempt", "activity").values("attempt", "activity")
    for period in booked.annotate(seconds=Sum("seconds"), since=Min("started_at")):
        attempt = attempts.setdefault(
            period["attempt"], {"number": period["attempt"], "started_at": period["since"], "seconds": {}}
        )
        attempt["started_at"] = min(attempt["started_at"], period["since"])
        attempt["seconds"][period["activity"]] = period["seconds"]
    return list(attempts.values())
