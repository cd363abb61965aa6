"""The page of one node: what it is doing or did, turn by turn, and the checks it ran."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_headers

from swarm.engine.report import node_report
from swarm.models import Node
from swarm.web.access import signed_in
from swarm.web.transcript import shortened, shown_calls, spoken


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def node(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    """One node; newest attempt and turn first."""
    row = get_object_or_404(Node.objects.select_related("execution"), pk=node_id)
    turns = [
        {"row": turn, "calls": shown_calls(turn.reply, turn.results), "text": spoken(turn.reply)}
        for turn in row.turns.order_by("-attempt", "-number")
    ]
    checks = [{"row": check, "output": shortened(check.output)} for check in row.check_runs.order_by("-id")]
    context = {"execution": row.execution, "node": node_report(row), "turns": turns, "checks": checks}
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "nodes/_node.html" if is_live else "nodes/node.html", context)
