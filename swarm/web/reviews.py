"""What a person decides on the pages: about one story's commit, and where the whole branch is to go."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from swarm.engine import delivery, review
from swarm.errors import SwarmError
from swarm.models import Execution, Node
from swarm.web.access import operator_only, signed_in
from swarm.web.forms import CommentForm, MergeForm

MERGED = {
    "fast_forward": "{into} is now where the execution's branch is (fast-forward).",
    "merge_commit": "{into} holds the execution's branch now, by a merge commit.",
    "already_merged": "{into} holds all of it already; nothing changed.",
}


@operator_only
@require_POST
def approve(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    return _decide(request, node_id, review.approve, "Approved.")


@operator_only
@require_POST
def reject(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    return _decide(request, node_id, review.reject, "Rejected: a developer works on it again and is told why.", True)


@operator_only
@require_POST
def revert(request: HttpRequest, node_id: uuid.UUID) -> HttpResponse:
    done = "Reverted: its files, its story and the board are on the branch as they were before."
    return _decide(request, node_id, review.revert, done, True)


def _decide(
    request: HttpRequest, node_id: uuid.UUID, decide: Callable[..., Node], done: str, has_comment: bool = False
) -> HttpResponse:
    get_object_or_404(Node, pk=node_id)
    form = CommentForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(map(str, form.errors["comment"])))
        return redirect("node", node_id)
    more = {"comment": form.cleaned_data["comment"]} if has_comment else {}
    try:
        decide(node_id, user=cast(User, request.user), **more)
    except SwarmError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect("node", node_id)


@signed_in
@require_GET
def branch(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """What the execution has put on its branch, and the ways to take it over."""
    execution = get_object_or_404(Execution.objects.prefetch_related("nodes"), pk=execution_id)
    context: dict[str, Any] = {"execution": execution}
    try:
        context["report"] = delivery.branch_report(execution)
    except SwarmError as error:
        context["problem"] = error.message
    done = [node for node in execution.nodes.all() if node.is_done]
    context["unreviewed"] = [node for node in done if node.review != Node.Review.APPROVED]
    return render(request, "executions/branch.html", context)


@operator_only
@require_POST
def merge(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    get_object_or_404(Execution, pk=execution_id)
    form = MergeForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(map(str, form.errors["into"])))
        return redirect("branch", execution_id)
    try:
        merged = delivery.merge(execution_id, into=form.cleaned_data["into"], user=cast(User, request.user))
    except SwarmError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, MERGED[merged["how"]].format(into=merged["into"]))
    return redirect("branch", execution_id)
