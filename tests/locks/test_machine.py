"""The real claims against a simple model: nodes that claim, wait, die, end, sleep past their leases and come back late.

One thread plays all parts, step by step, on a clock that jumps, so that every failure can be replayed.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Q
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
from tests.factories import make_execution, make_node
from tests.locks.model import PERSON, Model

TTL_S = 10.0
PATHS = ("a.py", "b.py", "c.py")
NODES = 4

which = st.integers(0, NODES - 1)
some_path = st.sampled_from(PATHS)


@dataclass
class Actor:
    """A node with what its thread knows: its claims with their tokens, and the wait that it is in."""

    name: str
    row: Node
    tokens: dict[str, int] = field(default_factory=dict)
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
        # Numbers of their own: which node gives way may depend on them, and a failure must come again.
        owners = [make_execution(pk=uuid.UUID(int=number)) for number in range(2)]
        nodes = [make_node(owners[number % 2], pk=uuid.UUID(int=number)) for number in range(NODES)]
        self.actors = [Actor(f"{node.pk}", node) for node in nodes]
        self.late: list[Actor] = []
        self.newest_tokens = dict.fromkeys(PATHS, 0)
        self.grants_seen = dict.fromkeys(PATHS, 0)
        self.committed = dict.fromkeys(PATHS, 0)
        self.old_tokens: dict[str, dict[str, int]] = defaultdict(dict)

    @property
    def at(self) -> float:
        return clock.at.timestamp()

    @property
    def idle(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.is_dead and not actor.wait]

    @property
    def waiting(self) -> list[Actor]:
        return [actor for actor in self.actors if not actor.is_dead and actor.wait]

    @precondition(lambda self: self.idle)
    @rule(which=which, paths=st.lists(some_path, min_size=1, unique=True), waits=st.sampled_from([True, True, False]))
    def claim(self, which: int, paths: list[str], waits: bool) -> None:
        actor = self.idle[which % len(self.idle)]
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

    @precondition(lambda self: self.waiting)
    @rule(which=which)
    def look(self, which: int) -> None:
        self.let_look(self.waiting[which % len(self.waiting)])

    def let_look(self, actor: Actor) -> None:
        assert actor.wait is not None
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

    @precondition(lambda self: self.waiting)
    @rule(which=which, outcome=st.sampled_from([Conflict.Outcome.TIMED_OUT, Conflict.Outcome.CANCELLED]))
    def give_up(self, which: int, outcome: Conflict.Outcome) -> None:
        actor = self.waiting[which % len(self.waiting)]
        assert actor.wait is not None
        self.model.give_up(actor.name, self.at)
        actor.wait.give_back(outcome)
        actor.wait = None

    @precondition(lambda self: self.idle)
    @rule(which=which)
    def commit(self, which: int) -> None:
        """Write what is claimed, if that is allowed, and end."""
        actor = self.idle[which % len(self.idle)]
        may = all(
            self.model.holder(path, self.at) == actor.name and token == self.newest_tokens[path]
            for path, token in actor.tokens.items()
        )
        for path, token in self.old_tokens[actor.name].items():
            with pytest.raises(LockLost), recording(actor.row.execution_id):
                check_claims(actor.row, {path: token})
        self.write(actor, may)
        self.end(self.actors.index(actor))

    @rule(which=which, fate=st.sampled_from(["end", "die", "renew", "renew"]))
    def befall(self, which: int, fate: str) -> None:
        getattr(self, fate)(which)

    @rule(path=some_path, act=st.sampled_from(["lock_by_hand", "unlock_by_hand"]))
    def interfere(self, path: str, act: str) -> None:
        getattr(self, act)(path)

    def end(self, which: int) -> None:
        """An attempt is ended, by its own thread or by whoever finds it lost; the next one begins."""
        actor = self.actors[which]
        self.model.end(actor.name, self.at)
        with recording(actor.row.execution_id) as record:
            release_claims(record, actor.row)
            Node.objects.filter(pk=actor.row.pk).update(attempt=actor.row.attempt + 1)
        assert actor.wait is None or not actor.has_looked or actor.bell.is_set()
        self.late.append(actor)
        self.old_tokens[actor.name] |= actor.tokens
        self.actors[which] = Actor(actor.name, Node.objects.get(pk=actor.row.pk))

    def die(self, which: int) -> None:
        self.actors[which].is_dead = True

    @precondition(lambda self: self.late)
    @rule(which=which, path=some_path)
    def act_late(self, which: int, path: str) -> None:
        """A thread goes on that does not know yet that its attempt was ended: nothing that it does has any effect."""
        actor = self.late[-1 - which % len(self.late)]
        if actor.wait is not None:
            with pytest.raises((Cancelled, WrongStatus, DeadlockVictim)):
                actor.wait.look()
            actor.wait.give_back(Conflict.Outcome.TIMED_OUT)
        with pytest.raises(WrongStatus):
            begin_claim(actor.row, [path], "wait")
        if actor.tokens:
            self.write(actor, may=False)

    def renew(self, which: int) -> None:
        self.model.renew(self.actors[which].name, self.at)
        renew_claims([self.actors[which].row.pk])

    @rule(seconds=st.sampled_from([1.0, TTL_S / 2, TTL_S + 1, -3.0]))
    def jump(self, seconds: float) -> None:
        clock.at += timedelta(seconds=seconds)

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
        lines: dict[str, list[str]] = defaultdict(list)
        for path, node in Conflict.objects.waiting().values_list("path", "node_id"):
            lines[path].append(str(node))
        assert lines == {path: line for path, line in self.model.lines.items() if line}
        locks = {lock.path: lock for lock in FileLock.objects.all()}
        assert locks.keys() >= self.model.holders.keys()
        for path, lock in locks.items():
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
        rounds = 0
        while any(actor.wait for actor in self.actors):
            rounds += 1
            assert rounds <= 2 * NODES, "somebody waits for ever"
            for number, actor in enumerate(self.actors):
                if actor.is_dead or actor.wait is None:
                    self.end(number)
            for path in PATHS:
                self.unlock_by_hand(path)
            for actor in self.waiting:
                self.let_look(actor)
            self.every_path_is_held_and_awaited_as_in_the_model()
        for number in range(NODES):
            self.end(number)
        assert not FileLock.objects.filter(node__isnull=False).exists()
        assert not Conflict.objects.filter(Q(ended_at=None) | Q(outcome=Conflict.Outcome.WAITING)).exists()
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
@pytest.mark.parametrize("examples", [60, pytest.param(2000, marks=pytest.mark.long)])
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
