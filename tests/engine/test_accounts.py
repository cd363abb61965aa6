"""A row for each call of each node, whichever way it went, and budgets that no number of calls can pass."""

from __future__ import annotations

import random
import time
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.db.models import Sum
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.chat.gateway import Completion, Phase
from swarm.chat.replies import ChatReply, Usage
from swarm.engine import accounts
from swarm.engine.accounts import accounted_call, cost_of
from swarm.engine.errors import TokenBudgetExhausted, WorkerLost
from swarm.engine.executor import executor
from swarm.engine.lifecycle import cancel
from swarm.engine.recovery import put_back_lost_nodes
from swarm.engine.report import execution_report
from swarm.engine.timesheet import Timesheet
from swarm.engine.work import Work
from swarm.errors import Cancelled
from swarm.models import Call, Execution, Node, Period
from swarm.models.call import CallQuerySet
from tests.chat.server import Exchange, completion
from tests.factories import in_thread, make_execution, make_node, run_threads, wait_until
from tests.main_job import MainJob, node_of

REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x" * 2000}]}


def work_of(node: Node, patience_s: float = 60) -> Work:
    """An attempt with no more in its hands than a call needs."""
    nothing: Any = None
    cancellation = Cancellation()
    return Work(
        node=node, execution=node.execution, story=nothing, repository=nothing, snapshot=nothing,
        timesheet=Timesheet(node, cancellation), cancellation=cancellation, deadline_s=time.monotonic() + patience_s,
    )  # fmt: skip


def answer_of(prompt_tokens: int, completion_tokens: int, text: str = "good day") -> Completion:
    message = {"role": "assistant", "content": text}
    usage = Usage(prompt_tokens, completion_tokens)
    return Completion(ChatReply(message, (), text, "stop", usage, "m-2026"), 0.5, 1.5, 1, 1)


def call(node: Node, prompt_tokens: int = 500, completion_tokens: int = 10) -> None:
    """One call from its reservation to its answer."""
    with accounted_call(work_of(node), 1, REQUEST) as it:
        it.settle(answer_of(prompt_tokens, completion_tokens))


# On the main job, both ways


