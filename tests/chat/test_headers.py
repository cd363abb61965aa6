"""What an answer's headers tell about limits."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.chat.limiter import Quota, Told, read_headers

AT = datetime(2026, 11, 13, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "150", "retry-after": "1"}, 0.15),
        ({"Retry-After": "Fri, 13 Nov 2026 12:00:30 GMT"}, 30.0),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float) -> None:
    assert read_headers(headers, AT).retry_after_s == seconds


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf", "", "Fri, 13 Nov 2026 11:00:00 GMT"])
def test_a_retry_after_that_says_nothing_is_ignored(value: str) -> None:
    assert read_headers({"Retry-After": value}, AT).retry_after_s is None


def test_openais_limits_are_per_minute() -> None:
    told = read_headers(
        {
            "x-ratelimit-limit-requests": "600",
            "x-ratelimit-remaining-requests": "599",
            "x-ratelimit-reset-requests": "100ms",
            "x-ratelimit-limit-tokens": "60000",
            "x-ratelimit-remaining-tokens": "59000",
            "x-ratelimit-reset-tokens": "1s",
        },
        AT,
    )
    assert told == Told(requests=Quota(10.0, 599.0), tokens=Quota(1000.0, 59000.0))


def test_anthropics_limits_are_per_minute() -> None:
    told = read_headers(
        {
            "anthropic-ratelimit-requests-limit": "60",
            "anthropic-ratelimit-requests-remaining": "59",
            "anthropic-ratelimit-requests-reset": "2026-11-13T12:00:01Z",
        },
        AT,
    )
    assert told == Told(requests=Quota(1.0, 59.0))


def test_a_limit_that_takes_hours_to_refill_is_a_daily_one() -> None:
    """Groq's requests are per day, under OpenAI's names."""
    told = read_headers(
        {
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-reset-requests": "3m0s",
        },
        AT,
    )
    assert told.requests is not None
    assert told.requests.rate_per_s == pytest.approx(14400 / 86400)


@pytest.mark.parametrize("limit", ["-1", "0", "unlimited", ""])
def test_a_limit_that_is_no_limit_is_ignored(limit: str) -> None:
    assert read_headers({"x-ratelimit-limit-requests": limit}, AT) == Told()


@pytest.mark.parametrize("remaining", ["-1", "700", "many"])
def test_a_remainder_that_cannot_be_is_ignored(remaining: str) -> None:
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": remaining}
    assert read_headers(headers, AT).requests == Quota(10.0, None)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "retry-after",
                "retry-after-ms",
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ]
        ),
        st.text(max_size=30),
    )
)
def test_no_header_breaks_the_reader(headers: dict[str, str]) -> None:
    told = read_headers(headers, AT)
    assert told.retry_after_s is None or told.retry_after_s > 0
