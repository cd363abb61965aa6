"""The limiter against simulated servers, on a simulated clock: are their limits found and used, and told apart?"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from swarm.chat.limiter import Cause, Grant, Limiter, Limits, Quota, Ticket, Told, Wait
from swarm.chat.limiter.bucket import Bucket

ON_THE_WAY_S, JITTER_S = 0.002, 0.003
CALLS, DEVELOPERS = 200, 50
SEEDS = range(10)


@dataclass
class Server:
    """Ten calls a second, ten at once. What it tells, what a refusal costs and how many it takes are the test's."""

    tells: bool = False
    charges_refusals: bool = False
    rate_per_s: float = 10.0
    burst: float = 10.0
    max_concurrent: float = math.inf
    refuses_concurrency_with: tuple[Told, Cause] = (Told(), Cause.CONCURRENCY)
    latency_s: float = 0.3

    def __post_init__(self) -> None:
        self.bucket = Bucket.full(self.rate_per_s, self.burst, 0.0)
        self.refusals = self.in_flight = 0

    def receive(self, now: float) -> tuple[bool, Told, Cause]:
        is_full, level = self.in_flight >= self.max_concurrent, self.bucket.level(now)
        is_accepted = level >= 1 and not is_full
        if is_accepted or self.charges_refusals:
            self.bucket.take(1, now)
        self.refusals += not is_accepted
        self.in_flight += is_accepted
        if is_full:
            return False, *self.refuses_concurrency_with
        level = self.bucket.level(now)
        retry_after_s = None if is_accepted else float(max(1, math.ceil((1 - level) / self.rate_per_s)))
        quota = Quota(self.rate_per_s, float(math.floor(max(0.0, level)))) if self.tells else None
        return is_accepted, Told(retry_after_s, quota), Cause.UNCLEAR


class Simulation:
    """Developers who send all calls through a limiter, on a clock that jumps from event to event."""

    def __init__(self, server: Server, limits: Limits, *, calls: int = CALLS, seed: int = 1) -> None:
        self.server = server
        self.chance = random.Random(seed)
        self.limiter = Limiter(limits, now=0.0, chance=self.chance.random)
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.order = itertools.count()
        self.calls = self.to_send = calls
        self.answered = 0
        self.now = 0.0

    def run(self, developers: int = DEVELOPERS) -> float:
        """Return the makespan in seconds."""
        for _ in range(developers):
            self.enqueue(0.0)
        while self.answered < self.calls:
            while isinstance(decision := self.limiter.next(self.now), Grant):
                self.send(decision.ticket, self.now)
            timer = decision.until if isinstance(decision, Wait) and decision.until is not None else math.inf
            if self.events and self.events[0][0] <= timer:
                self.now, _, event = heapq.heappop(self.events)
                event(self.now)
            else:
                self.now = timer + 1e-6
        return self.now

    def at(self, instant: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (instant, next(self.order), event))

    def enqueue(self, now: float) -> None:
        if self.to_send:
            self.to_send -= 1
            self.limiter.enqueue(Ticket(f"p/{self.to_send}", "e", "n", is_finishing=False, tokens=1), now)

    def send(self, ticket: Ticket, now: float) -> None:
        self.at(now + ON_THE_WAY_S + self.chance.random() * JITTER_S, lambda arrived: self.receive(ticket, arrived))

    def receive(self, ticket: Ticket, now: float) -> None:
        is_accepted, told, cause = self.server.receive(now)
        if is_accepted:
            self.at(now + self.server.latency_s, lambda done: self.finish(ticket, told, done))
        else:
            self.at(now + ON_THE_WAY_S, lambda back: self.refuse(ticket, told, cause, back))

    def finish(self, ticket: Ticket, told: Told, now: float) -> None:
        self.server.in_flight -= 1
        self.at(now + ON_THE_WAY_S, lambda back: self.answer(ticket, told, back))

    def answer(self, ticket: Ticket, told: Told, now: float) -> None:
        self.answered += 1
        self.limiter.answered(ticket, told, tokens=None, now=now)
        self.enqueue(now)

    def refuse(self, ticket: Ticket, told: Told, cause: Cause, now: float) -> None:
        self.limiter.refused(ticket, told, cause, now=now)
        self.limiter.enqueue(ticket, now, at_front=True)

    def state(self) -> dict[str, Any]:
        return self.limiter.state(self.now)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("server", "rpm", "slowest", "most_refusals"),
    [
        pytest.param({"tells": True}, 0, 1.03, 4, id="told in headers"),
        pytest.param({}, 0, 1.03, 30, id="hidden"),
        pytest.param({"charges_refusals": True}, 0, 1.06, 30, id="hidden, refusals cost budget"),
        pytest.param({}, 1200, 1.06, 30, id="half of what the settings say"),
        pytest.param({}, 600, 1.03, 4, id="given by the settings"),
        pytest.param({"burst": 5.0}, 600, 1.04, 6, id="given by the settings, but fewer at once"),
    ],
)
def test_a_budget_is_used_up_with_few_refusals(
    server: dict[str, Any], rpm: int, slowest: float, most_refusals: int, seed: int
) -> None:
    simulation = Simulation(Server(**server), Limits(requests_per_minute=rpm), seed=seed)
    ideal_s = (CALLS - simulation.server.burst) / simulation.server.rate_per_s + simulation.server.latency_s
    assert simulation.run() / ideal_s <= slowest
    assert simulation.server.refusals <= most_refusals
    assert simulation.state()["limits"]["in_flight"]["source"] == "none"


