"""The JSON API as a whole: its routes, its description, and an answer in JSON for everything under its path."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseNotAllowed
from django.urls import URLPattern, URLResolver, re_path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.parser import Parser

from swarm.api import branches, chat, conflicts, executions, files, limiter, nodes, stories
from swarm.api.auth import READERS
from swarm.api.errors import MEDIA_TYPE, MethodNotAllowed, answer_error
from swarm.api.schemas import Problem
from swarm.chat.replies import parse_json

View = Callable[..., Any]


class StrictParser(Parser):
    """Takes JSON as its standard has it: no NaN, no Infinity, no nesting without end."""

    def parse_body(self, request: HttpRequest) -> Any:
        return parse_json(request.body)


class SwarmAPI(NinjaAPI):
    """Ninja's API, with problems in the sense of RFC 9457 also for wrong methods, unknown paths and in the schema."""

    @property
    def urls(self) -> tuple[list[URLResolver | URLPattern], str, str]:
        patterns, app, namespace = super().urls
        for pattern in patterns:
            if pattern.callback is not None:
                pattern.callback = _with_problems(pattern.callback)
        return [*patterns, re_path("", _unknown_path)], app, namespace

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        ref = {"$ref": "#/components/schemas/Problem"}
        problem = {"description": "What went wrong", "content": {MEDIA_TYPE: {"schema": ref}}}
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"]["default"] = problem
        document = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"] |= {**document.pop("$defs"), "Problem": document}
        return schema


def _with_problems(view: View) -> View:
    """Turn ninja's own plain answers to an unknown path or method into problems; `swarm.api.auth` checks CSRF."""
    if inspect.iscoroutinefunction(view):

        @csrf_exempt
        @wraps(view)
        async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return _with_method_problem(request, await view(request, *args, **kwargs))

        return asynchronous

    @csrf_exempt
    @wraps(view)
    def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return _with_method_problem(request, view(request, *args, **kwargs))
        except Http404 as error:
            return answer_error(request, error)

    return synchronous


def _with_method_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if not isinstance(response, HttpResponseNotAllowed):
        return response
    allowed = response["Allow"]
    problem = answer_error(request, MethodNotAllowed(f"{request.method} is not possible here; use {allowed}."))
    problem["Allow"] = allowed
    return problem


@csrf_exempt
def _unknown_path(request: HttpRequest) -> HttpResponseBase:
    return answer_error(request, Http404())


api = SwarmAPI(
    title="Swarm",
    version="1",
    description="Runs stories through LLM developers, all at once, on one git repository.",
    urls_namespace="api",
    auth=READERS,
    parser=StrictParser(),
)
for kind in (Exception, Http404, HttpError, ValidationError):
    api.add_exception_handler(kind, answer_error)  # type: ignore[arg-type]  # errors, never their classes
api.add_router("/stories", stories.router)
api.add_router("/swarm", executions.router)
api.add_router("/swarm/nodes", nodes.router)
api.add_router("/swarm/conflicts", conflicts.router)
api.add_router("/swarm", branches.router)
api.add_router("/swarm", limiter.router)
api.add_router("/files", files.router)
api.add_router("/chat", chat.router)
