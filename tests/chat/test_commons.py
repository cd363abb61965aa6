"""One limiter as a text that processes hand on: nothing is lost on the way, and who is gone leaves nothing behind."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm.chat.limiter import Cause, Demand, Grant, Limiter, Limits, Quota, Reason, Ticket, Told, Wait
from swarm.chat.limiter.commons import LEASE_S, Commons, Outlook


def make(**limits: int) -> Commons:
    return Commons(Limiter(Limits(**limits), now=0.0, chance=random.Random(1).random), {}, 0.0)


def queue(limiter: Limiter, key: str, *, execution: str = "e", now: float = 0.0, tokens: int = 10) -> Ticket:
    ticket = Demand(execution, "n", is_finishing=False, tokens=tokens).ticket(key)
    limiter.enqueue(ticket, now)
    return ticket


def grants(limiter: Limiter, now: float) -> list[str]:
    granted = []
    while isinstance(decision := limiter.next(now), Grant):
        granted.append(decision.ticket.key)
    return granted


ends = st.sampled_from(["answered", "refused", "overloaded", "failed", "withdrawn"])
told = st.builds(
    Told,
    st.none() | st.floats(0.1, 5.0),
    st.none() | st.builds(Quota, st.floats(0.5, 50.0), st.none() | st.integers(0, 20).map(float)),
    st.none() | st.builds(Quota, st.floats(5.0, 500.0), st.none() | st.integers(0, 200).map(float)),
)
steps = st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(0.0, 2.0), ends, told), max_size=30)


def play(commons: Commons, script: list[Any], *, is_handed_on: bool) -> list[Any]:
    """What the limiter decides and believes, step by step."""
    seen: list[Any] = []
    chance = random.Random(1)
    commons.limiter._chance = chance.random
    now = 0.0
    for number, (execution, is_finishing, pause_s, end, headers) in enumerate(script):
        now += pause_s
        limiter = commons.limiter
        limiter.enqueue(Demand(execution, "n", is_finishing, 10).ticket(f"p/{number}"), now)
        seen.append(grants(limiter, now))
        for ticket in list(limiter.in_flight.values())[:1]:
            if end == "answered":
                limiter.answered(ticket, headers, tokens=7, now=now)
            elif end == "refused":
                limiter.refused(ticket, headers, Cause.UNCLEAR, now=now)
            elif end == "overloaded":
                limiter.overloaded(ticket, headers, now=now)
            else:
                getattr(limiter, end)(ticket, now=now)
        seen.append(limiter.state(now))
        if is_handed_on:
            commons = Commons.load(commons.save(now), chance.random)
    return seen


@given(steps, st.integers(0, 600), st.integers(0, 6000), st.integers(0, 4))
def test_a_limiter_that_is_handed_on_decides_as_one_that_stays(
    script: list[Any], rpm: int, tpm: int, in_flight: int
) -> None:
    limits = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "max_in_flight": in_flight}
    assert play(make(**limits), script, is_handed_on=True) == play(make(**limits), script, is_handed_on=False)


def test_a_process_that_is_not_heard_of_loses_its_calls_and_its_slots() -> None:
    commons = make(max_in_flight=1)
    commons.enter("gone", 0.0)
    queue(commons.limiter, "gone/1")
    queue(commons.limiter, "gone/2")
    assert grants(commons.limiter, 0.0) == ["gone/1"]
    commons.enter("here", LEASE_S - 1)
    queue(commons.limiter, "here/1")
    assert grants(commons.limiter, LEASE_S - 1) == []
    commons.enter("here", LEASE_S + 1)
    assert grants(commons.limiter, LEASE_S + 1) == ["here/1"]
    assert commons.alive_until.keys() == {"here"}


def test_a_call_whose_process_was_taken_for_gone_settles_nothing_twice() -> None:
    limiter = make(max_in_flight=1, tokens_per_minute=6000).limiter
    late = queue(limiter, "p/1", tokens=100)
    grants(limiter, 0.0)
    limiter.forget("p", 0.0)
    limiter.answered(late, Told(), tokens=300, now=0.0)
    state = limiter.state(0.0)
    assert state["in_flight"] == 0
    assert state["limits"]["tokens_per_minute"]["available"] == 500


def test_a_process_that_comes_back_brings_its_calls_along_once() -> None:
    commons = make(max_in_flight=2)
    flying, waiting = queue(commons.limiter, "p/1"), queue(commons.limiter, "p/2")
    commons.limiter.adopt("p", [waiting], [flying], 0.0)
    commons.limiter.adopt("p", [waiting], [flying], 0.0)
    assert grants(commons.limiter, 0.0) == ["p/2"]
    assert commons.limiter.state(0.0)["in_flight"] == 2


def test_a_share_is_an_equal_part_of_every_budget_and_of_what_is_told_later() -> None:
    limiter = make(requests_per_minute=600, tokens_per_minute=6000, max_in_flight=7).limiter
    limiter.divide(3)
    ticket = queue(limiter, "p/1")
    grants(limiter, 0.0)
    limits = limiter.state(0.0)["limits"]
    assert limits["requests_per_minute"]["value"] == 200
    assert limits["tokens_per_minute"]["value"] == 2000
    assert limits["in_flight"]["value"] == 2
    limiter.answered(ticket, Told(requests=Quota(5.0, 3.0)), tokens=10, now=0.0)
    assert limiter.state(0.0)["limits"]["requests_per_minute"]["value"] == 100


# Whom to wake


def outlook(granted: str = "", head: str = "", wait: Wait | None = None) -> Outlook:
    return Outlook(frozenset(granted.split()), head, wait)


def test_whoever_was_granted_a_slot_is_woken() -> None:
    assert outlook("a/1").news_for(outlook("a/1 b/1 b/2 c/1")) == {"b", "c"}


def test_the_head_is_woken_when_it_is_new_or_waits_for_something_else() -> None:
    waits = Wait(5.0, Reason.REQUESTS)
    for before, after in [
        (outlook(head="a/1", wait=waits), outlook(head="b/1", wait=waits)),
        (outlook(head="b/1", wait=waits), outlook(head="b/1", wait=Wait(6.0, Reason.REQUESTS))),
        (outlook(head="b/1", wait=waits), outlook(head="b/1", wait=Wait(5.0, Reason.PAUSED))),
        (outlook(head="b/1", wait=Wait(None, Reason.IN_FLIGHT)), outlook(head="b/1", wait=waits)),
    ]:
        assert before.news_for(after) == {"b"}


def test_nobody_is_woken_for_what_changes_nothing() -> None:
    before = outlook("a/1 b/1", "c/1", Wait(5.0, Reason.REQUESTS))
    assert before.news_for(outlook("a/1", "c/1", Wait(5.0000001, Reason.REQUESTS))) == set()
    assert outlook(head="c/1").news_for(outlook()) == set()
