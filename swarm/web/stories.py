"""The page that lists the stories of the workspace."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from swarm.engine.backlog import read_backlog
from swarm.errors import SwarmError
from swarm.web.access import signed_in


@signed_in
@require_GET
def stories(request: HttpRequest) -> HttpResponse:
    """Every story with its status and problems; a workspace that cannot be used is said in a sentence."""
    try:
        context = {"backlog": read_backlog()}
    except SwarmError as error:
        return render(request, "stories/list.html", {"problem": error.message})
    return render(request, "stories/list.html", context)
