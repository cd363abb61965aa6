"""The page of the conflict log: a filtered list, the files that were fought for most, and the map of files and time."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_headers

from swarm.locks.history import execution_history
from swarm.locks.log import ConflictFilter, hot_files
from swarm.models import Conflict, Node
from swarm.models.paging import UnknownCursor, cut_rows
from swarm.web.access import signed_in
from swarm.web.lock_forms import FilterForm
from swarm.web.lock_map import draw_map

PAGE_SIZE = 50


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def conflicts(request: HttpRequest) -> HttpResponse:
    """The log, newest first; filters and `?cursor=` stand in the address. A live GET brings the list alone."""
    form = FilterForm(request.GET)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        context |= _log(form.chosen(), request.GET.get("cursor"))
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "conflicts/_conflicts.html" if is_live else "conflicts/conflicts.html", context)


def _log(chosen: ConflictFilter, cursor: str | None) -> dict[str, Any]:
    at = now()
    rows = chosen.rows(at)
    context: dict[str, Any] = {"is_filtered": chosen != ConflictFilter(), "cursor": cursor}
    context["node"] = Node.objects.filter(pk=chosen.node).first() if chosen.node else None
    entries = rows.select_related("node", "execution")
    try:
        context["conflicts"], context["next"] = cut_rows(
            entries, limit=PAGE_SIZE, cursor=cursor, by=["id"], newest_first=True
        )
    except UnknownCursor as error:
        return context | {"problem": error.message}
    return context | {"hot": hot_files(rows, at), "map": _map(rows, context["conflicts"])}


def _map(rows: QuerySet[Conflict], shown: list[Conflict]) -> dict[str, Any] | None:
    """The map of the execution that the first of the shown conflicts belongs to."""
    if not shown:
        return None
    history = execution_history(shown[0].execution, rows, now())
    return {"history": history, "drawing": draw_map(history)}
