"""The real claims against a simple model: nodes that claim, wait, die, end, sleep past their leases and come back late.

One thread plays all parts, step by step, on a clock that jumps, so that every failure can be replayed.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from swarm.errors import Cancelled
from swarm.events.record import recording
from swarm.locks import claims, holders, people, waits
from swarm.locks.claims import begin_claim, check_claims, release_claims, renew_claims
from swarm.locks.errors import DeadlockVictim, LockLost, NotTheHolder, PathHeld
from swarm.locks.people import lock_path, unlock_path
from swarm.locks.waiting import waiting_room
from swarm.locks.waits import Wait
from swarm.models import Conflict, Execution, FileLock, Node, WrongStatus
from tests.factories import make_nodes
from tests.locks.model import PERSON, Model

TTL_S = 10.0
PATHS = ("a.py", "b.py", "c.py", "d.py")
NODES = 5

some_node = st.integers(0, NODES - 1)
some_path = st.sampled_from(PATHS)


@dataclass
class Actor:
    """A node with what its thread knows: its claims with their tokens, and the wait that it is in."""

    name: str
    row: Node
    tokens: dict[str, int]
    wait: Wait | None = None
    bell: Any = None
    has_looked: bool = False
    is_dead: bool = False


class Clock:
    """The time of the claims code; moved by the machine."""

    at = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


clock = Clock()


class Claims(RuleBasedStateMachine):
    """Every rule is a step of one actor; after each the rows must say what the model says."""

    def __init__(self) -> None:
        super().__init__()
        for model in (Conflict, FileLock, Execution, User):
            model.objects.all().delete()
        clock.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.model = Model(TTL_S)
        self.seats = ExitStack()
        self.user = User.objects.create_user(PERSON)
        nodes = make_nodes(NODES, executions=2)
        self.actors = [Actor(f"{node.pk}", node, {}) for node in nodes]
        self.late: list[Actor] = []
        self.newest_tokens = dict.fromkeys(PATHS, 0)
        self.grants_seen = dict.fromkeys(PATHS, 0)
        self.committed = dict.fromkeys(PATHS, 0)

    @property
    def at(self) -> float:
        return clock.at.timestamp()

    @rule(number=some_node, paths=st.lists(some_path, min_size=1, max_size=3, unique=True), waits=st.booleans())
    def claim(self, number: int, paths: list[str], waits: bool) -> None:
        actor = self.actors[number]
        if actor.wait or actor.is_dead:
            return
        is_granted = self.model.ask(actor.name, sorted(paths), self.at, waits=waits)
        try:
            wait = begin_claim(actor.row, paths, "wait" if waits else "notify")
        except PathHeld:
            assert not waits
            assert not is_granted
            return
        assert is_granted == (not wait.places)
        if wait.places:
            actor.wait = wait
            actor.bell = self.seats.enter_context(waiting_room.seat([place.pk for place in wait.places.values()]))
            actor.has_looked = False
            self.take_over_victims()
        else:
            self.go_on(actor, wait)

    @rule(number=some_node)
    def look(self, number: int) -> None:
        actor = self.actors[number]
        if actor.wait is None or actor.is_dead:
            return
        actor.bell.clear()
        actor.has_looked = True
        if actor.name in self.model.victims:
            expected = "victim"
            self.model.give_up(actor.name, self.at)
        else:
            expected = self.model.look(actor.name, self.at)
        wait = actor.wait
        try:
            found = "granted" if wait.look() else "waiting"
        except DeadlockVictim:
            found = "victim"
        except LockLost:
            found = "lost"
        assert found == expected
        if found == "granted":
            self.go_on(actor, wait)
        if found != "waiting":
            actor.wait = None
        self.take_over_victims()

    @rule(number=some_node, outcome=st.sampled_from([Conflict.Outcome.TIMED_OUT, Conflict.Outcome.CANCELLED]))
    def give_up(self, number: int, outcome: Conflict.Outcome) -> None:
        actor = self.actors[number]
        if actor.wait is None or actor.is_dead:
            return
        self.model.give_up(actor.name, self.at)
        actor.wait.give_back(outcome)
        actor.wait = None

    @rule(number=some_node)
    def commit(self, number: int) -> None:
        """Write what is claimed, if that is allowed, and end; a story after another is a node after another."""
        actor = self.actors[number]
        if actor.wait or actor.is_dead:
            return
        may = all(
            self.model.holder(path, self.at) == actor.name and token == self.newest_tokens[path]
            for path, token in actor.tokens.items()
        )
        self.write(actor, may)
        self.end(number)

    @rule(number=some_node)
    def end(self, number: int) -> None:
        """An attempt is ended, by its own thread or by whoever finds it lost; the next one begins."""
        actor = self.actors[number]
        self.model.end(actor.name, self.at)
        with recording(actor.row.execution_id) as record:
            release_claims(record, actor.row)
            Node.objects.filter(pk=actor.row.pk).update(attempt=actor.row.attempt + 1)
        assert actor.wait is None or not actor.has_looked or actor.bell.is_set()
        self.late.append(actor)
        self.actors[number] = Actor(actor.name, Node.objects.get(pk=actor.row.pk), {})

    @rule(number=some_node)
    def die(self, number: int) -> None:
        self.actors[number].is_dead = True

    @precondition(lambda self: self.late)
    @rule(data=st.data(), path=some_path)
    def act_late(self, data: st.DataObject, path: str) -> None:
        """A thread goes on that does not know yet that its attempt was ended: nothing that it does has any effect."""
        actor = data.draw(st.sampled_from(self.late), "late actor")
        if actor.wait is not None:
            with pytest.raises((Cancelled, WrongStatus, DeadlockVictim)):
                actor.wait.look()
            actor.wait.give_back(Conflict.Outcome.TIMED_OUT)
        with pytest.raises(WrongStatus):
            begin_claim(actor.row, [path], "wait")
        if actor.tokens:
            self.write(actor, may=False)

    @rule(number=some_node)
    def renew(self, number: int) -> None:
        if not self.actors[number].is_dead:
            self.model.renew(self.actors[number].name, self.at)
            renew_claims([self.actors[number].row.pk])

    @rule(seconds=st.sampled_from([1.0, TTL_S / 2, TTL_S + 1, -3.0]))
    def jump(self, seconds: float) -> None:
        clock.at += timedelta(seconds=seconds)

    @rule(path=some_path)
    def lock_by_hand(self, path: str) -> None:
        holder = self.model.holder(path, self.at)
        is_refused = holder not in {None, PERSON} or (holder is None and bool(self.model.line(path)))
        try:
            lock_path(self.user, path, reason="", ttl_s=TTL_S)
        except PathHeld:
            assert is_refused
        else:
            assert not is_refused
            self.model.grant(path, PERSON, self.at)

    @rule(path=some_path)
    def unlock_by_hand(self, path: str) -> None:
        is_refused = self.model.holder(path, self.at) != PERSON
        try:
            unlock_path(self.user, path)
        except NotTheHolder:
            assert is_refused
        else:
            assert not is_refused
            self.model.hand_over(path, self.at)

    @invariant()
    def every_path_is_held_and_awaited_as_in_the_model(self) -> None:
        for path in PATHS:
            lock = FileLock.objects.filter(key=path).first()
            line = Conflict.objects.waiting().filter(path=path).values_list("node_id", flat=True)
            assert list(map(str, line)) == self.model.line(path)
            if lock is None:
                assert path not in self.model.holders
                continue
            holder = (PERSON if lock.user_id else str(lock.node_id)) if lock.is_held(clock()) else None
            assert holder == self.model.holder(path, self.at)
            assert lock.token >= self.newest_tokens[path] + self.model.grants[path] - self.grants_seen[path]
            self.newest_tokens[path], self.grants_seen[path] = lock.token, self.model.grants[path]

    @invariant()
    def whoever_has_something_to_look_at_was_woken(self) -> None:
        for actor in self.actors:
            wish = self.model.wishes.get(actor.name)
            if actor.wait is not None and actor.has_looked and (wish is None or wish.unseen):
                assert actor.bell.is_set(), actor.name

    @invariant()
    def nobody_waits_in_a_circle_but_for_one_who_was_woken(self) -> None:
        circle = self.model.in_circles()
        assert not circle or any(self.model.wishes[name].unseen for name in circle)

    def teardown(self) -> None:
        """Let the living go on and the dead be found: then everybody gets what it waits for, and nothing is left."""
        for _ in range(NODES + 1):
            for number, actor in enumerate(self.actors):
                if actor.is_dead or actor.wait is None:
                    self.end(number)
            for number in range(NODES):
                for _ in range(len(PATHS)):
                    self.look(number)
            for path in PATHS:
                self.unlock_by_hand(path)
            self.every_path_is_held_and_awaited_as_in_the_model()
        assert not any(actor.wait for actor in self.actors)
        for number in range(NODES):
            self.end(number)
        assert not FileLock.objects.filter(node__isnull=False).exists()
        assert not Conflict.objects.filter(ended_at__isnull=True).exists()
        assert not Conflict.objects.filter(outcome=Conflict.Outcome.WAITING).exists()
        self.seats.close()

    def go_on(self, actor: Actor, wait: Wait) -> None:
        """The actor's thread has all that it asked for."""
        actor.tokens |= {claim.path: claim.token for claim in wait.claims.values()}

    def take_over_victims(self) -> None:
        """Nodes that gave way were in a circle, and are in no line any more."""
        circle = self.model.in_circles()
        victims = {
            name
            for name in self.model.wishes
            if not Conflict.objects.waiting().filter(node=name).exists() and self.model.wishes[name].missing
        }
        assert victims <= circle
        for name in victims:
            self.model.give_way(name)

    def write(self, actor: Actor, may: bool) -> None:
        """Commit the actor's work, which is refused unless it `may`; tokens of commits to a path only grow."""
        try:
            with recording(actor.row.execution_id):
                check_claims(actor.row, actor.tokens)
        except LockLost:
            assert not may
            return
        assert may
        for path, token in actor.tokens.items():
            assert token > self.committed[path]
            self.committed[path] = token


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("examples", [30, pytest.param(2000, marks=pytest.mark.long)])
def test_claims_do_what_the_model_says(examples: int, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SWARM_LOCK_TTL = TTL_S
    for module in (claims, holders, people, waits):
        monkeypatch.setattr(module, "now", clock)
    run_state_machine_as_test(
        Claims,
        settings=hypothesis_settings(
            max_examples=examples, stateful_step_count=50, suppress_health_check=list(HealthCheck)
        ),
    )
