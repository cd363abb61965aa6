from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.simulator.errors import InvalidOption
from swarm.simulator.faults import Fault, draw_fault, parse_fault

SHARES = {Fault.SLOW: 0.25, Fault.HANG_UP: 0.5}


def drawn(count: int, *, seed: int = 7) -> list[Fault | None]:
    return [draw_fault(SHARES, seed=seed, body=b"%d" % number, retry_count=0) for number in range(count)]


def test_every_fault_comes_as_often_as_its_share_says() -> None:
    faults = drawn(4000)
    assert faults.count(Fault.SLOW) == pytest.approx(1000, rel=0.1)
    assert faults.count(Fault.HANG_UP) == pytest.approx(2000, rel=0.1)
    assert faults.count(None) == pytest.approx(1000, rel=0.1)


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    assert drawn(100) == drawn(100)
    assert drawn(100) != drawn(100, seed=8)


def test_a_retry_may_meet_another_fate() -> None:
    fates = {draw_fault(SHARES, seed=7, body=b"the same", retry_count=count) for count in range(20)}
    assert fates == {None, Fault.SLOW, Fault.HANG_UP}


@given(body=st.binary(), retry_count=st.integers(0, 10), seed=st.integers())
def test_a_share_of_one_is_always_met_and_one_of_zero_never(body: bytes, retry_count: int, seed: int) -> None:
    shares = {Fault.DRIP: 0.0, Fault.HUGE: 1.0}
    assert draw_fault(shares, seed=seed, body=body, retry_count=retry_count) is Fault.HUGE
    assert draw_fault({}, seed=seed, body=body, retry_count=retry_count) is None


def test_a_fault_is_named_with_or_without_a_share() -> None:
    assert parse_fault("hang_up") == (Fault.HANG_UP, 1.0)
    assert parse_fault("status_529:0.05") == (Fault.STATUS_529, 0.05)


@pytest.mark.parametrize("text", ["", "HANG_UP", "status_418", ":0.1"])
def test_an_unknown_fault_is_answered_with_those_that_there_are(text: str) -> None:
    with pytest.raises(InvalidOption, match="unknown: name one of empty_choices, "):
        parse_fault(text)


@pytest.mark.parametrize("text", ["slow:", "slow:often", "slow:1:2"])
def test_a_share_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"write slow:0\.1"):
        parse_fault(text)


def test_only_faults_that_are_a_status_have_one() -> None:
    assert {fault.status for fault in Fault} == {None, 408, 409, 500, 503, 529}