@pytest.mark.parametrize("rpm", [0, 600, 1200], ids=["hidden", "given", "half of what is given"])
@pytest.mark.parametrize(("burst", "slowest"), [(1.0, 1.3), (2.0, 1.18), (5.0, 1.12)])
def test_a_server_that_saves_up_nothing_in_the_pause_after_a_refusal_is_seldom_met_too_fast(
    burst: float, slowest: float, rpm: int
) -> None:
    for seed in SEEDS[:3]:
        simulation = Simulation(Server(burst=burst), Limits(requests_per_minute=rpm), calls=800, seed=seed)
        ideal_s = (simulation.calls - burst) / simulation.server.rate_per_s + simulation.server.latency_s
        assert simulation.run() / ideal_s <= slowest
        assert simulation.server.refusals <= 0.04 * simulation.calls


def test_a_server_without_limits_is_not_held_back_for_long() -> None:
    server = Server(rate_per_s=1000.0, burst=1000.0)
    rounds = CALLS / DEVELOPERS
    assert Simulation(server, Limits()).run() <= 1.5 * rounds * server.latency_s


@pytest.mark.parametrize("burst", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("latency_s", [0.3, 3.0, 30.0])
def test_going_too_fast_is_not_taken_for_too_many_at_once(burst: float, latency_s: float) -> None:
    for seed in SEEDS[:3]:
        simulation = Simulation(Server(burst=burst, latency_s=latency_s), Limits(), calls=400, seed=seed)
        makespan_s = simulation.run(developers=400)
        assert simulation.state()["limits"]["in_flight"]["source"] == "none"
        assert makespan_s <= 1.4 * ((simulation.calls - burst) / simulation.server.rate_per_s + latency_s)


NO_RATE = {"rate_per_s": 10_000.0, "burst": 10_000.0}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cap_on_calls_in_flight_that_is_said_to_be_one_is_found_at_once(seed: int) -> None:
    simulation = Simulation(Server(max_concurrent=5, **NO_RATE), Limits(), seed=seed)
    assert simulation.run() <= 1.06 * CALLS / 5 * simulation.server.latency_s
    assert simulation.server.refusals <= 8
    assert simulation.state()["limits"]["in_flight"] == {"value": 5, "source": "learnt"}


@pytest.mark.parametrize("told", [Told(), Told(retry_after_s=1.0)])
@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_cap_on_calls_in_flight_that_nobody_speaks_of_is_found_in_the_end(told: Told, seed: int) -> None:
    server = Server(max_concurrent=5, refuses_concurrency_with=(told, Cause.UNCLEAR), **NO_RATE)
    simulation = Simulation(server, Limits(), calls=800, seed=seed)
    caps = []
    for instant in range(10, 60):
        simulation.at(float(instant), lambda now: caps.append(simulation.state()["limits"]["in_flight"]["value"]))
    assert simulation.run() <= 1.6 * 800 / 5 * server.latency_s
    assert server.refusals <= 800 * 0.025
    assert caps.count(5) > len(caps) / 2


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_hidden_limit_that_changes_is_found_again(factor: float) -> None:
    server = Server()
    simulation = Simulation(server, Limits(), calls=400)
    simulation.at(15.0, lambda now: server.bucket.refit(10.0 * factor, 10.0 * factor, now))
    ideal_s = 15.0 + (simulation.calls - server.burst - 150) / (10 * factor) + server.latency_s
    assert simulation.run() <= 1.3 * ideal_s
    assert server.refusals <= simulation.calls * 0.15
