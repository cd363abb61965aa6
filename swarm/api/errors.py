"""The one place that turns what went wrong into an answer: RFC 9457 `application/problem+json`, whatever it was.

Every `SwarmError` has a status here, by its class or the nearest base class listed. Whatever is not foreseen becomes a
500 that tells the client nothing and the log everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja.errors import HttpError, ValidationError

from swarm.api.schemas import InvalidField, Problem
from swarm.chat import errors as chat
from swarm.engine.drift import PreviewOutdated, RepairStopped
from swarm.engine.errors import NothingToRetry, UnknownStory, UnusableRequest
from swarm.engine.review import BranchMoved, CommentMissing
from swarm.errors import Misconfigured, SwarmError
from swarm.locks.errors import LockMoved, NotTheHolder, PathHeld, ReasonMissing
from swarm.models import WrongStatus
from swarm.stories.errors import AmbiguousStory, NoStories, StoriesFolderMissing, StoryFileUnreadable
from swarm.workspace.errors import (
    BranchCheckedOut,
    BranchExists,
    BranchLocked,
    BuiltUpon,
    MergeConflict,
    NoCommits,
    NoSuchBranch,
    NoSuchCommit,
    NotARepository,
    NotMergeable,
    Refused,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
DEFECT = "A defect of Swarm, not of the request; the server's log says more."


class NotFound(SwarmError):
    """A path, or something named in it, does not exist."""

    code = "not_found"


class MethodNotAllowed(SwarmError):
    """A path was asked for with a method that it does not have."""

    code = "method_not_allowed"


class NotSignedIn(SwarmError):
    """A request came without a session and without a valid API token."""

    code = "not_signed_in"


class NotPermitted(SwarmError):
    """Somebody who may only look wanted to change something."""

    code = "not_permitted"


class CsrfFailed(SwarmError):
    """A write came with a session cookie but without proof that a page of this server sent it."""

    code = "csrf_failed"


class TooManyRequests(SwarmError):
    """A client writes faster than it may."""

    code = "too_many_requests"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Too many requests: wait {retry_after_s:.0f} s, then go on more slowly.")
        self.retry_after_s = retry_after_s


class MalformedBody(SwarmError):
    """A body is not JSON."""

    code = "malformed_body"


class UnsupportedMediaType(SwarmError):
    """A body was sent as something other than JSON."""

    code = "unsupported_media_type"


class BodyTooLarge(SwarmError):
    """A body is larger than this server reads."""

    code = "body_too_large"


class NotReady(SwarmError):
    """This server cannot serve now; its readiness check says why."""

    code = "not_ready"


class InvalidRequest(SwarmError):
    """Fields of a request are missing or cannot be used; `errors` names them."""

    code = "invalid_request"


# 409: what is there now stands in the way. 503: nothing that a client sends helps, somebody must change the settings.
# 502 and 504: the model server behind this one failed; 401 and 403 stay for the caller's own credentials.
STATUS_OF: Mapping[type[SwarmError], int] = {
    SwarmError: 500,
    MalformedBody: 400,
    NotSignedIn: 401,
    NotPermitted: 403,
    CsrfFailed: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    TooManyRequests: 429,
    InvalidRequest: 422,
    UnknownStory: 422,
    UnusableRequest: 422,
    CommentMissing: 422,
    Refused: 422,
    ReasonMissing: 422,
    WrongStatus: 409,
    NothingToRetry: 409,
    PathHeld: 409,
    NotTheHolder: 409,
    LockMoved: 409,
    AmbiguousStory: 409,
    NoStories: 409,
    PreviewOutdated: 409,
    RepairStopped: 409,
    NoCommits: 409,
    NoSuchCommit: 409,
    NoSuchBranch: 409,
    BranchExists: 409,
    BranchLocked: 409,
    BranchMoved: 409,
    BranchCheckedOut: 409,
    BuiltUpon: 409,
    MergeConflict: 409,
    NotMergeable: 409,
    NotReady: 503,
    Misconfigured: 503,
    NotARepository: 503,
    StoriesFolderMissing: 503,
    StoryFileUnreadable: 503,
    chat.ChatError: 502,
    chat.BadRequest: 400,
    chat.ContextTooLong: 400,
    chat.ContentRefused: 400,
    chat.BudgetExhausted: 402,
    chat.ModelNotFound: 404,
    chat.RateLimited: 429,
    chat.UpstreamTimeout: 504,
}


def answer_error(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer that tells a client of `error`."""
    known = _as_swarm_error(error)
    status = _status_of(known) if known else 500
    if status == 500:
        log.error("api.failed", method=request.method, path=request.path, exc_info=error)
        known = None
    code = known.code if known else SwarmError.code
    problem = Problem(
        type=f"urn:swarm:problem:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        code=code,
        detail=known.message if known else DEFECT,
        errors=list(_invalid_fields(error)),
        error=open_ai_error(known) if isinstance(known, chat.ChatError) else None,
    )
    content = problem.model_dump(exclude_none=True)
    return JsonResponse(content, status=status, content_type=MEDIA_TYPE, headers=_headers(known))


def open_ai_error(error: SwarmError) -> dict[str, Any]:
    """An error as OpenAI's clients expect it in the member `error` of an answer or of a streamed chunk."""
    return {"message": error.message, "type": error.code, "code": error.code, "param": None}


def _as_swarm_error(error: Exception) -> SwarmError | None:
    """The error of Swarm's tree that `error` stands for; None if it is a defect."""
    match error:
        case SwarmError():
            return error
        case ValidationError():
            fields = ", ".join(sorted({field.field or field.place for field in _invalid_fields(error)}))
            return InvalidRequest(f"Not usable: {fields}.")
        case ObjectDoesNotExist():
            kind = type(error).__qualname__.partition(".")[0].lower()
            return NotFound(f"There is no such {kind}.")
        case Http404():
            return NotFound("There is nothing at this path; /api/docs lists what there is.")
        case OperationalError() | InterfaceError():
            return NotReady("The database does not answer; try again soon.")
        case RequestDataTooBig():
            return BodyTooLarge("The body is larger than this server reads; send less at once.")
        case HttpError():
            return _of_http_error(error)
        case _:
            return None


def _of_http_error(error: HttpError) -> SwarmError | None:
    """Ninja's own errors."""
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        return NotSignedIn("Sign in, or send an API token as `Authorization: Bearer TOKEN`.")
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return MalformedBody("The body is not JSON in UTF-8.")
    return None


def _invalid_fields(error: Exception) -> Iterable[InvalidField]:
    if isinstance(error, ValidationError):
        for it in error.errors:
            place, *names = it["loc"]
            # A body's first name is that of the view's own argument.
            names = names[1:] if place == "body" else names
            yield InvalidField(place=place, field=".".join(map(str, names)), detail=it["msg"])


def _status_of(error: SwarmError) -> int:
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def _headers(error: SwarmError | None) -> dict[str, str]:
    match error:
        case NotSignedIn():
            return {"WWW-Authenticate": "Bearer"}
        case TooManyRequests(retry_after_s=float() | int() as seconds):
            return {"Retry-After": str(math.ceil(seconds))}
        case chat.RateLimited() if error.told.retry_after_s:
            return {"Retry-After": str(math.ceil(error.told.retry_after_s))}
        case _:
            return {}
