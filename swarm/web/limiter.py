"""The page of the model: what the limiter in front of it believes, in words, who waits in it, and what went through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_headers

from swarm.chat.gateway import get_gateway
from swarm.errors import SwarmError
from swarm.models import Node
from swarm.templatetags.pages import number
from swarm.web.access import signed_in
from swarm.web.charts import stacked

SHOWN_WAITS = 100

SOURCES = {
    "settings": "as the settings say",
    "headers": "as the model's headers say",
    "learnt": "learnt from what the model refused",
}


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def limiter(request: HttpRequest) -> HttpResponse:
    """The state of this process's limiter, model by model; the page fetches it again every two seconds."""
    context: dict[str, Any]
    try:
        state = get_gateway().state()
    except SwarmError as error:
        context = {"problem": error.message}
    else:
        nodes = _nodes(wait["node"] for model in state["models"].values() for wait in model["queue"][:SHOWN_WAITS])
        models = [_model(name, model, nodes) for name, model in sorted(state["models"].items())]
        context = {"endpoint": state["endpoint"], "models": models}
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "limiter/_limiter.html" if is_live else "limiter/limiter.html", context)


def _model(name: str, state: Mapping[str, Any], nodes: Mapping[str, Node]) -> dict[str, Any]:
    limits, past = state["limits"], state["throughput"]
    waits = [wait | {"row": nodes.get(wait["node"])} for wait in state["queue"]]
    return {
        "name": name,
        "state": state,
        "status": _status(state),
        "requests": request_limit(limits["requests_per_minute"]),
        "tokens": token_limit(limits["tokens_per_minute"]),
        "at_once": concurrency_limit(limits["in_flight"]),
        "waits": waits[:SHOWN_WAITS],
        "more_waits": len(waits[SHOWN_WAITS:]),
        "calls_chart": stacked([("answered", past["calls"]), ("refused", past["refused"])]),
        "tokens_chart": stacked([("tokens", past["tokens"])]),
        "span_min": round(past["interval_s"] * len(past["calls"]) / 60),
        "interval_s": past["interval_s"],
        "minutes": by_minute(past),
    }


def _status(state: Mapping[str, Any]) -> str:
    """The word that colours the model's line."""
    if state["paused_for_s"] or state["warnings"]:
        return "waiting"
    return "running" if state["in_flight"] or state["queue"] else "completed"


def request_limit(limit: Mapping[str, Any]) -> str:
    """How fast calls may follow each other, and how that is known."""
    pace = f"{number(limit['value'])} a minute, {number(limit['burst'])} of them at once"
    if limit["source"] == "guess":
        return f"No limit met so far. A first guess holds: {pace}."
    return f"At most {pace}; {SOURCES[limit['source']]}."


def token_limit(limit: Mapping[str, Any] | None) -> str:
    if limit is None:
        return "No limit is known."
    return (
        f"At most {number(limit['value'])} a minute; {SOURCES[limit['source']]}. {number(limit['available'])} left now."
    )


def concurrency_limit(limit: Mapping[str, Any]) -> str:
    if limit["value"] is None:
        return "No limit is known."
    return f"At most {limit['value']}; {SOURCES[limit['source']]}."


def by_minute(past: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What went through in each minute, the latest first."""
    size = max(1, round(60 / past["interval_s"]))
    newest_first = [list(reversed(past[name])) for name in ("calls", "refused", "tokens")]
    return [
        {"ago": start // size, "calls": calls, "refused": refused, "tokens": tokens}
        for start in range(0, len(past["calls"]), size)
        for calls, refused, tokens in [(sum(values[start : start + size]) for values in newest_first)]
    ]


def _nodes(names: Iterable[str]) -> dict[str, Node]:
    """The nodes among those who wait, by id; who is none called /api/chat from elsewhere."""
    ids: Sequence[UUID] = [UUID(name) for name in names]
    return {str(node.pk): node for node in Node.objects.filter(pk__in=ids)} if ids else {}
