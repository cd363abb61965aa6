"""The page of one node: what it is doing or did, its turns, checks and change; stopping it, running it again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from django.views.decorators.vary import vary_on_headers

from swarm.engine import lifecycle
from swarm.engine.report import node_report
from swarm.engine.stopping import proof_of_stop
from swarm.errors import SwarmError
from swarm.models import Node
from swarm.web.access import operator_only, signed_in
from swarm.web.diffs import file_diffs
from swarm.web.transcript import shortened, shown_calls, spoken
from swarm.workspace.repository import Repository


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def node(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    """One node; newest attempt and turn first."""
    row = get_object_or_404(Node.objects.select_related("execution"), pk=node_id)
    turns = [
        {
            "row": turn,
            "told": [spoken(message) for message in turn.added],
            "text": spoken(turn.reply),
            "calls": shown_calls(turn.reply, turn.results),
        }
        for turn in row.turns.defer("state").order_by("-attempt", "-number")
    ]
    checks = [{"row": check, "output": shortened(check.output)} for check in row.check_runs.order_by("-id")]
    context = {
        "execution": row.execution,
        "row": row,
        "node": node_report(row),
        "stopped": proof_of_stop(row),
        "turns": turns,
        "checks": checks,
        **_change(row),
    }
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "nodes/_node.html" if is_live else "nodes/node.html", context)


@operator_only
@require_POST
def cancel(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    reason = request.POST.get("reason", "").strip()
    action = partial(lifecycle.cancel_node, node_id, by=str(request.user.get_username()), reason=reason)
    return _act(request, node_id, action, "The story stops now. The others go on.")


@operator_only
@require_POST
def retry(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    row = get_object_or_404(Node, pk=node_id)
    action = partial(lifecycle.retry, row.execution_id, [node_id], resume=request.POST.get("from") == "last_turn")
    return _act(request, node_id, action, "The story runs again.")


def _act(request: HttpRequest, node_id: uuid.UUID, action: Callable[[], object], done: str) -> HttpResponse:
    get_object_or_404(Node, pk=node_id)
    try:
        action()
    except SwarmError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect("node", node_id)


def _change(row: Node) -> dict[str, Any]:
    """The files that its commit changed, the server's own last, or why they cannot be shown; nothing without one."""
    if not row.commit:
        return {}
    try:
        repository = Repository.open(Path(row.execution.workspace))
        files = file_diffs(repository.diff(repository.parent(row.commit), row.commit))
    except SwarmError as error:
        return {"change_problem": error.message}
    return {"files": sorted(files, key=lambda file: file.path.startswith(f"{row.execution.stories_folder}/"))}
