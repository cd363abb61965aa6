"""Many threads at once: mutual exclusion, order, tokens, and a database that holds."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils.timezone import now

from swarm.events.record import recording
from swarm.locks.claims import renew_claims
from swarm.locks.errors import PathHeld
from swarm.locks.people import lock_path
from swarm.models import Conflict, Event, Execution, FileLock, Node
from tests.factories import PATIENCE_S, in_thread, make_execution, make_nodes, run_threads, wait_until
from tests.locks.actions import claim, release

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Room:
    """Where only one may be at a time; writes down who came, with which token."""

    occupied: threading.Lock = field(default_factory=threading.Lock)
    visits: list[tuple[Node, int]] = field(default_factory=list)

    def enter(self, node: Node, token: int) -> None:
        assert self.occupied.acquire(blocking=False), "two nodes held the path at once"
        self.visits.append((node, token))

    def leave(self) -> None:
        self.occupied.release()


@pytest.mark.parametrize("executions", [1, 4])
def test_of_16_nodes_that_want_a_path_each_gets_it_once_alone_in_the_order_asked(executions: int) -> None:
    nodes = make_nodes(16, executions=executions)
    room = Room()

    def visit(node: Node) -> None:
        granted = claim(node, "a.py")
        room.enter(node, granted.token)
        room.leave()
        release(node)

    run_threads([partial(visit, node) for node in nodes])
    visitors = [node for node, _ in room.visits]
    tokens = [token for _, token in room.visits]
    assert sorted(map(str, visitors)) == sorted(map(str, nodes))
    assert tokens == sorted(set(tokens))
    in_line = [conflict.node for conflict in Conflict.objects.order_by("id").select_related("node")]
    assert [node for node in visitors if node in in_line] == in_line
    assert not FileLock.objects.held(now()).exists()
    assert not Conflict.objects.waiting().exists()


def test_of_16_people_who_lock_a_path_at_once_one_gets_it() -> None:
    people = [User.objects.create_user(f"person-{number}") for number in range(16)]

    def is_granted(person: User) -> bool:
        try:
            lock_path(person, "a.py", reason="", ttl_s=60)
        except PathHeld:
            return False
        return True

    assert sum(run_threads([partial(is_granted, person) for person in people])) == 1


def test_50_nodes_that_all_write_meet_no_locked_database_and_lose_nothing() -> None:
    nodes = make_nodes(50, executions=2)

    def write(node: Node) -> None:
        claim(node, f"{node.pk}.py")
        for step in range(4):
            with recording(node.execution_id) as record:
                record("swarm:node-progress", node, step=step)
        claim(node, "shared.py")
        release(node)

    run_threads([partial(write, node) for node in nodes])
    assert Event.objects.filter(type="swarm:node-progress").count() == 200
    for execution in Execution.objects.all():
        assert list(execution.events.values_list("seq", flat=True)) == list(range(1, execution.last_seq + 1))


@pytest.mark.postgresql
def test_a_heartbeat_and_a_claim_that_need_the_same_rows_do_not_block_each_other_for_ever() -> None:
    """Both need several rows: they must take them in one order, whatever order the rows lie in."""
    holder, beating, asking = make_nodes(3, executions=3)
    for number in range(6):
        claim(beating, f"{number}.py")
    claim(holder, "wanted.py")
    # Rewriting an indexed column of the first row moves it behind the others, where every scan meets it last.
    first, *_, last = FileLock.objects.filter(node=beating).order_by("pk")
    for node in (holder, beating):
        FileLock.objects.filter(pk=first.pk).update(node=node)
    with recording(make_execution().pk):
        FileLock.objects.select_for_update().get(pk=last.pk)
        heartbeat = in_thread(lambda: renew_claims([beating.pk]))
        wait_until(lambda: _blocked_backends() == 1)
        asks = in_thread(lambda: claim(asking, "wanted.py"))
        wait_until(lambda: _blocked_backends() == 2)
    heartbeat.result(PATIENCE_S)
    wait_until(lambda: asking.conflicts.exists() or asks.done())
    release(holder)
    asks.result(PATIENCE_S)


def _blocked_backends() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return int(cursor.fetchone()[0])
