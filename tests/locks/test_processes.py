"""Claims between real processes on PostgreSQL: hand-overs are heard at once, and hold when processes are killed."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from typing import Any

import pytest

from swarm.events.record import recording
from swarm.locks.claims import release_claims
from swarm.models import Conflict, Event, Execution, FileLock, Node
from tests.factories import PATIENCE_S, make_nodes, wait_until
from tests.locks.actions import claim, is_waiting, release
from tests.locks.processes import Worker, workers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]


def test_a_waiter_in_another_process_is_woken_by_the_release() -> None:
    """It looks by itself once an hour only."""
    here, there = make_nodes(2, executions=2)
    claim(here, "a.py")
    with workers([there], paths=["a.py"]) as [worker]:
        worker.begin()
        wait_until(lambda: is_waiting(there))
        release(here)
        assert [worker.hear(), worker.hear()] == ["granted", ""]
    assert Event.objects.get(type="test:written").data == {"path": "a.py", "token": FileLock.objects.get().token - 1}


def test_nodes_of_several_processes_pass_a_path_on_in_the_order_asked() -> None:
    """Each hears of it from another process or its own; nobody looks by itself."""
    nodes = make_nodes(6, executions=2)
    with workers(nodes[:2], nodes[2:4], nodes[4:], paths=["a.py"], stories=5) as started:
        for worker in started:
            worker.begin()
        run_to_the_end(started)
    assert Event.objects.filter(type="test:written").count() == 30
    check_what_was_recorded()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 30))])
def test_processes_that_are_killed_or_sleep_past_their_leases_break_nothing(seed: int, settings: Any) -> None:
    settings.SWARM_LOCK_TTL = 1.0  # here as there: a lease is as long as the releasing process says
    nodes = make_nodes(8, executions=3)
    jobs = [nodes[:2], nodes[2:4], nodes[4:6], nodes[6:]]
    options = {"seed": seed, "stories": 4, "pause_s": 0.05, "ttl_s": settings.SWARM_LOCK_TTL, "poll_s": 0.2}
    with workers(*jobs, paths=[f"{name}.py" for name in "abcd"], **options) as started:
        for worker in started:
            worker.begin()
        hit(started[0], signal.SIGKILL, jobs[0])
        hit(started[1], signal.SIGKILL, jobs[1])
        find_lost(jobs[1])
        hit(started[2], signal.SIGSTOP, jobs[2])
        time.sleep(1.5)  # longer than the leases: who sleeps has lost its claims, and those of the first run out
        started[2].process.send_signal(signal.SIGCONT)
        run_to_the_end(started[2:])
        find_lost(jobs[0])
    assert count_stories(nodes[4:]) == 4 * 4
    check_what_was_recorded()


def hit(worker: Worker, with_signal: signal.Signals, nodes: list[Node]) -> None:
    """Kill or stop a process while it holds something."""
    wait_until(lambda: FileLock.objects.filter(node__in=nodes).exists())
    worker.process.send_signal(with_signal)


def find_lost(nodes: list[Node]) -> None:
    """End the attempts of a dead process's nodes, as recovery does."""
    for node in nodes:
        with recording(node.execution_id) as record:
            row = Node.objects.get(pk=node.pk)
            row.put_back()
            release_claims(record, row)


def run_to_the_end(started: list[Worker]) -> None:
    for worker in started:
        while worker.hear() == "granted":
            pass
        assert worker.process.wait(PATIENCE_S) == 0


def count_stories(nodes: list[Node]) -> int:
    """How many stories of three paths these nodes have written."""
    return Event.objects.filter(type="test:written", node__in=nodes).count() // 3


def check_what_was_recorded() -> None:
    """Mutual exclusion, fencing, order and nothing left, read from the rows alone."""
    granted: dict[str, int] = defaultdict(int)
    written: dict[str, int] = defaultdict(int)
    for event in Event.objects.filter(type__in=["file:locked", "test:written"]).order_by("id"):
        path, token = event.data["path"], event.data["token"]
        if event.type == "file:locked":
            assert token > granted[path], "two grants with one token"
            granted[path] = token
        else:
            assert token == granted[path], "written under a claim that another was granted after"
            assert token > written[path], "written twice under one claim"
            written[path] = token
    for lock in FileLock.objects.all():
        in_order = lock.conflicts.filter(outcome__in=["granted", "holder_expired"]).order_by("id")
        ends = list(in_order.values_list("ended_at", flat=True))
        assert ends == sorted(ends), "somebody was overtaken in line"
        assert lock.node_id is None
    assert not Conflict.objects.filter(ended_at__isnull=True).exists()
    for execution in Execution.objects.all():
        assert list(execution.events.values_list("seq", flat=True)) == list(range(1, execution.last_seq + 1))
