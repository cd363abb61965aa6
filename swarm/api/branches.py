"""What an execution has put on its branch, and how a team takes it over: commands, patches, a merge."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router

from swarm.api.auth import OPERATORS
from swarm.api.schemas import MergeBody
from swarm.engine import delivery
from swarm.models import Execution

router = Router(tags=["branches"])

MAILBOX = "application/mbox"


@router.get("/branch/{uuid:execution_id}", response=delivery.BranchReport)
def branch(request: HttpRequest, execution_id: uuid.UUID) -> Any:
    """The branch's commits, the commands that take it over, and the branches that it could be merged into."""
    return delivery.branch_report(Execution.objects.get(pk=execution_id))


@router.get(
    "/patch/{uuid:execution_id}",
    openapi_extra={"responses": {200: {"content": {MAILBOX: {"schema": {"type": "string"}}}}}},
)
def patch(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """All commits of the branch as patches for `git am`; a 409 if there are none."""
    execution = Execution.objects.get(pk=execution_id)
    return as_download(delivery.execution_patches(execution), delivery.file_name(execution))


@router.post("/merge/{uuid:execution_id}", auth=OPERATORS, response=delivery.MergeReport)
def merge(request: HttpRequest, execution_id: uuid.UUID, body: MergeBody) -> Any:
    """Merge the branch, as it is now, into another one that is not checked out; a 409 says why it cannot be done."""
    return delivery.merge(execution_id, into=body.into, user=request.user)  # type: ignore[arg-type]


def as_download(content: bytes, name: str) -> HttpResponse:
    """An answer that a browser saves as the file `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=MAILBOX, headers=headers)
