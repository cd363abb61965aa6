"""The page of files and conflicts: who holds what, who waits for it, and what became of earlier waits."""

from __future__ import annotations

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_headers

from swarm.models import Conflict, FileLock
from swarm.web.access import signed_in

LOG_SIZE = 100


@signed_in
@require_GET
@vary_on_headers("HX-Request")
def locks(request: HttpRequest) -> HttpResponse:
    """Held paths with their queues, and the latest conflicts."""
    waiting = Conflict.objects.waiting().select_related("node")
    held = FileLock.objects.held(now()).select_related("node", "user")
    context = {
        "locks": held.prefetch_related(Prefetch("conflicts", waiting, to_attr="queue")),
        "conflicts": Conflict.objects.select_related("node", "execution")[:LOG_SIZE],
    }
    is_live = bool(request.headers.get("HX-Request"))
    return render(request, "locks/_locks.html" if is_live else "locks/locks.html", context)
