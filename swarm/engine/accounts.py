"""The accounts of a node's calls: a row for each, its tokens reserved before it and settled after it, and its price.

A call that finds the budget reserved by others waits until one of them is settled, which may give tokens back.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.chat.gateway import Completion, Phase
from swarm.chat.replies import Usage
from swarm.engine.errors import TokenBudgetExhausted
from swarm.engine.token_budget import Reservation, TokenBudget, expected_answer, prompt_tokens, reserve_of_all
from swarm.engine.work import Work
from swarm.errors import SwarmError
from swarm.events.record import recording
from swarm.models import Activity, Call, Execution, Node

RECHECK_S = 1.0
"""How often a call that waits for tokens looks again: another process may have given some back."""


class AccountedCall:
    """One call in progress, and where its time goes. Use `accounted_call`."""

    def __init__(self, work: Work, row: Call, request: dict[str, Any], prompt_tokens: int) -> None:
        self.request = request
        self._work = work
        self._row = row
        self._prompt_tokens = prompt_tokens
        self._seconds = {"thinking": 0.0, "waiting_for_budget": 0.0}
        self._doing, self._since_s = "thinking", time.monotonic()
        self._sent = self._refused = 0

    def enter(self, phase: Phase) -> None:
        """Book what the call does from now on. Raises `WrongStatus` if the node has ended."""
        self._book()
        self._doing = phase.activity
        self._sent += phase.activity == "thinking"
        self._work.timesheet.enter(Activity(phase.activity), phase.detail)

    def tell_rate_limited(self, pause_s: float) -> None:
        """Record a 429, after which everybody pauses."""
        self._refused += 1
        with recording(self._work.execution.pk) as record:
            record("swarm:rate-limited", self._work.node, pause=pause_s)

    def settle(self, completion: Completion) -> None:
        """Count an answer: for the node and, in the same transaction, in the call's row."""
        usage = completion.reply.usage
        cost = cost_of(usage, asked=self._row.model, answered=completion.reply.model)
        with transaction.atomic():
            self._work.node.add_usage(
                prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, cost=cost
            )
            self._row.settle(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                charged_tokens=usage.total_tokens or self._estimate(completion),
                cost=cost,
                queued_s=completion.queued_s,
                upstream_s=completion.upstream_s,
                retries=completion.retries,
                rate_limited_count=completion.rate_limited_count,
            )

    def fail(self, code: str) -> None:
        """Record that no answer came, and give the reservation back."""
        self._book()
        self._row.fail(
            code,
            queued_s=self._seconds["waiting_for_budget"],
            upstream_s=self._seconds["thinking"],
            retries=max(0, self._sent - 1),
            rate_limited_count=self._refused,
        )

    def _estimate(self, completion: Completion) -> int:
        """What an answer used whose server does not say."""
        return self._prompt_tokens + prompt_tokens(_size(completion.reply.message))

    def _book(self) -> None:
        at_s = time.monotonic()
        self._seconds[self._doing] += at_s - self._since_s
        self._since_s = at_s


@contextmanager
def accounted_call(work: Work, number: int, request: dict[str, Any]) -> Iterator[AccountedCall]:
    """Enter the call of turn `number` into the accounts, once the budgets of execution and node have tokens for it.

    Send the `request` of what this gives, and `settle` the answer; whatever is raised inside is entered as its failure.
    Raises `TokenBudgetExhausted` when too few tokens are left, `NodeTimedOut` and `Cancelled` while it waits.
    """
    estimate = prompt_tokens(_size(request))
    row, answer_tokens = _reserve(work, number, request["model"], estimate)
    if answer_tokens is not None:
        request = request | {"max_completion_tokens": answer_tokens}
    call = AccountedCall(work, row, request, estimate)
    try:
        # Shown before the call is under way: on the way to the gateway nobody tells what it does.
        work.timesheet.enter(Activity.THINKING, "Waiting for the model's answer")
        yield call
    except BaseException as error:
        call.fail(error.code if isinstance(error, SwarmError) else SwarmError.code)
        raise
    finally:
        _returns.ring()


def cost_of(usage: Usage, *, asked: str, answered: str) -> Decimal | None:
    """What the tokens cost by SWARM_PRICES, under the name of the model asked for or of the one that answered."""
    prices = settings.SWARM_PRICES.get(asked) or settings.SWARM_PRICES.get(answered)
    if prices is None:
        return None
    prompt, completion = prices
    return (usage.prompt_tokens * prompt + usage.completion_tokens * completion) / 1_000_000


def _reserve(work: Work, number: int, model: str, prompt_tokens: int) -> tuple[Call, int | None]:
    """The call's row, made once its tokens fit into the budgets, and after how many tokens its answer is to be cut."""
    row = Call(node=work.node, attempt=work.node.attempt, number=number, model=model[:200])
    if work.execution.token_budget is None and work.execution.node_token_budget is None:
        row.save(force_insert=True)
        return row, None
    while True:
        seen = _returns.count
        with transaction.atomic():
            # The execution's row decides who reserves first.
            execution = Execution.objects.select_for_update().get(pk=work.execution.pk)
            reservation = _reservation(execution, work.node, prompt_tokens)
            if reservation is not None:
                row.started_at, row.charged_tokens = now(), reservation.tokens
                row.save(force_insert=True)
                return row, reservation.answer_tokens
        work.timesheet.enter(Activity.WAITING_FOR_BUDGET, "Waiting for tokens that other calls have reserved")
        _returns.wait_beyond(seen, work.cancellation, min(RECHECK_S, work.remaining_s()))


def _reservation(execution: Execution, node: Node, prompt_tokens: int) -> Reservation | None:
    """What a call may reserve now; None if it has to wait for others. Raises `TokenBudgetExhausted`."""
    used, reserved, mean_answer = Call.objects.filter(node__execution=execution).tokens()
    answer = expected_answer(mean_answer)
    budgets: list[TokenBudget] = []
    if (limit := execution.token_budget) is not None:
        running = execution.nodes.filter(status=Node.Status.RUNNING).count()
        budgets.append(TokenBudget(limit, used, reserved, sharers=running))
        _refuse_what_never_fits(budgets[-1], prompt_tokens + answer, "execution", "token_budget")
    if (limit := execution.node_token_budget) is not None:
        used, reserved, _ = Call.objects.filter(node=node).tokens()
        budgets.append(TokenBudget(limit, used, reserved))
        _refuse_what_never_fits(budgets[-1], prompt_tokens + answer, "node", "node_token_budget")
    return reserve_of_all(budgets, prompt_tokens=prompt_tokens, answer_tokens=answer)


def _refuse_what_never_fits(budget: TokenBudget, tokens: int, whose: str, option: str) -> None:
    if not budget.can_ever_hold(tokens):
        raise TokenBudgetExhausted(
            f"The next call takes about {tokens} tokens, and the {whose} has used {budget.used} of its {budget.budget} "
            f"({option}); start another execution with more."
        )


def _size(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))


class _Returns:
    """Wakes the threads of this process that wait for tokens whenever a call was settled."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def ring(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait_beyond(self, count: int, cancellation: Cancellation, timeout_s: float) -> None:
        """Sleep until the count is beyond `count`, at most `timeout_s`. Raises `Cancelled`."""
        with cancellation.calling(self.ring), self._changed:
            self._changed.wait_for(lambda: self.count > count, timeout_s)
        cancellation.raise_if_cancelled()


_returns = _Returns()
