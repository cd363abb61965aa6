"""Whether the server is alive, and whether it can serve: for load balancers and supervisors, without sign-in."""

from __future__ import annotations

import structlog
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from swarm.api.errors import NotReady, answer_error

log = structlog.get_logger(__name__)


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """The database can be reached and its tables are those of this version; 503 otherwise."""
    try:
        _require_database()
    except NotReady as error:
        log.warning("readyz.failed", reason=error.message)
        return answer_error(request, error)
    return JsonResponse({"status": "ok"})


def _require_database() -> None:
    try:
        migrations = MigrationExecutor(connection)
        waiting = migrations.migration_plan(migrations.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise NotReady("The database cannot be reached; check DATABASE_URL and the server behind it.") from error
    if waiting:
        raise NotReady(f"{len(waiting)} migrations are not applied; run `python manage.py migrate`.")
