"""The one place that turns HTTP statuses, error bodies and `requests` exceptions into Swarm's errors.

What upstream says is quoted in the message, shortened, with the API key taken out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from swarm.chat import errors
from swarm.chat.limiter import Cause, Told, read_headers

QUOTE_CHARACTERS = 300

# Words that say more than the status does, in use at OpenAI, Azure, Anthropic, vLLM, llama.cpp.
_CONTEXT_WORDS = ("context_length", "context length", "context size", "exceed_context", "maximum context", "too long")
_CONTENT_WORDS = ("content_filter", "content_policy", "responsibleaipolicy", "content management policy")
_CREDIT_WORDS = ("insufficient_quota", "billing", "credit balance", "insufficient balance")
_STATUS_OF_TYPE = {
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
    "server_error": 500,
    "api_error": 500,
    "authentication_error": 401,
    "invalid_request_error": 400,
}


@dataclass(frozen=True)
class Refusals:
    """Makes errors whose messages name this endpoint; `secret` never appears in them."""

    base_url: str
    secret: str = field(default="", repr=False)

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.ChatError:
        """The error that an answer with a status other than 2xx stands for."""
        return self._of(status, _error_in(body), read_headers(headers, datetime.now(UTC)), body)

    def of_error_body(self, error: object, told: Told) -> errors.ChatError:
        """The error that a 200 with an `error` in its body stands for (gateways in between do that)."""
        details = error if isinstance(error, dict) else {"message": str(error)}
        code = details.get("code")
        status = code if isinstance(code, int) else _STATUS_OF_TYPE.get(str(details.get("type") or code), 500)
        return self._of(status, details, told, b"")

    def of_exception(self, error: requests.RequestException | HTTPError) -> errors.ChatError:
        """The error that an exception of requests or urllib3 stands for."""
        if isinstance(error, requests.ConnectTimeout):
            return errors.UpstreamTimeout(
                f"{self.base_url} did not take the connection in time. Is SWARM_CHAT_BASE_URL right and reachable?"
            )
        if isinstance(error, requests.Timeout | ReadTimeoutError) or "Read timed out" in str(error):
            return errors.UpstreamTimeout(
                f"{self.base_url} sent nothing for too long. Raise SWARM_CALL_TIMEOUT if the model is that slow."
            )
        if isinstance(error, requests.exceptions.SSLError):
            return errors.UpstreamUnavailable(
                f"No secure connection to {self.base_url}: {self._quote(str(error))}. "
                "Check SWARM_CHAT_BASE_URL, or name your certificate authority in REQUESTS_CA_BUNDLE."
            )
        if isinstance(error, ValueError):  # requests' InvalidURL, MissingSchema, InvalidProxyURL …
            return errors.BadRequest(f"{self.base_url!r} cannot be called; set SWARM_CHAT_BASE_URL to an HTTP address.")
        if "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error):
            return errors.UpstreamUnavailable(
                f"Nothing answers at {self.base_url} ({self._quote(_innermost(error))}). "
                "Start the model server, or set SWARM_CHAT_BASE_URL to where it listens."
            )
        return errors.UpstreamUnavailable(
            f"The connection to {self.base_url} broke before the whole answer was there "
            f"({self._quote(_innermost(error))})."
        )

    def _of(self, status: int, error: Mapping[str, Any], told: Told, body: bytes) -> errors.ChatError:
        says = self._quote(str(error.get("message") or body.decode("utf-8", "replace")))
        words = " ".join(str(error.get(key, "")) for key in ("code", "type", "message")).lower()
        if status == 429 and not _has(words, _CREDIT_WORDS):
            return errors.RateLimited(f"The model's rate limit is reached (429): {says}", told, _cause(words))
        if status in (402, 429):
            return errors.BudgetExhausted(f"The account has no credit left ({status}): {says} Top it up.", told)
        if status in (401, 403):
            return errors.BadCredentials(
                f"{self.base_url} refused the API key ({status}): {says} Set SWARM_CHAT_API_KEY to a key that may use "
                "this model.",
                told,
            )
        if status == 404:
            return errors.ModelNotFound(
                f"{self.base_url} does not know that model or address (404): {says} "
                "Check SWARM_CHAT_MODEL and SWARM_CHAT_BASE_URL.",
                told,
            )
        return (
            self._of_request(status, words, says, told) if 400 <= status < 500 else self._of_server(status, says, told)
        )

    def _of_request(self, status: int, words: str, says: str, told: Told) -> errors.ChatError:
        if status == 413 or _has(words, _CONTEXT_WORDS):
            return errors.ContextTooLong(
                f"The conversation is too long for the model: {says} Split the story or use another model.",
                told,
            )
        if _has(words, _CONTENT_WORDS):
            return errors.ContentRefused(f"The content filter stopped the call: {says} Reword the story.", told)
        if status == 408:
            return errors.UpstreamTimeout(f"{self.base_url} took too long (408): {says}", told)
        if status == 409:
            return errors.UpstreamUnavailable(f"{self.base_url} is busy with the same call (409): {says}", told)
        return errors.BadRequest(f"{self.base_url} does not accept the request ({status}): {says}", told)

    def _of_server(self, status: int, says: str, told: Told) -> errors.ChatError:
        if status == 504:
            return errors.UpstreamTimeout(f"{self.base_url} took too long (504): {says}", told)
        if status in (503, 529):
            return errors.UpstreamOverloaded(f"{self.base_url} is overloaded ({status}): {says}", told)
        if status >= 500:
            return errors.UpstreamUnavailable(f"{self.base_url} failed ({status}): {says}", told)
        return errors.BadRequest(
            f"{self.base_url} answered {status}, which is no answer to a chat call. Redirects are not followed: set "
            "SWARM_CHAT_BASE_URL to the final address.",
            told,
        )

    def _quote(self, text: str) -> str:
        text = " ".join(text.split())
        if self.secret:
            text = text.replace(self.secret, "[API key]")
        return text if len(text) <= QUOTE_CHARACTERS else text[:QUOTE_CHARACTERS] + "…"


def _error_in(body: bytes) -> Mapping[str, Any]:
    """The `error` object of a JSON body, in the shapes in use; empty if there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = document.get("error", document) if isinstance(document, dict) else {}
    return error if isinstance(error, dict) else {"message": str(error)}


def _cause(words: str) -> Cause:
    if "concurren" in words or "simultaneous" in words:
        return Cause.CONCURRENCY
    if "tpm" in words or "tokens per" in words or "token rate" in words:
        return Cause.TOKENS
    if "rpm" in words or "requests per" in words:
        return Cause.REQUESTS
    return Cause.UNCLEAR


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def _innermost(error: BaseException) -> str:
    """The operating system's own words, from below the layers that wrapped them."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
