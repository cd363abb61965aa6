"""One node: what it did, what it changed, what was said."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from django.db.models import Min, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from ninja import Query, Router

from swarm.api.errors import NotFound
from swarm.api.paging import Page, PageQuery, page_of_rows
from swarm.api.schemas import NodeDetail, Turn
from swarm.engine.report import node_report
from swarm.models import FileLock, Node, Period
from swarm.workspace.repository import Repository

router = Router(tags=["nodes"])


@router.get("/{uuid:node_id}", response=NodeDetail)
def node(request: HttpRequest, node_id: uuid.UUID) -> Any:
    """One node with its attempts, calls, held locks and checks."""
    row = Node.objects.get(pk=node_id)
    return {
        **node_report(row),
        "execution": row.execution_id,
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
    return page_of_rows(row.turns.all(), query, by=("id",))


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
