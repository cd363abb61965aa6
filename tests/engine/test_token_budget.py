"""A budget that is reserved before and settled after cannot be passed, whoever draws on it in whatever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.engine.token_budget import (
    FIRST_ANSWER_TOKENS,
    LONGEST_ANSWER_TOKENS,
    TokenBudget,
    expected_answer,
    prompt_tokens,
    reserve_of_all,
)

TOKENS = st.integers(0, 20_000)


@given(
    budget=st.integers(1, 200_000),
    calls=st.lists(st.tuples(TOKENS, st.integers(1, 6_000), st.integers(1, 64), st.floats(0, 1), st.booleans())),
)
def test_calls_that_stay_within_their_reservations_never_pass_the_budget(
    budget: int, calls: list[tuple[int, int, int, float, bool]]
) -> None:
    used = 0
    in_flight: list[tuple[int, float]] = []
    for prompt, answer, sharers, share_used, ends_first in calls:
        if ends_first and in_flight:
            tokens, share = in_flight.pop(0)
            used += int(tokens * share)
        state = TokenBudget(budget, used, sum(tokens for tokens, _ in in_flight), sharers)
        reservation = state.reserve(prompt_tokens=prompt, answer_tokens=answer)
        if reservation is None:
            assert prompt + answer > budget - state.used - state.reserved
        else:
            assert reservation.tokens >= prompt + answer
            in_flight.append((reservation.tokens, share_used))
        assert used + sum(tokens for tokens, _ in in_flight) <= budget


@given(budget=st.integers(1, 10**7), prompt=TOKENS, sharers=st.integers(1, 64))
def test_as_many_as_share_a_budget_can_call_at_once_while_it_holds_what_each_needs(
    budget: int, prompt: int, sharers: int
) -> None:
    reserved = 0
    needed = sharers * (prompt + FIRST_ANSWER_TOKENS)
    for _ in range(sharers):
        reservation = TokenBudget(budget, 0, reserved, sharers).reserve(
            prompt_tokens=prompt, answer_tokens=FIRST_ANSWER_TOKENS
        )
        if reservation is None:
            # An equal share of what is left is more than the first need, so only then somebody has to wait.
            assert budget < needed + sharers * LONGEST_ANSWER_TOKENS
            return
        reserved += reservation.tokens


@given(
    budgets=st.lists(st.builds(TokenBudget, *[TOKENS] * 3, st.integers(1, 8)), min_size=1, max_size=3), prompt=TOKENS
)
def test_what_is_reserved_of_several_budgets_fits_into_each_and_is_as_much_as_the_tightest_gives(
    budgets: list[TokenBudget], prompt: int
) -> None:
    of_each = [budget.reserve(prompt_tokens=prompt, answer_tokens=500) for budget in budgets]
    reservation = reserve_of_all(budgets, prompt_tokens=prompt, answer_tokens=500)
    if reservation is None:
        assert None in of_each
    else:
        assert all(reservation.tokens <= it.budget - it.used - it.reserved for it in budgets)
        assert reservation in of_each


def test_an_answer_is_cut_only_where_the_budget_is_tight() -> None:
    roomy = TokenBudget(10**6, 0, 0, 10).reserve(prompt_tokens=1_000, answer_tokens=500)
    tight = TokenBudget(2_000, 0, 0, 10).reserve(prompt_tokens=1_000, answer_tokens=500)
    assert roomy is not None
    assert tight is not None
    assert (roomy.tokens, roomy.answer_tokens) == (1_000 + LONGEST_ANSWER_TOKENS, None)
    assert (tight.tokens, tight.answer_tokens) == (1_500, 500)


def test_what_could_come_back_from_calls_in_flight_is_worth_waiting_for_and_no_more() -> None:
    budget = TokenBudget(budget=1_000, used=300, reserved=600)
    assert budget.reserve(prompt_tokens=500, answer_tokens=100) is None
    assert budget.can_ever_hold(700)
    assert not budget.can_ever_hold(701)


def test_an_answer_is_expected_to_be_twice_as_long_as_the_mean_so_far() -> None:
    assert expected_answer(None) == FIRST_ANSWER_TOKENS
    assert (expected_answer(120.4), expected_answer(0.0)) == (241, 1)


def test_a_prompt_is_estimated_rather_too_long() -> None:
    assert [prompt_tokens(size) for size in (0, 1, 3, 4, 300)] == [0, 1, 1, 2, 100]
