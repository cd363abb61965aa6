"""Breaks circles of nodes that wait for each other: which node gives way, and that its wait is over."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import datetime

from django.db.models import Count, Max, Q

from swarm.locks.deadlock import find_deadlock
from swarm.locks.holders import end_wait
from swarm.models import Conflict, Node


def break_deadlocks(node_id: uuid.UUID, at: datetime) -> None:
    """End the wait of one node of every circle that this node's waits close.

    The caller's transaction holds all rows of held paths: of two nodes that close a circle at the same moment, the
    second sees the first. It is called whenever a waiting node gets a new place in line, or a path beside those that
    it waits for: no other change closes a circle.
    """
    while circle := find_deadlock(_wait_for_graph(), node_id):
        for entry in Conflict.objects.waiting().filter(node=_choose_victim(circle)):
            end_wait(entry, at, Conflict.Outcome.DEADLOCK)


def _wait_for_graph() -> dict[uuid.UUID, set[uuid.UUID]]:
    """Who waits for whom: for the holder of the path.

    Those ahead in its line are left out: they wait for the same holder, so every circle through them is also one
    without them, and a node in it that nobody waits for but in a line would give way for nothing.
    """
    graph: dict[uuid.UUID, set[uuid.UUID]] = defaultdict(set)
    for node, holder in Conflict.objects.waiting().values_list("node_id", "lock__node_id"):
        if holder is not None:
            graph[node].add(holder)
    return graph


def _choose_victim(circle: list[uuid.UUID]) -> uuid.UUID:
    """The node that lost the fewest deadlocks so far; among equals the one with the youngest claim."""
    rows = Node.objects.filter(pk__in=circle).annotate(
        losses=Count("conflicts", filter=Q(conflicts__outcome=Conflict.Outcome.DEADLOCK), distinct=True),
        youngest=Max("locks__locked_at"),
    )
    ranked = sorted(
        (losses, -youngest.timestamp() if youngest else 0.0, number, pk)
        for losses, youngest, number, pk in rows.values_list("losses", "youngest", "number", "pk")
    )
    return ranked[0][-1]
