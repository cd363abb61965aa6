"""The limiter's decisions, with a clock that the test moves."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from swarm.chat.limiter import Cause, Demand, Grant, Limiter, Limits, Quota, Reason, Ticket, Told, Wait


def make(*, rpm: int = 0, tpm: int = 0, in_flight: int = 0) -> Limiter:
    return Limiter(Limits(rpm, tpm, in_flight), now=0.0, chance=lambda: 0.0)


numbers = itertools.count()


def queue(
    limiter: Limiter,
    node: str = "n",
    *,
    execution: str = "e",
    is_finishing: bool = False,
    tokens: int = 1,
    now: float = 0.0,
    owner: str = "p",
) -> Ticket:
    ticket = Demand(execution, node, is_finishing, tokens).ticket(f"{owner}/{next(numbers)}")
    limiter.enqueue(ticket, now)
    return ticket


def grants(limiter: Limiter, now: float) -> list[Ticket]:
    granted = []
    while isinstance(decision := limiter.next(now), Grant):
        granted.append(decision.ticket)
    return granted


def names(tickets: list[Ticket]) -> list[str]:
    return [ticket.node for ticket in tickets]


# The order


def test_one_execution_is_served_in_the_order_it_asked() -> None:
    limiter = make()
    for node in "abc":
        queue(limiter, node)
    assert names(grants(limiter, 0.0)) == ["a", "b", "c"]


def test_a_large_execution_does_not_starve_a_small_one() -> None:
    limiter = make()
    for node in ["a1", "a2", "a3", "a4"]:
        queue(limiter, node, execution="large")
    queue(limiter, "b1", execution="small")
    assert names(grants(limiter, 0.0)) == ["a1", "b1", "a2", "a3", "a4"]


def test_a_node_about_to_finish_overtakes_but_never_twice_in_a_row() -> None:
    limiter = make()
    for node in ["a", "b"]:
        queue(limiter, node)
    for node in ["finishing-1", "finishing-2"]:
        queue(limiter, node, is_finishing=True)
    assert names(grants(limiter, 0.0)) == ["finishing-1", "a", "finishing-2", "b"]


def test_a_refused_call_goes_before_the_others_of_its_execution() -> None:
    limiter = make()
    first = queue(limiter, "first")
    assert grants(limiter, 0.0) == [first]
    queue(limiter, "second")
    limiter.refused(first, Told(retry_after_s=1.0), Cause.UNCLEAR, now=0.1)
    limiter.enqueue(first, 0.1, at_front=True)
    assert names(grants(limiter, 9.0) + grants(limiter, 9.5)) == ["first", "second"]


def test_whoever_leaves_the_queue_is_not_granted_a_slot() -> None:
    limiter = make()
    queue(limiter, "a")
    limiter.leave(queue(limiter, "b").key, now=0.0)
    queue(limiter, "c")
    assert names(grants(limiter, 0.0)) == ["a", "c"]


# What holds the head back


def test_no_more_calls_are_in_flight_than_the_setting_allows() -> None:
    limiter = make(in_flight=2)
    tickets = [queue(limiter) for _ in range(3)]
    assert grants(limiter, 0.0) == tickets[:2]
    assert limiter.next(0.0) == Wait(None, Reason.IN_FLIGHT)
    limiter.answered(tickets[0], Told(), tokens=1, now=1.0)
    assert grants(limiter, 1.0) == tickets[2:]


def test_requests_are_paced_by_the_setting() -> None:
    limiter = make(rpm=60)
    for _ in range(3):
        queue(limiter)
    assert len(grants(limiter, 0.0)) == 1
    assert limiter.next(0.0) == Wait(1.0, Reason.REQUESTS)
    assert len(grants(limiter, 1.0)) == 1


def test_tokens_are_reserved_before_a_call_and_settled_after_it() -> None:
    limiter = make(tpm=600)  # 10 a second, 60 saved up
    first, second = queue(limiter, tokens=60), queue(limiter, tokens=10)
    assert grants(limiter, 0.0) == [first]
    assert limiter.next(0.0) == Wait(1.0, Reason.TOKENS)
    limiter.answered(first, Told(), tokens=50, now=0.0)
    assert grants(limiter, 0.0) == [second]


def test_a_call_that_used_more_tokens_than_estimated_delays_the_next() -> None:
    limiter = make(tpm=600)
    first = queue(limiter, tokens=60)
    grants(limiter, 0.0)
    limiter.answered(first, Told(), tokens=100, now=0.0)
    queue(limiter, tokens=10)
    assert limiter.next(0.0) == Wait(5.0, Reason.TOKENS)


def test_a_call_larger_than_the_budget_goes_when_the_budget_is_full() -> None:
    limiter = make(tpm=600)
    queue(limiter, tokens=6000)
    assert len(grants(limiter, 0.0)) == 1


# Refusals


def test_a_429_pauses_everybody_for_as_long_as_it_says() -> None:
    limiter = make()
    refused = queue(limiter)
    grants(limiter, 0.0)
    queue(limiter, execution="another")
    assert limiter.refused(refused, Told(retry_after_s=7.0), Cause.UNCLEAR, now=0.5) == 7.0
    assert limiter.next(0.5) == Wait(7.5, Reason.PAUSED)
    assert limiter.next(7.4) == Wait(7.5, Reason.PAUSED)


def test_nobody_comes_back_in_a_herd_after_a_pause() -> None:
    limiter = make(rpm=600)
    tickets = [queue(limiter) for _ in range(10)]
    grants(limiter, 0.0)
    for ticket in tickets:
        limiter.refused(ticket, Told(retry_after_s=5.0), Cause.UNCLEAR, now=0.1)
        limiter.enqueue(ticket, 0.1, at_front=True)
    returned_at = drain(limiter, 0.1)
    assert min(returned_at) >= 5.1
    assert len(set(returned_at)) == 10


def test_a_burst_of_429s_slows_down_once() -> None:
    limiter = make(rpm=6000)
    tickets = [queue(limiter) for _ in range(10)]
    grants(limiter, 0.0)
    limiter.refused(tickets[0], Told(retry_after_s=1.0), Cause.UNCLEAR, now=0.1)
    after_one = limiter.state(0.1)["limits"]["requests_per_minute"]["value"]
    for ticket in tickets[1:]:
        limiter.refused(ticket, Told(retry_after_s=1.0), Cause.UNCLEAR, now=0.1)
    assert limiter.state(0.1)["limits"]["requests_per_minute"]["value"] == after_one < 6000
    assert limiter.state(0.1)["refusal_bursts"] == 1
    assert limiter.state(0.1)["calls"]["refused"] == 10


def test_without_retry_after_the_pauses_double_until_an_answer() -> None:
    limiter = make()
    pauses, now = [], 0.0
    for _ in range(3):
        now += 100
        ticket = queue(limiter, now=now)
        assert grants(limiter, now) == [ticket]
        pauses.append(limiter.refused(ticket, Told(), Cause.UNCLEAR, now=now))
    assert pauses == [0.5, 1.0, 2.0]


def test_too_many_at_once_lowers_the_cap_and_not_the_pace() -> None:
    limiter = make()
    tickets = [queue(limiter) for _ in range(6)]
    grants(limiter, 0.0)
    pace = limiter.state(0.0)["limits"]["requests_per_minute"]
    limiter.refused(tickets[5], Told(), Cause.CONCURRENCY, now=0.1)
    assert limiter.state(0.1)["limits"]["in_flight"] == {"value": 5, "source": "learnt"}
    assert limiter.state(0.1)["limits"]["requests_per_minute"] == pace


def test_a_refusal_with_budget_left_is_understood_as_too_many_at_once() -> None:
    limiter = make()
    tickets = [queue(limiter) for _ in range(3)]
    grants(limiter, 0.0)
    limiter.refused(tickets[2], Told(requests=Quota(10.0, 50.0)), Cause.UNCLEAR, now=0.1)
    assert limiter.state(0.1)["limits"]["in_flight"]["value"] == 2


def test_a_refusal_with_too_few_tokens_left_slows_nothing_but_tokens() -> None:
    limiter = make()
    tickets = [queue(limiter, tokens=100) for _ in range(3)]
    grants(limiter, 0.0)
    before = limiter.state(0.0)["limits"]
    told = Told(retry_after_s=1.0, requests=None, tokens=Quota(100.0, 50.0))
    limiter.refused(tickets[2], told, Cause.UNCLEAR, now=0.1)
    after = limiter.state(0.1)["limits"]
    assert after["tokens_per_minute"]["value"] == 6000
    assert after["requests_per_minute"] == before["requests_per_minute"]
    assert after["in_flight"] == before["in_flight"]


def test_a_learnt_cap_never_passes_the_setting() -> None:
    limiter = make(in_flight=3)
    now = 0.0
    tickets = [queue(limiter) for _ in range(3)]
    grants(limiter, now)
    limiter.refused(tickets.pop(), Told(), Cause.CONCURRENCY, now=now)
    for _ in range(20):
        now += 100.0
        for ticket in tickets:
            limiter.answered(ticket, Told(), tokens=1, now=now)
        tickets = [queue(limiter, now=now) for _ in range(5)]
        granted = grants(limiter, now)
        for ticket in tickets[len(granted) :]:
            limiter.leave(ticket.key, now=now)
        tickets = granted
        assert len(tickets) <= 3
    assert len(tickets) == 3


def test_a_pause_tells_an_overload_from_too_many_calls_and_the_longer_one_counts() -> None:
    limiter = make()
    tickets = [queue(limiter) for _ in range(3)]
    grants(limiter, 0.0)
    queue(limiter)
    limiter.overloaded(tickets[0], Told(retry_after_s=5.0), now=0.0)
    limiter.refused(tickets[1], Told(retry_after_s=4.0), Cause.UNCLEAR, now=0.0)
    assert limiter.next(0.0) == Wait(5.0, Reason.OVERLOADED)
    limiter.refused(tickets[2], Told(retry_after_s=6.0), Cause.UNCLEAR, now=0.0)
    assert limiter.next(0.0) == Wait(6.0, Reason.PAUSED)
    assert Limiter.load(limiter.save(), lambda: 0.0).next(0.0) == Wait(6.0, Reason.PAUSED)


def test_an_overloaded_server_gets_fewer_calls_at_once() -> None:
    limiter = make()
    tickets = [queue(limiter) for _ in range(8)]
    grants(limiter, 0.0)
    for ticket in tickets:
        limiter.overloaded(ticket, Told(), now=0.1)
    assert limiter.state(0.1)["limits"]["in_flight"]["value"] == 5


# What it trusts


def test_headers_lower_the_pace_that_the_settings_gave_but_never_raise_it() -> None:
    for told_per_s, rpm in [(5.0, 300), (20.0, 600)]:
        limiter = make(rpm=600)
        ticket = queue(limiter)
        grants(limiter, 0.0)
        limiter.answered(ticket, Told(requests=Quota(told_per_s, None)), tokens=1, now=0.1)
        assert limiter.state(0.1)["limits"]["requests_per_minute"]["value"] == rpm


def test_a_told_token_limit_is_kept_without_a_setting() -> None:
    limiter = make()
    ticket = queue(limiter, tokens=10)
    grants(limiter, 0.0)
    limiter.answered(ticket, Told(tokens=Quota(10.0, 5.0)), tokens=10, now=0.0)
    queue(limiter, tokens=10)
    assert limiter.next(0.0) == Wait(0.5, Reason.TOKENS)


def test_the_state_says_who_waits_and_why() -> None:
    limiter = make(in_flight=1)
    for node in "abc":
        queue(limiter, node)
    grants(limiter, 0.0)
    waiting = [(entry["node"], entry["reason"]) for entry in limiter.state(2.0)["queue"]]
    assert waiting == [("b", Reason.IN_FLIGHT), ("c", Reason.QUEUE)]


def test_the_state_warns_of_a_setting_that_is_above_what_the_model_takes() -> None:
    limiter = make(rpm=600)
    ticket = queue(limiter)
    grants(limiter, 0.0)
    assert limiter.state(0.0)["warnings"] == []
    limiter.refused(ticket, Told(retry_after_s=1.0), Cause.REQUESTS, now=0.1)
    [warning] = limiter.state(0.1)["warnings"]
    assert warning.startswith("SWARM_RPM is 600, but the model takes about 240 ")


def test_the_state_counts_what_went_through() -> None:
    limiter = make()
    for end in ("answered", "refused"):
        ticket = queue(limiter, now=9.0)
        grants(limiter, 9.0)
        if end == "answered":
            limiter.answered(ticket, Told(), tokens=70, now=9.0)
        else:
            limiter.refused(ticket, Told(), Cause.UNCLEAR, now=9.0)
    throughput = limiter.state(11.0)["throughput"]
    assert [throughput[name][-2:] for name in ("calls", "refused", "tokens")] == [[1, 0], [1, 0], [70, 0]]


# Invariants


def drain(limiter: Limiter, now: float) -> list[float]:
    """Grant everybody who waits, moving the clock as the limiter says; each call is answered at once."""
    granted_at = []
    while (decision := limiter.next(now)) is not None:
        if isinstance(decision, Grant):
            granted_at.append(now)
            limiter.answered(decision.ticket, Told(), tokens=None, now=now)
        else:
            assert decision.until is not None
            assert decision.until > now
            now = decision.until + 1e-9
    return granted_at


arrivals = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 2000)), min_size=1, max_size=60)


@given(arrivals, st.integers(1, 6000), st.integers(60, 60_000))
def test_no_window_ever_holds_more_than_the_budgets_and_everybody_is_granted(
    calls: list[tuple[str, bool, int]], rpm: int, tpm: int
) -> None:
    limiter = make(rpm=rpm, tpm=tpm)
    tickets = [
        queue(limiter, execution=execution, is_finishing=finishing, tokens=tokens)
        for execution, finishing, tokens in calls
    ]
    assert len(drain(limiter, 0.0)) == len(tickets)
    sent = sorted(tickets, key=lambda ticket: ticket.number)
    saved_up_requests, saved_up_tokens = max(1.0, rpm / 60), tpm / 60 * 6
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            window_s = sent[last].sent_at - sent[first].sent_at
            assert last - first + 1 <= saved_up_requests + window_s * rpm / 60 + 1e-3
            before_last = sum(ticket.tokens for ticket in sent[first:last])
            assert before_last + min(sent[last].tokens, saved_up_tokens) <= (
                saved_up_tokens + window_s * tpm / 60 + 1e-3
            )


@given(arrivals, st.integers(1, 4))
def test_nobody_waits_while_each_other_execution_is_served_more_than_twice(
    calls: list[tuple[str, bool, int]], in_flight: int
) -> None:
    """Round-robin: between two grants of a waiting execution no other gets two, save for one overtaking each."""
    limiter = make(in_flight=in_flight)
    for execution, _, tokens in calls:
        queue(limiter, execution=execution, tokens=tokens)
    order = []
    while (decision := limiter.next(0.0 + len(order))) is not None:
        assert isinstance(decision, Grant)
        order.append(decision.ticket.execution)
        limiter.answered(decision.ticket, Told(), tokens=None, now=float(len(order)))
    for execution in set(order):
        places = [place for place, name in enumerate(order) if name == execution]
        for one, two in zip([-1, *places], places, strict=False):
            between = order[one + 1 : two]
            assert len(between) == len(set(between))


outcomes = st.lists(st.sampled_from(["answered", "failed", "refused", "overloaded", "withdrawn"]), max_size=40)


@given(outcomes, st.integers(0, 5))
def test_every_slot_comes_back_whatever_became_of_its_call(ends: list[str], in_flight: int) -> None:
    limiter = make(in_flight=in_flight, tpm=6000)
    now = 0.0
    for end in ends:
        now += 1000.0
        ticket = queue(limiter, now=now, tokens=100)
        assert grants(limiter, now) == [ticket]
        if end == "answered":
            limiter.answered(ticket, Told(), tokens=70, now=now)
        elif end == "refused":
            limiter.refused(ticket, Told(), Cause.UNCLEAR, now=now)
        elif end == "overloaded":
            limiter.overloaded(ticket, Told(), now=now)
        else:
            getattr(limiter, end)(ticket, now=now)
    now += 1000.0
    assert limiter.state(now)["in_flight"] == 0
    assert limiter.state(now)["limits"]["tokens_per_minute"]["available"] == 600
