"""Which error stands for which status and body."""

from __future__ import annotations

import json

import pytest

from swarm.chat import errors
from swarm.chat.limiter import Cause
from swarm.chat.refusals import Refusals

refusals = Refusals("http://model/v1", "sk-secret")


def of(status: int, message: str = "no", headers: dict[str, str] | None = None, **details: object) -> errors.ChatError:
    return refusals.of_status(status, headers or {}, json.dumps({"error": {"message": message, **details}}).encode())


@pytest.mark.parametrize(
    ("status", "details", "code", "retryable"),
    [
        (307, {}, "bad_request", False),
        (400, {}, "bad_request", False),
        (400, {"code": "context_length_exceeded"}, "context_too_long", False),
        (400, {"type": "exceed_context_size_error"}, "context_too_long", False),
        (400, {"code": "content_filter"}, "content_refused", False),
        (401, {}, "bad_credentials", False),
        (402, {}, "budget_exhausted", False),
        (403, {}, "bad_credentials", False),
        (404, {}, "model_not_found", False),
        (408, {}, "upstream_timeout", True),
        (409, {}, "upstream_unavailable", True),
        (413, {}, "context_too_long", False),
        (422, {}, "bad_request", False),
        (429, {}, "rate_limited", True),
        (429, {"code": "insufficient_quota"}, "budget_exhausted", False),
        (500, {}, "upstream_unavailable", True),
        (502, {}, "upstream_unavailable", True),
        (503, {}, "upstream_unavailable", True),
        (504, {}, "upstream_timeout", True),
        (529, {}, "upstream_unavailable", True),
    ],
)
def test_each_status_has_its_error(status: int, details: dict[str, str], code: str, retryable: bool) -> None:
    error = of(status, **details)
    assert (error.code, error.retryable) == (code, retryable)
    assert "no" in error.message


@pytest.mark.parametrize(
    ("status", "setting"),
    [(401, "SWARM_CHAT_API_KEY"), (404, "SWARM_CHAT_MODEL"), (302, "SWARM_CHAT_BASE_URL")],
)
def test_the_message_names_the_setting_to_change(status: int, setting: str) -> None:
    assert setting in of(status).message


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("Too many concurrent requests", Cause.CONCURRENCY),
        ("Limit reached on tokens per min (TPM)", Cause.TOKENS),
        ("Limit reached on requests per min (RPM)", Cause.REQUESTS),
        ("Slow down", Cause.UNCLEAR),
    ],
)
def test_a_429_says_what_it_is_about(message: str, cause: Cause) -> None:
    error = of(429, message)
    assert isinstance(error, errors.RateLimited)
    assert error.cause is cause


def test_an_error_carries_what_the_headers_told() -> None:
    assert of(429, headers={"Retry-After": "3"}).told.retry_after_s == 3.0


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b'{"error": "down"}', b"[]", b"\xff" * 99])
def test_any_body_can_come_with_an_error(body: bytes) -> None:
    assert refusals.of_status(502, {}, body).code == "upstream_unavailable"


def test_the_key_is_taken_out_of_a_quote() -> None:
    assert "sk-secret" not in of(400, "your key sk-secret").message
    assert "[API key]" in of(400, "your key sk-secret").message