@pytest.mark.usefixtures("each_way")
def test_every_answered_call_has_a_row_and_the_sums_of_nodes_and_execution_are_those_of_the_rows(
    main_job: MainJob, settings: Any
) -> None:
    settings.SWARM_PRICES = {"simulated-developer": (Decimal("1"), Decimal("10"))}

    execution = main_job.run("1.1", "2.1", "2.3")

    for node in execution["nodes"]:
        rows = Call.objects.filter(node=node["id"])
        sums = rows.aggregate(prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"), cost=Sum("cost"))
        assert node["usage"] == {
            "calls": rows.count(),
            "prompt_tokens": sums["prompt"],
            "completion_tokens": sums["completion"],
            "cost": pytest.approx(float(sums["cost"])),
        }
        assert [(row.outcome, row.model) for row in rows] == [("ok", "simulated-developer")] * rows.count()
        assert [row.number for row in rows] == list(range(1, rows.count() + 1))
    total = Call.objects.aggregate(cost=Sum("cost"))["cost"]
    assert execution["usage"]["cost"] == pytest.approx(float(total))
    assert execution["usage"]["calls"] == Call.objects.count()


@pytest.mark.usefixtures("each_way")
def test_the_wait_after_a_429_is_in_the_row_and_in_the_timesheet_and_is_no_work(main_job: MainJob) -> None:
    execution = main_job.run("2.1")

    refused = Call.objects.get(rate_limited_count=1)
    assert (refused.outcome, refused.retries) == ("ok", 1)
    assert refused.queued_s >= 0.9
    node = node_of(execution, "2.1")
    assert node["budget_wait"] == pytest.approx(sum(row.queued_s for row in Call.objects.all()), abs=0.3)
    waits = Period.objects.filter(activity="waiting_for_budget")
    assert sum(period.seconds for period in waits) == pytest.approx(node["budget_wait"])
    assert node["duration"] is not None
    assert node["work_time"] <= node["duration"] - node["budget_wait"] + 0.1


@pytest.mark.usefixtures("each_way")
def test_a_failed_call_has_a_row_with_its_error(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = lambda exchange: exchange.send(400, {"error": {"message": "no"}})

    execution = main_job.run("1.1")

    row = Call.objects.get()
    assert (row.outcome, row.prompt_tokens, row.retries, row.rate_limited_count) == ("bad_request", 0, 0, 0)
    assert row.upstream_s > 0
    assert node_of(execution, "1.1")["usage"]["calls"] == 0


@pytest.mark.usefixtures("each_way")
def test_a_cancelled_call_has_a_row_that_says_so(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = lambda exchange: main_job.model.is_closing.wait(60) and exchange.hang_up()
    execution = main_job.start("1.1")
    wait_until(lambda: main_job.model.in_flight == 1)

    cancel(execution.pk)
    executor.drain()

    assert Call.objects.get().outcome == "cancelled"


@pytest.mark.usefixtures("each_way")
def test_many_nodes_at_once_stay_within_a_budget_that_does_not_suffice(main_job: MainJob) -> None:
    sent: list[int] = []

    def use_what_was_sent(exchange: Exchange) -> None:
        """As many prompt tokens as real models count, and the longest answer that is allowed."""
        body = exchange.request.body
        prompt = len(str(body)) // 4
        most = body.get("max_completion_tokens", 4096)
        sent.append(prompt + most)
        usage = {"prompt_tokens": prompt, "completion_tokens": most, "total_tokens": prompt + most}
        exchange.send(200, completion("Let me think.") | {"usage": usage})

    main_job.model.always = use_what_was_sent

    execution = main_job.run("1.1", "1.2", "1.3", "2.2", "2.3", "3.1", token_budget=40_000, max_attempts=1)

    used = execution["usage"]["prompt_tokens"] + execution["usage"]["completion_tokens"]
    assert used == sum(sent) <= 40_000
    codes = {node["error"]["code"] for node in execution["nodes"] if node["error"]}
    assert "budget_exhausted" in codes
    assert not Call.objects.filter(outcome="in_flight").exists()


def test_a_budget_that_suffices_changes_nothing(main_job: MainJob) -> None:
    execution = main_job.run("1.1", "2.3", token_budget=1_000_000)

    assert execution["status"] == Execution.Status.COMPLETED
    assert all("max_completion_tokens" not in it.body for it in main_job.model.received)


@pytest.mark.usefixtures("each_way")
def test_a_node_that_used_up_its_own_budget_fails_by_name_and_the_others_are_completed(main_job: MainJob) -> None:
    usage = {"prompt_tokens": 99_000, "completion_tokens": 1_000, "total_tokens": 100_000}
    main_job.behaviours["1.1"] = lambda exchange: exchange.send(200, completion("Let me think.") | {"usage": usage})

    execution = main_job.run("1.1", "2.3", "3.3", node_token_budget=100_001)

    error = node_of(execution, "1.1")["error"]
    assert error is not None
    assert (error["code"], error["retryable"]) == ("budget_exhausted", False)
    assert "the node has used 100000 of its 100001 (node_token_budget)" in error["message"]
    assert execution["progress"]["completed"] == 2
    assert all("max_completion_tokens" not in it.body for it in main_job.model.received)


# The budgets themselves


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budgets", [(30_000, None), (None, 5_000), (30_000, 5_000)], ids=str)
def test_sixteen_threads_never_have_more_tokens_used_and_reserved_than_a_budget(
    budgets: tuple[int | None, int | None], seed: int
) -> None:
    """Two threads for each node, as when a process that was taken for lost still goes on."""
    execution = make_execution(token_budget=budgets[0], node_token_budget=budgets[1])
    nodes = [make_node(execution) for _ in range(8)]
    developers = [*nodes, *(Node.objects.get(pk=node.pk) for node in nodes)]
    over: list[int] = []
    chance = random.Random(seed)
    plans = [[(chance.random(), chance.random()) for _ in range(6)] for _ in developers]

    def watch(calls: CallQuerySet, budget: int | None) -> None:
        used, reserved, _ = calls.tokens()
        if budget is not None and used + reserved > budget:
            over.append(used + reserved)

    def draw(index: int) -> int:
        node, count = developers[index], 0
        for number, (share, end) in enumerate(plans[index], start=10 * index):
            try:
                with accounted_call(work_of(node), number, REQUEST) as it:
                    watch(Call.objects.filter(node__execution=execution), budgets[0])
                    watch(Call.objects.filter(node=node), budgets[1])
                    row = Call.objects.get(node=node, number=number)
                    if end < 0.2:
                        raise ConnectionError
                    tokens = int(row.charged_tokens * share)
                    it.settle(answer_of(tokens, 1))
                    count += 1
            except ConnectionError:
                continue
            except TokenBudgetExhausted:
                break
        return count

    answered = sum(run_threads([partial(draw, index) for index in range(16)]))

    assert over == []
    assert not Call.objects.filter(outcome="in_flight").exists()
    assert Call.objects.filter(outcome="ok").count() == answered > 0


@pytest.mark.django_db(transaction=True)
def test_a_call_waits_for_tokens_that_another_has_reserved_and_is_woken_when_they_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accounts, "RECHECK_S", 3600)
    execution = make_execution(token_budget=2_000)
    first, second = make_node(execution), make_node(execution)
    with accounted_call(work_of(first), 1, REQUEST) as it:
        waiting = in_thread(lambda: call(second, prompt_tokens=600))
        wait_until(lambda: Node.objects.filter(activity="waiting_for_budget").exists())
        assert not Call.objects.filter(node=second).exists()
        it.settle(answer_of(50, 10))
    waiting.result(30)
    assert Call.objects.filter(outcome="ok").count() == 2
    assert Period.objects.filter(node=second, activity="waiting_for_budget").exists()


@pytest.mark.django_db(transaction=True)
def test_a_call_that_waits_for_tokens_can_be_cancelled() -> None:
    execution = make_execution(token_budget=1_500)
    first, second = make_node(execution), make_node(execution)
    work = work_of(second)

    def wait_in_vain() -> None:
        with accounted_call(work, 1, REQUEST):
            pass

    with accounted_call(work_of(first), 1, REQUEST) as it:
        waiting = in_thread(wait_in_vain)
        wait_until(lambda: Node.objects.filter(activity="waiting_for_budget").exists())
        work.cancellation.cancel("Enough.")
        with pytest.raises(Cancelled, match="Enough"):
            waiting.result(30)
        it.settle(answer_of(1, 1))
    assert Call.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_call_that_can_never_fit_fails_at_once_and_says_what_is_left() -> None:
    node = make_node(make_execution(token_budget=1_300))
    call(node, prompt_tokens=700)
    with pytest.raises(TokenBudgetExhausted, match=r"the execution has used 710 of its 1300 \(token_budget\)"):
        call(node)
    assert Call.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_attempts_of_a_node_count_together_and_those_of_others_do_not() -> None:
    execution = make_execution(node_token_budget=1_300)
    node, other = make_node(execution), make_node(execution)
    call(node, prompt_tokens=700)
    node.begin_attempt()
    with pytest.raises(TokenBudgetExhausted, match=r"the node has used 710 of its 1300 \(node_token_budget\)"):
        call(node)
    call(other, prompt_tokens=700)
    assert Call.objects.filter(outcome="ok").count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_tighter_of_the_two_budgets_cuts_the_answer() -> None:
    for budgets, most in [((9_000, 2_000), 2_000), ((2_000, 9_000), 2_000), ((9_000, 9_000), None)]:
        node = make_node(make_execution(token_budget=budgets[0], node_token_budget=budgets[1]))
        with accounted_call(work_of(node), 1, REQUEST) as it:
            reserved = Call.objects.get(node=node).charged_tokens
            assert reserved == most or (most is None and "max_completion_tokens" not in it.request)
            it.settle(answer_of(1, 1))


@pytest.mark.django_db(transaction=True)
def test_what_a_dead_process_had_reserved_is_free_once_its_node_is_put_back() -> None:
    execution = make_execution(token_budget=1_500)
    node = make_node(execution, lease_expires_at=now())
    Call.objects.create(node=node, attempt=1, number=1, model="m", charged_tokens=1_500)

    assert put_back_lost_nodes() == 1

    assert Call.objects.get().outcome == WorkerLost.code
    call(make_node(execution), prompt_tokens=10)
    assert Call.objects.filter(node__execution=execution).tokens()[:2] == (20, 0)


@pytest.mark.django_db(transaction=True)
def test_a_server_that_says_no_usage_is_charged_by_estimate() -> None:
    node = make_node(make_execution(token_budget=5_000))
    call(node, prompt_tokens=0, completion_tokens=0)
    used, _, _ = Call.objects.tokens()
    assert 600 < used < 800
    [report] = execution_report(node.execution)["nodes"]
    assert (report["usage"]["prompt_tokens"], report["usage"]["completion_tokens"]) == (0, 0)


# Where the time of a failed call went, and prices


@pytest.mark.django_db(transaction=True)
def test_the_phases_of_a_failed_call_tell_how_long_it_waited_and_how_often_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    node = make_node(make_execution())
    work = work_of(node)
    monkeypatch.setattr(accounts, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    phases = [("waiting_for_budget", 2.0), ("thinking", 3.0), ("waiting_for_budget", 4.0), ("thinking", 5.0)]

    def go_through_phases_and_fail() -> None:
        with accounted_call(work, 7, REQUEST) as it:
            for activity, seconds in phases:
                it.enter(Phase(activity, activity))  # type: ignore[arg-type]
                clock[0] += seconds
            raise ConnectionError

    with pytest.raises(ConnectionError):
        go_through_phases_and_fail()
    row = Call.objects.get()
    assert (row.outcome, row.number, row.queued_s, row.upstream_s, row.retries) == ("internal_error", 7, 6, 8, 1)


@pytest.mark.parametrize(
    ("asked", "answered", "cost"),
    [("m", "m-2026", Decimal("0.00335")), ("other", "m", Decimal("0.00335")), ("other", "another", None)],
)
def test_a_price_is_looked_up_by_the_model_asked_for_or_else_by_the_one_that_answered(
    asked: str, answered: str, cost: Decimal | None, settings: Any
) -> None:
    settings.SWARM_PRICES = {"m": (Decimal("1.25"), Decimal("10"))}
    assert cost_of(Usage(2_600, 10), asked=asked, answered=answered) == cost


@pytest.mark.django_db(transaction=True)
def test_costs_add_up_exactly_and_are_none_while_no_price_is_known(settings: Any) -> None:
    execution = make_execution()
    priced, free = make_node(execution), make_node(execution)
    call(free)
    settings.SWARM_PRICES = {"m": (Decimal("0.1"), Decimal("0.3"))}
    for _ in range(3):
        call(priced, prompt_tokens=1, completion_tokens=1)
    assert Node.objects.get(pk=priced.pk).cost == Decimal("0.0000012")
    report = execution_report(execution)
    assert [node["usage"]["cost"] for node in report["nodes"]] == [pytest.approx(1.2e-6), None]
    assert report["usage"]["cost"] == pytest.approx(1.2e-6)
