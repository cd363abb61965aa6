"""Threads in front of the limiter: who sleeps, who is woken, who gives up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from swarm.cancellation import Cancellation
from swarm.chat.errors import RateLimited
from swarm.chat.limiter import Cause, Demand, Limiter, Limits, Reason, Ticket, Told
from swarm.chat.throttle import OwnHome, Throttle
from swarm.errors import Cancelled

SOON_S, LATE_S = 0.05, 30.0


def make(**limits: int) -> Throttle:
    return Throttle(OwnHome(Limiter(Limits(**limits), now=time.monotonic(), chance=lambda: 0.0)))


def acquire(
    throttle: Throttle,
    node: str = "n",
    *,
    within_s: float = LATE_S,
    cancellation: Cancellation | None = None,
    waits: threading.Event | None = None,
    reasons: list[Reason] | None = None,
) -> Ticket:
    def on_wait(reason: Reason, expected_s: float | None) -> None:
        if reasons is not None:
            reasons.append(reason)
        if waits is not None:
            waits.set()

    return throttle.acquire(
        Demand("e", node, is_finishing=False, tokens=1),
        deadline_at=time.monotonic() + within_s,
        cancellation=cancellation or Cancellation(),
        on_wait=on_wait,
    )


def test_whoever_need_not_wait_is_not_told_to() -> None:
    reasons: list[Reason] = []
    acquire(make(), reasons=reasons)
    assert reasons == []


def test_a_freed_slot_wakes_the_one_who_waited_longest() -> None:
    throttle = make(max_in_flight=1)
    held = acquire(throttle)
    order: list[str] = []

    def work(node: str, waits: threading.Event) -> None:
        ticket = acquire(throttle, node, waits=waits)
        order.append(node)
        throttle.answered(ticket, Told(), None)

    with ThreadPoolExecutor(3) as pool:
        for node in "abc":
            waits = threading.Event()
            pool.submit(work, node, waits)
            assert waits.wait(LATE_S)
        throttle.answered(held, Told(), None)
    assert order == ["a", "b", "c"]


def test_the_deadline_ends_a_wait_with_the_reason() -> None:
    throttle = make(max_in_flight=1)
    acquire(throttle)
    with pytest.raises(RateLimited, match="in flight"):
        acquire(throttle, within_s=SOON_S)
    assert throttle.state()["queue"] == []


def test_a_pause_that_outlasts_the_deadline_is_not_waited_for() -> None:
    throttle = make()
    throttle.refused(acquire(throttle), Told(retry_after_s=3600.0), Cause.UNCLEAR)
    with pytest.raises(RateLimited, match="a pause of 3600 s"):
        acquire(throttle, within_s=LATE_S)


def test_a_cancelled_wait_ends_and_leaves_its_place_to_the_next() -> None:
    throttle = make(max_in_flight=1)
    held, cancellation, waits = acquire(throttle), Cancellation(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(acquire, throttle, "first", cancellation=cancellation, waits=waits)
        assert waits.wait(LATE_S)
        waits.clear()
        second = pool.submit(acquire, throttle, "second", waits=waits)
        assert waits.wait(LATE_S)
        cancellation.cancel("stop")
        with pytest.raises(Cancelled, match="stop"):
            first.result(LATE_S)
        throttle.answered(held, Told(), None)
        assert second.result(LATE_S).node == "second"


def test_whoever_comes_to_the_head_of_the_queue_takes_over_its_timer() -> None:
    throttle = make()
    throttle.refused(acquire(throttle), Told(retry_after_s=0.2), Cause.UNCLEAR)
    cancellation, waits = Cancellation(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(acquire, throttle, "first", cancellation=cancellation, waits=waits)
        assert waits.wait(LATE_S)
        waits.clear()
        second = pool.submit(acquire, throttle, "second", waits=waits)
        assert waits.wait(LATE_S)
        cancellation.cancel("stop")
        with pytest.raises(Cancelled):
            first.result(LATE_S)
        assert second.result(LATE_S / 2).node == "second"


def test_an_error_of_whoever_is_told_leaves_nothing_behind() -> None:
    throttle = make(max_in_flight=1)
    held = acquire(throttle)

    def fail(reason: Reason, expected_s: float | None) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        throttle.acquire(
            Demand("e", "n", is_finishing=False, tokens=1),
            deadline_at=time.monotonic() + LATE_S,
            cancellation=Cancellation(),
            on_wait=fail,
        )
    throttle.answered(held, Told(), None)
    assert throttle.state()["queue"] == []
    assert throttle.state()["in_flight"] == 0


def test_no_wake_up_is_lost_when_many_threads_share_a_pace_and_a_cap() -> None:
    throttle = make(requests_per_minute=60_000, max_in_flight=3)
    lock, in_flight, peak, served = threading.Lock(), 0, 0, 0

    def work() -> None:
        nonlocal in_flight, peak, served
        for _ in range(10):
            ticket = acquire(throttle)
            with lock:
                in_flight += 1
                peak = max(peak, in_flight)
            with lock:
                in_flight -= 1
                served += 1
            throttle.answered(ticket, Told(), None)

    with ThreadPoolExecutor(20) as pool:
        for future in [pool.submit(work) for _ in range(20)]:
            future.result(LATE_S)
    assert served == 200
    assert peak <= 3
