"""The thread executor: everything submitted is run, nothing harms the rest, nothing is left open."""

from __future__ import annotations

import threading
import uuid
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from swarm.engine.executor import ThreadExecutor
from swarm.models import Node
from tests.factories import PATIENCE_S, in_thread, wait_until

IDS = [uuid.UUID(int=number) for number in range(6)]


@pytest.fixture
def executor() -> Any:
    executor = ThreadExecutor()
    yield executor
    executor.drain()


def test_all_nodes_run_at_the_same_time(executor: ThreadExecutor) -> None:
    everybody_is_here = threading.Barrier(len(IDS))
    ran: list[uuid.UUID] = []

    def run(node_id: uuid.UUID) -> None:
        everybody_is_here.wait(PATIENCE_S)
        ran.append(node_id)

    for node_id in IDS:
        executor.submit(run, node_id)
    executor.drain()
    assert sorted(ran) == IDS


def test_no_more_nodes_run_at_once_than_developers_may(executor: ThreadExecutor) -> None:
    may_end = threading.Event()
    running: list[uuid.UUID] = []

    def run(node_id: uuid.UUID) -> None:
        running.append(node_id)
        may_end.wait(PATIENCE_S)

    with override_settings(SWARM_MAX_DEVELOPERS=2):
        for node_id in IDS[:3]:
            executor.submit(run, node_id)
    wait_until(lambda: len(running) == 2)
    assert executor.has_queue
    may_end.set()
    executor.drain()
    assert running == IDS[:3]
    assert not executor.has_queue


def test_draining_waits_also_for_what_a_node_submits_meanwhile(executor: ThreadExecutor) -> None:
    ran: list[uuid.UUID] = []

    def run(node_id: uuid.UUID) -> None:
        if node_id != IDS[-1]:
            executor.submit(run, IDS[IDS.index(node_id) + 1])
        ran.append(node_id)

    executor.submit(run, IDS[0])
    executor.drain()
    assert sorted(ran) == IDS


def test_draining_ends_the_threads_and_a_later_submit_begins_anew(executor: ThreadExecutor) -> None:
    threads: list[threading.Thread] = []
    for node_id in IDS[:2]:
        executor.submit(lambda node_id: threads.append(threading.current_thread()), node_id)
        executor.drain()
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


def test_draining_an_executor_that_ran_nothing_does_nothing(executor: ThreadExecutor) -> None:
    executor.drain()
    assert not executor.has_queue


def test_a_node_that_crashes_harms_no_other(executor: ThreadExecutor) -> None:
    ran: list[uuid.UUID] = []

    def run(node_id: uuid.UUID) -> None:
        if node_id == IDS[0]:
            raise ZeroDivisionError
        ran.append(node_id)

    with override_settings(SWARM_MAX_DEVELOPERS=1):
        for node_id in IDS:
            executor.submit(run, node_id)
    executor.drain()
    assert ran == IDS[1:]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("crashes", [False, True])
def test_a_thread_closes_its_database_connection_after_each_node(executor: ThreadExecutor, crashes: bool) -> None:
    wrappers: list[Any] = []

    def run(node_id: uuid.UUID) -> None:
        Node.objects.count()
        assert connections["default"].connection is not None
        wrappers.append(connections["default"])
        if crashes:
            raise ZeroDivisionError

    executor.submit(run, IDS[0])
    executor.drain()
    [wrapper] = wrappers
    assert wrapper.connection is None


def test_nodes_may_be_submitted_from_many_threads_at_once(executor: ThreadExecutor) -> None:
    ran: list[uuid.UUID] = []
    submits = [in_thread(partial(executor.submit, ran.append, node_id)) for node_id in IDS]
    for submit in submits:
        submit.result(PATIENCE_S)
    executor.drain()
    assert sorted(ran) == IDS


def test_a_closed_executor_stops_what_runs_forgets_what_waits_and_takes_no_more_until_it_opens(
    executor: ThreadExecutor,
) -> None:
    may_end = threading.Event()
    ran: list[uuid.UUID] = []

    def run(node_id: uuid.UUID) -> None:
        ran.append(node_id)
        may_end.wait(PATIENCE_S)

    with override_settings(SWARM_MAX_DEVELOPERS=1):
        executor.submit(run, IDS[0])
        executor.submit(run, IDS[1])
    wait_until(lambda: ran == IDS[:1])
    assert executor.close(lambda is_patient: may_end.set(), drain_s=0)
    executor.submit(run, IDS[2])
    executor.drain()
    assert ran == IDS[:1]
    executor.open()
    executor.submit(run, IDS[3])
    executor.drain()
    assert ran == [IDS[0], IDS[3]]


def test_closing_is_patient_at_first_and_then_no_more(executor: ThreadExecutor) -> None:
    may_end = threading.Event()
    asked: list[bool] = []

    def stop(is_patient: bool) -> None:
        asked.append(is_patient)
        if not is_patient:
            may_end.set()

    executor.submit(lambda node_id: may_end.wait(PATIENCE_S) and None, IDS[0])
    assert executor.close(stop, drain_s=0.3)
    assert asked == sorted(asked, reverse=True)
    assert set(asked) == {True, False}


def test_closing_gives_up_on_a_node_that_cannot_be_stopped(
    executor: ThreadExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.engine.executor.GIVE_UP_S", 0.1)
    may_end = threading.Event()
    executor.submit(lambda node_id: may_end.wait(PATIENCE_S) and None, IDS[0])
    assert not executor.close(lambda is_patient: None, drain_s=0)
    may_end.set()
