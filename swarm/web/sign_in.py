"""Signing in: Django's view, at a pace at which nobody can guess passwords."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_ratelimit.core import get_usage

RATE = "10/m"


class SignInView(LoginView):
    """Ten attempts a minute from one address, and ten for one name wherever they come from."""

    template_name = "registration/sign_in.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wait_s = _seconds_to_wait(request)
        if wait_s is None:
            return super().post(request, *args, **kwargs)
        response = render(request, "429.html", {"wait_s": wait_s}, status=429)
        response.headers["Retry-After"] = str(wait_s)
        return response


def _seconds_to_wait(request: HttpRequest) -> int | None:
    """Count this attempt; None if it may be made."""
    usages = [
        get_usage(request, group="sign-in-address", key="ip", rate=RATE, increment=True),
        get_usage(request, group="sign-in-name", key=_name, rate=RATE, increment=True),
    ]
    waits = [max(1, usage["time_left"]) for usage in usages if usage and usage["should_limit"]]
    return max(waits, default=None)


def _name(_group: str, request: HttpRequest) -> str:
    return request.POST.get("username", "").strip().casefold()
