"""Who may open a page and who may change something."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django_htmx.http import HttpResponseClientRefresh

View = Callable[..., HttpResponse]

OPERATE = "swarm.operate"
"""The permission to execute, cancel, retry and lock."""
BREAK_LOCK = "swarm.break_lock"
"""The permission to take a path from whoever holds it."""


def signed_in(view: View) -> View:
    """Lead everybody else to the sign-in page: the whole page, not the fragment that a live page asked for."""
    guarded = login_required(view)

    @wraps(view)
    def refresh_or_guard(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.headers.get("HX-Request") and not request.user.is_authenticated:
            return HttpResponseClientRefresh()
        return guarded(request, *args, **kwargs)

    return refresh_or_guard


def operator_only(view: View) -> View:
    """Refuse those who may only look, with a page that says so."""
    return signed_in(permission_required(OPERATE, raise_exception=True)(view))
