"""The heartbeat: it keeps leases alive, gives up in time, and notices that others have taken a node up."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.engine.running import TAKEN, UNHEARD, RunningNodes
from swarm.models import Node
from tests.factories import make_execution, make_node, wait_until
from tests.locks.actions import claim

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def short_lease(settings: Any) -> None:
    settings.SWARM_NODE_LEASE = 0.3


def a_node(**values: Any) -> Node:
    return make_node(make_execution(), lease_expires_at=now(), **values)


def is_renewed(node: Node, at: Any) -> bool:
    return bool(Node.objects.filter(pk=node.pk, lease_expires_at__gt=at).exists())


def test_the_leases_of_a_node_and_of_its_claims_are_renewed_while_it_runs() -> None:
    node = a_node()
    claim(node, "a.py")
    granted_at = now()
    with RunningNodes().registered(node) as cancellation:
        wait_until(lambda: is_renewed(node, now()))
        lasts_longer = node.locks.filter(expires_at__gt=granted_at + timedelta(seconds=settings.SWARM_LOCK_TTL))
        wait_until(lasts_longer.exists)
        assert not cancellation.is_cancelled
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_a_process_that_cannot_renew_leases_stops_its_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    running = RunningNodes()

    def fail() -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(running, "_renew", fail)
    assert_stopped(running, UNHEARD)


def test_so_does_one_whose_database_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    running = RunningNodes()
    may_go_on = threading.Event()
    monkeypatch.setattr(running, "_look", lambda: may_go_on.wait(60))
    try:
        assert_stopped(running, UNHEARD, before_the_end=may_go_on.set)
    finally:
        may_go_on.set()


def assert_stopped(running: RunningNodes, reason: str, before_the_end: Any = lambda: None) -> None:
    with running.registered(a_node()) as cancellation:
        wait_until(lambda: cancellation.is_cancelled)
        assert cancellation.reason == reason
        before_the_end()


@pytest.mark.parametrize("taken", [{"attempt": 2}, {"status": "pending"}, {"status": "cancelled"}])
def test_a_node_that_was_taken_away_is_stopped_and_its_lease_left_to_its_owner(taken: dict[str, Any]) -> None:
    node, other = a_node(), a_node()
    running = RunningNodes()
    with running.registered(node) as cancellation, running.registered(other) as others:
        Node.objects.filter(pk=node.pk).update(**taken, lease_expires_at=None)
        wait_until(lambda: cancellation.is_cancelled)
        assert cancellation.reason == TAKEN
        assert Node.objects.get(pk=node.pk).lease_expires_at is None
        assert not others.is_cancelled


def test_an_attempt_that_this_process_has_begun_is_its_own() -> None:
    node = a_node()
    with RunningNodes().registered(node) as cancellation:
        node.begin_attempt()
        wait_until(lambda: is_renewed(node, now()))
        assert not cancellation.is_cancelled


def test_a_node_that_its_own_process_took_up_again_is_renewed_and_its_old_run_stopped() -> None:
    node = a_node()
    running = RunningNodes()
    with running.registered(node) as old:
        again = Node.objects.get()
        again.put_back()
        again.start(lease_expires_at=now())
        with running.registered(again) as new:
            wait_until(lambda: old.is_cancelled)
            wait_until(lambda: is_renewed(node, now()))
            assert not new.is_cancelled
            assert running.here() == [node.pk, node.pk]
        assert running.here() == [node.pk]


def test_a_cancel_by_id_stops_the_node_and_no_other() -> None:
    node, other = a_node(), a_node()
    running = RunningNodes()
    with running.registered(node) as cancellation, running.registered(other) as others:
        running.cancel([node.pk], "Enough.")
        assert (cancellation.reason, others.is_cancelled) == ("Enough.", False)
    assert isinstance(cancellation, Cancellation)
