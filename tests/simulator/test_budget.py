from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.simulator.budget import Budget


def budget_of(*, rpm: int = 0, tpm: int = 0, burst: int = 0, charges_rejected: bool = False, at: float = 0.0) -> Budget:
    return Budget(rpm=rpm, tpm=tpm, burst=burst, charges_rejected=charges_rejected, at=at)


def test_a_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    budget = budget_of(rpm=60, burst=2, at=100.0)
    assert [budget.spend(10, 100.0) for _ in range(3)] == [("", 0.0), ("", 0.0), ("requests", 1.0)]
    assert budget.spend(10, 100.5) == ("requests", 0.5)
    assert budget.spend(10, 101.0) == ("", 0.0)


def test_without_a_burst_a_whole_minute_fits() -> None:
    budget = budget_of(rpm=5)
    assert [budget.spend(1, 0.0)[0] for _ in range(6)] == ["", "", "", "", "", "requests"]


def test_the_scarcer_budget_is_named() -> None:
    budget = budget_of(rpm=60, tpm=600)
    assert budget.spend(600, 0.0) == ("", 0.0)
    assert budget.spend(100, 0.0) == ("tokens", 10.0)
    assert budget.limit("tokens") == 600


def test_a_request_larger_than_the_budget_passes_when_the_bucket_is_full() -> None:
    budget = budget_of(tpm=60)
    assert budget.spend(1000, 0.0) == ("", 0.0)
    assert budget.spend(1000, 30.0) == ("tokens", 30.0)


def test_no_limit_never_waits() -> None:
    budget = budget_of()
    assert [budget.spend(10**9, 0.0) for _ in range(3)] == [("", 0.0)] * 3
    assert budget.headers() == {}


def test_a_rejected_request_costs_nothing() -> None:
    budget = budget_of(rpm=60, burst=1)
    budget.spend(1, 0.0)
    assert [budget.spend(1, 0.0) for _ in range(3)] == [("requests", 1.0)] * 3


def test_a_rejected_request_counts_where_it_is_charged() -> None:
    budget = budget_of(rpm=60, burst=1, charges_rejected=True)
    budget.spend(1, 0.0)
    assert [budget.spend(1, 0.0) for _ in range(3)] == [("requests", 2.0), ("requests", 3.0), ("requests", 4.0)]
    assert budget.headers()["x-ratelimit-remaining-requests"] == "0"
    assert budget.spend(1, 4.0) == ("", 0.0)


def test_the_debt_of_rejected_requests_is_paid_off_within_a_minute() -> None:
    budget = budget_of(rpm=10, burst=1, charges_rejected=True)
    for _ in range(100):
        budget.spend(1, 0.0)
    assert budget.spend(1, 66.0) == ("", 0.0)


@given(
    rpm=st.integers(1, 600),
    burst=st.integers(1, 20),
    pauses=st.lists(st.floats(0, 3), max_size=60),
)
def test_never_more_than_burst_and_rate_pass_in_any_window(rpm: int, burst: int, pauses: list[float]) -> None:
    budget = budget_of(rpm=rpm, burst=burst)
    at = 0.0
    passed = []
    for pause in pauses:
        at += pause
        if budget.spend(1, at)[0] == "":
            passed.append(at)
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= burst + (end - start) * rpm / 60 + 1e-6
