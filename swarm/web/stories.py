"""The pages of stories: the list, one story with its history, and the repair of what files and board disagree about."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods
from django.views.decorators.vary import vary_on_headers

from swarm.engine.backlog import open_workspace, read_backlog
from swarm.engine.drift import preview_repair, repair_drift
from swarm.errors import SwarmError
from swarm.models import Node
from swarm.stories.story import Story
from swarm.web.access import operator_only, signed_in
from swarm.web.story_text import MAX_ITEMS, shown_criteria, shown_file, shown_tasks

HISTORY_SIZE = 20
MAX_LISTED = 200
"""Problems, files and commands of one story that its page lists."""


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def stories(request: HttpRequest) -> HttpResponse:
    """Every story with its status and problems; a workspace that cannot be used is said in a sentence."""
    context: dict[str, Any]
    try:
        context = {"backlog": read_backlog()}
    except SwarmError as error:
        context = {"problem": error.message}
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "stories/_list.html" if is_live else "stories/list.html", context)


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def story(request: HttpRequest, story_id: str) -> HttpResponse:
    """One story; an id that none has, or several have, is said in a sentence."""
    is_live = bool(request.headers.get("HX-Request"))
    context: dict[str, Any] = {"story_id": story_id}
    status = 200
    try:
        found = read_backlog().catalogue.get(story_id)
        if found is None:
            context["problem"] = f"There is no story {story_id}; its file may have been renamed or removed."
        else:
            context |= _story_context(found)
    except SwarmError as error:
        context["problem"] = error.message
    if "problem" in context and not is_live:
        status = 404  # a live page must be told what became of its story, and htmx shows no error page
    return render(request, "stories/_story.html" if is_live else "stories/story.html", context, status=status)


def _story_context(found: Story) -> dict[str, Any]:
    nodes = Node.objects.filter(story_id=found.id, execution__workspace=str(open_workspace().root))
    return {
        "story": found,
        "criteria": shown_criteria(found),
        "tasks": shown_tasks(found),
        "max_items": MAX_ITEMS,
        "file": shown_file(found),
        "problems": found.problems[:MAX_LISTED],
        "footprint": found.footprint[:MAX_LISTED],
        "commands": found.verification_commands[:MAX_LISTED],
        "dependencies": found.dependencies[:MAX_LISTED],
        "nodes": nodes.select_related("execution").order_by("-execution__created_at")[:HISTORY_SIZE],
    }


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def drift(request: HttpRequest) -> HttpResponse:
    """What a repair would write; a POST with the preview's fingerprint writes it."""
    if request.method == "POST":
        return _repair(request)
    try:
        context = {"preview": preview_repair()}
    except SwarmError as error:
        return render(request, "stories/drift.html", {"problem": error.message})
    return render(request, "stories/drift.html", context)


@operator_only
def _repair(request: HttpRequest) -> HttpResponse:
    try:
        edits = repair_drift(request.POST.get("fingerprint", ""))
    except SwarmError as error:
        messages.error(request, error.message)
        return redirect("drift")
    messages.success(request, f"Repaired: {', '.join(edit.path for edit in edits)}. Commit what a run should see.")
    return redirect("stories")
