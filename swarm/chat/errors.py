"""What can go wrong between a developer node and the model, split by what the caller does next.

Every message says what is wrong and what to do. None of them holds the API key: texts that came from upstream pass
`swarm.chat.refusals`, which takes it out.
"""

from __future__ import annotations

from swarm.chat.limiter import Cause, Told
from swarm.errors import SwarmError


class ChatError(SwarmError):
    """A call to the model failed. `told` is what the answer's headers said, if there was an answer."""

    code = "chat_failed"

    def __init__(self, message: str, told: Told | None = None) -> None:
        super().__init__(message)
        self.told = told or Told()


class RateLimited(ChatError):
    """Upstream answered 429, or the queue for its budget was longer than the caller could wait."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, told: Told | None = None, cause: Cause = Cause.UNCLEAR) -> None:
        super().__init__(message, told)
        self.cause = cause


class UpstreamUnavailable(ChatError):
    """No connection, a connection that broke, or a 5xx answer."""

    code = "upstream_unavailable"
    retryable = True


class UpstreamOverloaded(UpstreamUnavailable):
    """A 503 or 529: upstream has too much to do."""


class UpstreamTimeout(ChatError):
    """No whole answer within the call's time, or upstream said so itself (408, 504)."""

    code = "upstream_timeout"
    retryable = True


class MalformedReply(ChatError):
    """A success that is not a chat completion: a page, half a document, no choices, too many bytes."""

    code = "malformed_reply"
    retryable = True


class BadCredentials(ChatError):
    """Upstream does not know the API key (401), or the key may not do this (403)."""

    code = "bad_credentials"


class BudgetExhausted(ChatError):
    """The account upstream has no credit left; waiting does not help."""

    code = "budget_exhausted"


class ContextTooLong(ChatError):
    """The conversation does not fit the model."""

    code = "context_too_long"


class ContentRefused(ChatError):
    """Upstream's content filter stopped the prompt or the answer."""

    code = "content_refused"


class ModelNotFound(ChatError):
    """No such model, or no such address (404)."""

    code = "model_not_found"


class BadRequest(ChatError):
    """Upstream does not accept the request as it is; sending it again does not help."""

    code = "bad_request"
