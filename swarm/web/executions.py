"""The pages of executions: the list, the form that starts one, one execution, and what to do with it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django.views.decorators.vary import vary_on_headers

from swarm.engine import lifecycle
from swarm.engine.backlog import Backlog, read_backlog
from swarm.engine.errors import UnusableDependencies
from swarm.engine.plan_report import report_plan, report_run
from swarm.engine.planning import plan_run
from swarm.engine.report import ExecutionReport, NodeReport, execution_report, execution_summaries
from swarm.errors import SwarmError
from swarm.models import Event, Execution, Node
from swarm.stories.plan import DependencyProblem
from swarm.web.access import operator_only, signed_in
from swarm.web.choices import plan_context, story_choices
from swarm.web.forms import POLICIES, StartForm

PAGE_SIZE = 25
FEED_SIZE = 50

QUIET = frozenset({"swarm:node-progress", "swarm:rate-limited", "swarm:conflict", "file:locked", "file:unlocked"})
"""Events after which a node's card changes in place; after any other the whole grid and the buttons may differ."""


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def executions(request: HttpRequest) -> HttpResponse:
    """The list, newest first; `?status=` filters, `?page=` turns the pages."""
    status = request.GET.get("status", "")
    if status not in Execution.Status.values:
        status = ""
    rows = Execution.objects.filter(**{"status": status} if status else {}).select_related("created_by")
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    shown = list(page)
    lines = list(zip(shown, execution_summaries(shown), strict=True))
    context = {"page": page, "lines": lines, "status": status, "statuses": Execution.Status.values}
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "executions/_list.html" if is_live else "executions/list.html", context)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
def new(request: HttpRequest) -> HttpResponse:
    """The form; a POST starts the execution and goes to its page. A live GET brings the plan of what is ticked now."""
    if request.method == "POST":
        return _start(request)
    try:
        backlog = read_backlog()
    except SwarmError as error:
        return _render_problem(request, error)
    if request.headers.get("HX-Request"):
        form = StartForm(request.GET, catalogue=backlog.catalogue)
        return render(request, "executions/_plan.html", _plan(form, backlog))
    return _render_form(request, StartForm(catalogue=backlog.catalogue), backlog)


@operator_only
def _start(request: HttpRequest) -> HttpResponse:
    try:
        backlog = read_backlog()
    except SwarmError as error:
        return _render_problem(request, error)
    form = StartForm(request.POST, catalogue=backlog.catalogue)
    problems: Sequence[DependencyProblem] = ()
    if form.is_valid():
        try:
            user = cast(User, request.user)
            row = lifecycle.start(form.request(), user=user, idempotency_key=form.idempotency_key())
            return redirect("execution", row.pk)
        except UnusableDependencies as error:
            form.add_error("depends_on", error.message)
            problems = error.problems
        except SwarmError as error:
            form.add_error(None, error.message)
    return _render_form(request, form, backlog, problems)


def _render_form(
    request: HttpRequest, form: StartForm, backlog: Backlog, problems: Sequence[DependencyProblem] = ()
) -> HttpResponse:
    context = {
        "form": form,
        "backlog": backlog,
        "choices": story_choices(backlog.catalogue, form.ticked_dependencies, problems),
        "policies": POLICIES,
        "ready": len(backlog.catalogue.ready()),
    }
    return render(request, "executions/new.html", context | _plan(form, backlog))


def _plan(form: StartForm, backlog: Backlog) -> dict[str, Any]:
    """How the ticked stories would start, or why they would not."""
    developers = form.cleaned_data.get("developers") if form.is_bound else None
    context: dict[str, Any] = {"is_proposal": True}
    try:
        run = plan_run(backlog, form.ticked, depends_on=form.dependencies(), developers=developers)
    except SwarmError as error:
        return context | {"plan_problem": error.message}
    return context | plan_context(report_run(run))


