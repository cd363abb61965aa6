"""How each kind of error is tried again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.chat.errors import BadCredentials, MalformedReply, RateLimited, UpstreamTimeout, UpstreamUnavailable
from swarm.engine.errors import NodeTimedOut, NoProgress, TooManyTurns, UnusableCalls
from swarm.engine.retry_policy import RULES, Retry, decide
from swarm.errors import SwarmError
from swarm.locks.errors import DeadlockVictim, LockLost, LockTimedOut
from swarm.workspace.errors import LostUpdate

CHARGED = [MalformedReply(""), NoProgress(""), TooManyTurns(""), UnusableCalls(""), LockTimedOut(""), LostUpdate("")]
UNCHARGED = [
    RateLimited(""),
    UpstreamUnavailable(""),
    UpstreamTimeout(""),
    DeadlockVictim("a.py", [uuid.UUID(int=1)]),
    LockLost(""),
]
FATAL = [BadCredentials(""), NodeTimedOut("")]


def the_longest(low: float, high: float) -> float:
    return high


def kinds(of: type[SwarmError] = SwarmError) -> Iterator[type[SwarmError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("error", CHARGED, ids=lambda error: error.code)
def test_what_the_model_did_wrong_costs_one_of_the_attempts(error: SwarmError) -> None:
    assert decide(error, failures=1, attempts_left=1, jitter=the_longest) == Retry(1.0, is_charged=True)
    assert decide(error, failures=1, attempts_left=0) is None


@pytest.mark.parametrize("error", UNCHARGED, ids=lambda error: error.code)
def test_what_is_nobodys_fault_costs_no_attempt(error: SwarmError) -> None:
    retry = decide(error, failures=50, attempts_left=0)
    assert retry is not None
    assert not retry.is_charged


@pytest.mark.parametrize("error", [UpstreamUnavailable(""), UpstreamTimeout("")], ids=lambda error: error.code)
def test_an_endpoint_that_never_answered_is_not_waited_for_without_end(error: SwarmError) -> None:
    charged = decide(error, failures=1, attempts_left=1, has_answered=False, jitter=the_longest)
    assert charged == Retry(1.0, is_charged=True)
    assert decide(error, failures=2, attempts_left=0, has_answered=False) is None


def test_an_endpoint_that_asks_to_wait_has_answered() -> None:
    retry = decide(RateLimited(""), failures=1, attempts_left=0, has_answered=False)
    assert retry is not None
    assert not retry.is_charged


@pytest.mark.parametrize("error", FATAL, ids=lambda error: error.code)
def test_what_another_attempt_cannot_mend_is_not_tried_again(error: SwarmError) -> None:
    assert decide(error, failures=1, attempts_left=9) is None


@given(failures=st.integers(1, 10_000), kind=st.sampled_from(CHARGED + UNCHARGED))
def test_waits_double_up_to_their_cap_and_are_spread_over_all_of_it(failures: int, kind: SwarmError) -> None:
    longest, shortest = (decide(kind, failures=failures, attempts_left=1, jitter=jitter) for jitter in (max, min))
    following = decide(kind, failures=failures + 1, attempts_left=1, jitter=max)
    assert longest is not None
    assert shortest is not None
    assert following is not None
    assert shortest.delay_s == 0.0
    assert longest.delay_s <= following.delay_s <= 60.0
    assert following.delay_s in (2 * longest.delay_s, 30.0, 60.0)


def test_every_rule_is_about_errors_that_say_themselves_that_they_may_be_tried_again() -> None:
    retryable = {kind.code for kind in kinds() if kind.retryable}
    assert set(RULES) <= retryable
