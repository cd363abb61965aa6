"""The shortest time in which recorded nodes could have done their work under the claims that they took.

Pure but for `recorded_nodes`, which reads the rows of an execution that has ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from swarm.models import Activity, Event, Execution, Node


@dataclass(frozen=True)
class Claimed:
    """A path that a node got at `at`, in seconds on any clock, and the seconds it then worked until it got another or
    ended; waits are no work.
    """

    path: str
    at: float
    worked_s: float


@dataclass(frozen=True)
class Recorded:
    """A node's last attempt: the seconds before its first claim, and its claims in order, all held to its end."""

    worked_s: float
    claimed: Sequence[Claimed]


def ideal_makespan(nodes: Mapping[str, Recorded]) -> float:
    """Seconds from the common start to the last end, if nothing but claims ever made a node wait.

    The longest chain through the nodes' work, where each path passes from node to node in the order recorded: no
    schedule that keeps this order and the nodes' own speed can be shorter.
    """
    takers: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for name, node in nodes.items():
        for claimed in node.claimed:
            takers[claimed.path].append((claimed.at, name))
    lines = {path: [name for _, name in sorted(line)] for path, line in takers.items()}

    @cache
    def end_of(name: str) -> float:
        node = nodes[name]
        at_s = node.worked_s
        for claimed in node.claimed:
            place = lines[claimed.path].index(name)
            free_s = end_of(lines[claimed.path][place - 1]) if place else 0.0
            at_s = max(at_s, free_s) + claimed.worked_s
        return at_s

    return max(map(end_of, nodes))


def recorded_nodes(execution: Execution) -> dict[str, Recorded]:
    """What the completed nodes of an execution did in their last attempts, by name."""
    completed = execution.nodes.filter(status=Node.Status.COMPLETED)
    return {node.name: _recorded(node) for node in completed}


def _recorded(node: Node) -> Recorded:
    told = Event.objects.filter(node=node).order_by("seq")
    last_retry = told.filter(type="swarm:node-retrying").last()
    locked = told.filter(type="file:locked", id__gt=last_retry.pk if last_retry else 0)
    work = [
        (period.started_at, period.started_at + timedelta(seconds=period.seconds))
        for period in node.periods.filter(attempt=node.attempt)
        if period.activity not in Activity.waits()
    ]
    grants = [event.at for event in locked]
    assert node.finished_at is not None
    ends = [*grants[1:], node.finished_at]
    return Recorded(
        worked_s=_overlap_s(work, work[0][0], grants[0]),
        claimed=[
            Claimed(event.data["path"], start.timestamp(), _overlap_s(work, start, end))
            for event, start, end in zip(locked, grants, ends, strict=True)
        ],
    )


def _overlap_s(periods: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime) -> float:
    overlaps = ((min(end, until) - max(start, since)).total_seconds() for since, until in periods)
    return sum(seconds for seconds in overlaps if seconds > 0)
