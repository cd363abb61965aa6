"""How many tokens a call may reserve of its execution's and its node's budget. Pure: what was used comes in as numbers.

A call reserves before it is made what it may use at most, so that no number of calls at once can pass the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BYTES_A_TOKEN = 3
"""Fewer than the usual four, so that a prompt rarely turns out longer than it was reserved for."""

FIRST_ANSWER_TOKENS = 500
"""What an answer is expected to take as long as there is none to learn from."""

LONGEST_ANSWER_TOKENS = 4096
"""An answer that has this many reserved is not cut: the reserve in its prompt's estimate covers longer ones."""


@dataclass(frozen=True)
class Reservation:
    """Tokens reserved for one call; its answer is to be cut after `answer_tokens`, unless that is None."""

    tokens: int
    answer_tokens: int | None


@dataclass(frozen=True)
class TokenBudget:
    """Tokens of an execution or a node: the budget, what of it was used, and what calls in flight have reserved.

    Up to `sharers` calls draw on it at once.
    """

    budget: int
    used: int
    reserved: int
    sharers: int = 1

    def can_ever_hold(self, tokens: int) -> bool:
        """Whether `tokens` would fit if all calls in flight gave their reservations back."""
        return tokens <= self.budget - self.used

    def reserve(self, *, prompt_tokens: int, answer_tokens: int) -> Reservation | None:
        """Tokens for a call whose answer is expected to take `answer_tokens`; None while they do not fit.

        The answer may take more, up to an equal share of what is left for each of the sharers.
        """
        left = self.budget - self.used - self.reserved - prompt_tokens
        if left < answer_tokens:
            return None
        most = max(answer_tokens, min(LONGEST_ANSWER_TOKENS, left // max(1, self.sharers)))
        return Reservation(prompt_tokens + most, most if most < LONGEST_ANSWER_TOKENS else None)


def reserve_of_all(budgets: Sequence[TokenBudget], *, prompt_tokens: int, answer_tokens: int) -> Reservation | None:
    """What a call may reserve that draws on each of `budgets`; None while it does not fit into one of them."""
    found = [budget.reserve(prompt_tokens=prompt_tokens, answer_tokens=answer_tokens) for budget in budgets]
    fitting = [reservation for reservation in found if reservation is not None]
    return min(fitting, key=lambda it: it.tokens) if len(fitting) == len(found) else None


def prompt_tokens(size_bytes: int) -> int:
    """Tokens that a request of `size_bytes` takes, estimated rather too high."""
    return -(-size_bytes // BYTES_A_TOKEN)


def expected_answer(mean_tokens: float | None) -> int:
    """Tokens to set aside for an answer when earlier ones took `mean_tokens`: twice that, for they differ."""
    return FIRST_ANSWER_TOKENS if mean_tokens is None else max(1, round(2 * mean_tokens))
