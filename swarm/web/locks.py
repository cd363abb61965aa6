"""The page of locks: who holds which file, who waits for it, and what people do about it: hold, release, break."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST
from django.views.decorators.vary import vary_on_headers

from swarm.errors import SwarmError
from swarm.locks.log import held_with_lines
from swarm.locks.people import break_lock, lock_path, unlock_path
from swarm.web.access import BREAK_LOCK, operator_only, signed_in
from swarm.web.lock_forms import BreakForm, HoldForm


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("HX-Request")
def locks(request: HttpRequest) -> HttpResponse:
    """Held paths with those who wait for them; a POST holds one."""
    if request.method == "POST":
        return _hold(request)
    is_live = bool(request.headers.get("HX-Request"))
    context = {"locks": held_with_lines(now())}
    if is_live:
        return render(request, "locks/_locks.html", context)
    return render(request, "locks/locks.html", context | {"form": HoldForm()})


@operator_only
def _hold(request: HttpRequest) -> HttpResponse:
    form = HoldForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            held = lock_path(_user(request), values["path"], reason=values["reason"], ttl_s=values["minutes"] * 60)
        except SwarmError as error:
            form.add_error("path", error.message)
        else:
            messages.success(request, f"You hold {held.path} until {held.expires_at:%d %b, %H:%M:%S} UTC.")
            return redirect("locks")
    return render(request, "locks/locks.html", {"locks": held_with_lines(now()), "form": form})


@operator_only
@require_POST
def release(request: HttpRequest) -> HttpResponse:
    """Give up a path that one holds oneself."""
    path = request.POST.get("path", "")
    try:
        unlock_path(_user(request), path)
    except SwarmError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"You gave {path} up.")
    return redirect("locks")


@signed_in
@permission_required(BREAK_LOCK, raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def break_(request: HttpRequest, lock_id: int) -> HttpResponse:
    """Ask whether a lock shall be broken and why; a POST breaks it."""
    lock = held_with_lines(now()).filter(pk=lock_id).first()
    if lock is None:
        messages.error(request, "Nobody holds that file any more, so there is no lock to break.")
        return redirect("locks")
    form = BreakForm(request.POST if request.method == "POST" else None, initial={"token": lock.token})
    if form.is_valid():
        values = form.cleaned_data
        try:
            break_lock(_user(request), lock.path, reason=values["reason"], token=values["token"])
        except SwarmError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, f"The lock of {lock.holder} on {lock.path} is broken.")
        return redirect("locks")
    context: dict[str, Any] = {"lock": lock, "form": form}
    return render(request, "locks/break.html", context)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
