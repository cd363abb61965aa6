"""Whether and when a failed call is sent again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.chat import errors
from swarm.chat.limiter import Told
from swarm.chat.retries import Retry, RetryPolicy

policy = RetryPolicy(max_retries=3, base_s=1.0, cap_s=5.0)


@given(st.integers(0, 2), st.floats(0, 1, exclude_max=True))
def test_the_delay_is_full_jitter_under_a_doubling_ceiling(retries: int, chance: float) -> None:
    decision = policy.decide(errors.UpstreamUnavailable("down"), retries=retries, left_s=100, chance=chance)
    assert decision == Retry(chance * min(5.0, 2.0**retries))


def test_retry_after_is_a_floor() -> None:
    error = errors.UpstreamUnavailable("down", Told(retry_after_s=4.0))
    assert policy.decide(error, retries=0, left_s=100, chance=0.5) == Retry(4.0)


def test_there_is_no_retry_that_would_end_after_the_deadline() -> None:
    error = errors.UpstreamUnavailable("down", Told(retry_after_s=4.0))
    assert policy.decide(error, retries=0, left_s=4.0, chance=0.5) is None


def test_retries_end() -> None:
    assert policy.decide(errors.UpstreamTimeout("slow"), retries=3, left_s=100, chance=0.5) is None


def test_after_a_429_the_limiter_does_the_waiting_as_often_as_time_allows() -> None:
    assert policy.decide(errors.RateLimited("slow down"), retries=99, left_s=1, chance=0.5) == Retry(0.0)
    assert policy.decide(errors.RateLimited("slow down"), retries=0, left_s=0, chance=0.5) is None


@pytest.mark.parametrize(
    "kind",
    [
        errors.BadRequest,
        errors.BadCredentials,
        errors.BudgetExhausted,
        errors.ContentRefused,
        errors.ContextTooLong,
        errors.ModelNotFound,
    ],
)
def test_what_cannot_succeed_is_not_tried_again(kind: type[errors.ChatError]) -> None:
    assert policy.decide(kind("no"), retries=0, left_s=100, chance=0.5) is None
