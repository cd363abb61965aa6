"""Who may call what: a session or an API token to read, the permission `swarm.operate` and a decent pace to write.

Knows users and tokens, not what the calls do. Checks run before a body is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest
from django_ratelimit.core import get_usage
from ninja.security import HttpBearer, SessionAuth
from ninja.utils import check_csrf

from swarm.api.errors import CsrfFailed, NotPermitted, TooManyRequests, UnsupportedMediaType
from swarm.chat.gateway import Caller
from swarm.engine.node_token import read_node_token
from swarm.models import ApiToken

OPERATE = "swarm.operate"
BREAK_LOCK = "swarm.break_lock"
WRITE_RATE = "120/m"
"""Writes of one user, or of one address for those who are nobody."""

Check = Callable[[HttpRequest], None]
"""Looks at the request of a known user; raises if it may not go on."""


def name_of(request: HttpRequest) -> str:
    """Who is asking, as rows, events and pages name them."""
    return str(request.user.get_username())


class BearerToken(HttpBearer):
    """`Authorization: Bearer TOKEN`, a token made by `manage.py api_token`; of a developer node too, if these may."""

    def __init__(self, *checks: Check, admits_nodes: bool = False) -> None:
        super().__init__()
        self._checks = checks
        self._admits_nodes = admits_nodes

    def authenticate(self, request: HttpRequest, token: str) -> AbstractBaseUser | Caller | None:
        if self._admits_nodes and (caller := read_node_token(token.strip())):
            _admit(request, ())
            return caller
        user = ApiToken.owner(token.strip())
        if user is not None:
            request.user = user  # type: ignore[assignment]  # rights and rates go by who the token stands for
            _admit(request, self._checks)
        return user


class SessionCookie(SessionAuth):
    """The session of a signed-in page; writes need the CSRF token besides. A bearer token, if sent, counts instead."""

    def __init__(self, *checks: Check) -> None:
        super().__init__()
        self._checks = checks

    def _get_key(self, request: HttpRequest) -> str | None:
        """Leave out ninja's check for CSRF, which comes before strangers are told to sign in."""
        return request.COOKIES.get(self.param_name)

    def authenticate(self, request: HttpRequest, _key: str | None) -> Any:
        is_bearer = request.headers.get("Authorization", "").lower().startswith("bearer ")
        if is_bearer or not request.user.is_authenticated:
            return None
        _admit(request, (_refuse_forgery, *self._checks))
        return request.user


def may_operate(request: HttpRequest) -> None:
    """Raise `NotPermitted` unless the user may change something."""
    if not request.user.has_perm(OPERATE):
        raise NotPermitted("You may look but not change anything; ask an administrator for the permission to operate.")


def may_break_locks(request: HttpRequest) -> None:
    """Raise `NotPermitted` unless the user may take a path from its holder."""
    if not request.user.has_perm(BREAK_LOCK):
        raise NotPermitted(
            "You may not break the lock of a node or of somebody else; ask its holder to release it, or an "
            "administrator for the permission to break locks."
        )


def keep_pace(request: HttpRequest) -> None:
    """Count a write. Raises `TooManyRequests` when there were too many within a minute."""
    usage = get_usage(request, group="api-writes", key="user_or_ip", rate=WRITE_RATE, increment=True)
    if usage and usage["should_limit"]:
        raise TooManyRequests(max(1, usage["time_left"]))


def _admit(request: HttpRequest, checks: tuple[Check, ...]) -> None:
    """A body must be JSON before anything else: looking for a CSRF token would use up a form."""
    is_write = request.method not in {"GET", "HEAD", "OPTIONS"}
    has_body = bool(request.content_type) and request.META.get("CONTENT_LENGTH") != "0"
    if is_write and has_body and request.content_type != "application/json":
        raise UnsupportedMediaType(
            f"The body is {request.content_type}; send JSON with `Content-Type: application/json`."
        )
    for check in checks:
        check(request)


def _refuse_forgery(request: HttpRequest) -> None:
    if check_csrf(request):
        raise CsrfFailed("The CSRF token is missing or wrong: send the cookie `csrftoken` back as `X-CSRFToken`.")


READERS = [BearerToken(), SessionCookie()]
OPERATORS = [BearerToken(keep_pace, may_operate), SessionCookie(keep_pace, may_operate), keep_pace]
"""For writes; the last one counts the tries of those who are nobody."""
CHATTERS = [BearerToken(may_operate, admits_nodes=True), SessionCookie(may_operate)]
"""For chat, which costs money but is paced by the limiter itself."""
