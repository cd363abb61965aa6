"""Processes that die in the middle of a node, played within one process."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from swarm.engine.executor import executor
from swarm.engine.recovery import dispatch_orphans, put_back_lost_nodes
from swarm.models import Execution, Node


class Killed(BaseException):
    """Ends a node's thread as the death of its process does: nothing is recorded of it."""


def bury_the_dead() -> int:
    """Do what recovery does once the leases of all nodes that nobody runs have run out; how many were lost."""
    Node.objects.filter(status=Node.Status.RUNNING).update(lease_expires_at=now() - timedelta(seconds=1))
    return put_back_all_lost()


def put_back_all_lost() -> int:
    """Look until nobody is lost any more: an execution at which others are at work is passed over at first."""
    count = 0
    while Node.objects.lost(now()).exists():
        count += put_back_lost_nodes()
    return count


def see_through(execution: Execution) -> int:
    """Bury and go on until the execution has ended; how often its processes had died."""
    deaths = 0
    executor.drain()
    while Execution.objects.get(pk=execution.pk).is_active:
        deaths += 1
        assert deaths < 100, "it never ends"
        assert bury_the_dead()
        dispatch_orphans()
        executor.drain()
    return deaths