def _render_problem(request: HttpRequest, error: SwarmError) -> HttpResponse:
    """Without stories there is nothing to choose from and no plan: say why instead."""
    if request.headers.get("HX-Request"):
        return render(request, "executions/_plan.html", {"is_proposal": True, "plan_problem": error.message})
    return render(request, "executions/new.html", {"problem": error.message})


@signed_in
@require_GET
def execution(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """One execution: its state, its verdict, its nodes, and what happened last."""
    row = _execution(execution_id)
    report = execution_report(row)
    context = _context(row, report, _failed_first(report["nodes"])) | plan_context(report_plan(row))
    return render(request, "executions/execution.html", context)


@signed_in
@require_GET
def changes(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """The parts of the execution page that changed after event `?after=`, for htmx to put in their places.

    One request for all of them, so that fifty busy nodes cost no more of these than one.
    """
    row = _execution(execution_id)
    after = request.GET.get("after", "")
    seen = int(after) if after.isascii() and after.isdigit() and len(after) <= 18 else 0
    happened = set(Event.objects.after(row.pk, seen).order_by().values_list("type", "node_id").distinct())
    report = execution_report(row)
    nodes = _failed_first(report["nodes"])
    is_whole = any(kind not in QUIET for kind, _ in happened)
    if not is_whole:
        changed = {node_id for _, node_id in happened}
        nodes = [node for node in nodes if node["id"] in changed]
    context = _context(row, report, nodes) | {"is_whole": is_whole, "oob": True}
    return render(request, "executions/_changes.html", context)


def _execution(execution_id: uuid.UUID) -> Execution:
    rows = Execution.objects.select_related("created_by").prefetch_related("nodes")
    return get_object_or_404(rows, pk=execution_id)


def _failed_first(nodes: list[NodeReport]) -> list[NodeReport]:
    """In the order of their numbers otherwise, so that cards move only when somebody must look at one."""
    return sorted(nodes, key=lambda node: node["status"] != Node.Status.FAILED)


def _context(row: Execution, report: ExecutionReport, nodes: list[NodeReport]) -> dict[str, Any]:
    return {
        "execution": row,
        "report": report,
        "nodes": nodes,
        "events": Event.objects.filter(execution=row).select_related("node").order_by("-seq")[:FEED_SIZE],
        "ended": sum(report["progress"][status] for status in ("completed", "failed", "cancelled")),
        "tokens": report["usage"]["prompt_tokens"] + report["usage"]["completion_tokens"],
        "lock_wait": sum(node["lock_wait"] for node in report["nodes"]),
        "budget_wait": sum(node["budget_wait"] for node in report["nodes"]),
    }


@operator_only
@require_POST
def cancel(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    action = partial(lifecycle.cancel, by=_name(request), reason=_reason(request))
    return _act(request, execution_id, action, "Cancelling: every story stops now and leaves nothing behind.")


@operator_only
@require_POST
def pause(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    keep_claims = request.POST.get("claims") != "release"
    action = partial(lifecycle.pause, by=_name(request), reason=_reason(request), keep_claims=keep_claims)
    return _act(request, execution_id, action, "Pausing: each story stops after the turn that it is in.")


@operator_only
@require_POST
def resume(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    return _act(request, execution_id, partial(lifecycle.resume, by=_name(request)), "The execution goes on.")


@operator_only
@require_POST
def retry(request: HttpRequest, execution_id: uuid.UUID) -> HttpResponse:
    """Run the failed stories again, from the start, or with `from=last_turn` from where they came to nothing."""
    resume = request.POST.get("from") == "last_turn"
    return _act(request, execution_id, partial(lifecycle.retry, resume=resume), "The failed stories run again.")


def _name(request: HttpRequest) -> str:
    return str(request.user.get_username())


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()


def _act(
    request: HttpRequest, execution_id: uuid.UUID, action: Callable[[uuid.UUID], Execution], done: str
) -> HttpResponse:
    get_object_or_404(Execution, pk=execution_id)
    try:
        action(execution_id)
    except SwarmError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect("execution", execution_id)
