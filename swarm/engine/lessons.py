"""What a node's attempt is told of the earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swarm.engine.errors import WorkerLost, WorkerStopped
from swarm.engine.review_comments import comments_on
from swarm.models import Event, Node

MOST = 5
"""How many lessons an attempt is told: the newest ones."""

_NO_LESSONS = (WorkerLost.code, WorkerStopped.code)
"""Ends of attempts that others went on with."""


def lessons_of(node: Node) -> list[str]:
    """Why the earlier attempts failed and how far they had come, each said once, and what reviewers wrote."""
    ended = Event.objects.filter(node=node, type__in=["swarm:node-retrying", "swarm:node-failed"]).order_by("seq")
    told = [event.data for event in ended if event.data["attempt"] and event.data["error"]["code"] not in _NO_LESSONS]
    return list(dict.fromkeys(_lesson(data) for data in told))[-MOST:] + comments_on(node)


def _lesson(data: Mapping[str, Any]) -> str:
    done = []
    if data["files"]:
        done.append(f"had changed {', '.join(data['files'])}")
    if data["tasks_done"]:
        done.append(f"had ticked {data['tasks_done']} of {data['tasks_total']} tasks")
    return " ".join([data["error"]["message"], *([f"It {' and '.join(done)}."] if done else [])])
