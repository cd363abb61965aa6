"""The limiter against simulated servers with a token bucket, on a simulated clock: is the budget found and used?"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from swarm.chat.limiter import Cause, Grant, Limiter, Limits, Quota, Ticket, Told, Wait
from swarm.chat.limiter.bucket import Bucket

LATENCY_S, ON_THE_WAY_S, JITTER_S = 0.3, 0.002, 0.003
CALLS, DEVELOPERS = 200, 50


@dataclass
class Server:
    """Ten calls a second, ten at once. What it tells and what a refusal costs are the test's."""

    tells: bool = False
    charges_refusals: bool = False
    rate_per_s: float = 10.0
    burst: float = 10.0

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.rate_per_s, self.burst, 0.0)
        self.refusals = 0

    def receive(self, now: float) -> tuple[bool, Told]:
        is_accepted = self.bucket.level(now) >= 1
        if is_accepted or self.charges_refusals:
            self.bucket.take(1, now)
        self.refusals += not is_accepted
        left = float(math.floor(max(0.0, self.bucket.level(now))))
        retry_after_s = (
            None if is_accepted else float(max(1, math.ceil((1 - self.bucket.level(now)) / self.rate_per_s)))
        )
        return is_accepted, Told(retry_after_s, Quota(self.rate_per_s, left) if self.tells else None)


class Simulation:
    """Developers who send all calls through a limiter, on a clock that jumps from event to event."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self.server = server
        self.chance = random.Random(1)
        self.limiter = Limiter(limits, now=0.0, chance=self.chance.random)
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.order = itertools.count()
        self.to_send, self.answered = CALLS, 0

    def run(self) -> float:
        """Return the makespan in seconds."""
        for _ in range(DEVELOPERS):
            self.enqueue(0.0)
        now = 0.0
        while self.answered < CALLS:
            while isinstance(decision := self.limiter.next(now), Grant):
                self.send(decision.ticket, now)
            timer = decision.until if isinstance(decision, Wait) and decision.until is not None else math.inf
            if self.events and self.events[0][0] <= timer:
                now, _, event = heapq.heappop(self.events)
                event(now)
            else:
                now = timer + 1e-6
        return now

    def at(self, instant: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (instant, next(self.order), event))

    def enqueue(self, now: float) -> None:
        if self.to_send:
            self.to_send -= 1
            self.limiter.enqueue("e", "n", is_finishing=False, tokens=1, now=now)

    def send(self, ticket: Ticket, now: float) -> None:
        self.at(now + ON_THE_WAY_S + self.chance.random() * JITTER_S, lambda arrived: self.receive(ticket, arrived))

    def receive(self, ticket: Ticket, now: float) -> None:
        is_accepted, told = self.server.receive(now)
        if is_accepted:
            self.at(now + LATENCY_S, lambda back: self.answer(ticket, told, back))
        else:
            self.at(now + ON_THE_WAY_S, lambda back: self.refuse(ticket, told, back))

    def answer(self, ticket: Ticket, told: Told, now: float) -> None:
        self.answered += 1
        self.limiter.answered(ticket, told, tokens=None, now=now)
        self.enqueue(now)

    def refuse(self, ticket: Ticket, told: Told, now: float) -> None:
        self.limiter.refused(ticket, told, Cause.UNCLEAR, now=now)
        self.limiter.requeue(ticket, now)


@pytest.mark.parametrize(
    ("server", "limits", "slowest", "most_refusals"),
    [
        pytest.param(Server(tells=True), Limits(), 1.03, 4, id="told in headers"),
        pytest.param(Server(), Limits(), 1.10, 30, id="hidden"),
        pytest.param(Server(charges_refusals=True), Limits(), 1.10, 30, id="hidden, refusals cost budget"),
        pytest.param(Server(), Limits(requests_per_minute=1200), 1.10, 30, id="half of what the settings say"),
        pytest.param(Server(), Limits(requests_per_minute=600), 1.03, 4, id="given by the settings"),
    ],
)
def test_a_budget_is_used_up_with_few_refusals(
    server: Server, limits: Limits, slowest: float, most_refusals: int
) -> None:
    ideal_s = (CALLS - server.burst) / server.rate_per_s + LATENCY_S
    assert Simulation(server, limits).run() / ideal_s <= slowest
    assert server.refusals <= most_refusals


def test_a_server_without_limits_is_not_held_back_for_long() -> None:
    rounds = CALLS / DEVELOPERS
    assert Simulation(Server(rate_per_s=1000.0, burst=1000.0), Limits()).run() <= 1.5 * rounds * LATENCY_S
