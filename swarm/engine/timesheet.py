"""Books every second of a running node under one activity, and shows that activity."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.events.record import recording
from swarm.models import Activity, Node, Period


class Timesheet:
    """The periods of one node, each ending where the next begins. While it waits, `cancellation` is safe to throw."""

    def __init__(self, node: Node, cancellation: Cancellation) -> None:
        self._node = node
        self._cancellation = cancellation
        self._activity = Activity.IDLE
        self._detail = ""
        self._since: datetime = now()
        self._since_s = time.monotonic()

    def enter(self, activity: Activity, detail: str = "") -> None:
        """Book the time since the last call and go over to `activity`. Raises `WrongStatus` if the node has ended."""
        if (activity, detail) == (self._activity, self._detail):
            return
        with recording(self._node.execution_id) as record:
            self._book()
            self._node.show(activity, detail)
            record("swarm:node-progress", self._node, **progress_data(self._node))
        self._activity, self._detail = activity, detail
        self._cancellation.set_safe(activity in Activity.waits())

    @property
    def activity(self) -> Activity:
        """What the node is busy with."""
        return self._activity

    def close(self) -> None:
        """Book the time since the last call as the node's last; within the transaction that ends the node."""
        self._book()

    def _book(self) -> None:
        at, at_s = now(), time.monotonic()
        Period.objects.create(
            node=self._node,
            attempt=self._node.attempt,
            activity=self._activity,
            detail=self._detail[:500],
            started_at=self._since,
            seconds=at_s - self._since_s,
        )
        self._since, self._since_s = at, at_s


def book_lost_time(node: Node) -> None:
    """Book the time until a dead process's lease ran out, which it could not book itself, as a wait.

    It counts against the node's time, so that a story that kills every process that runs it comes to an end.
    """
    last = node.periods.filter(attempt=node.attempt).last()
    if last is None or node.lease_expires_at is None:
        return
    since = last.started_at + timedelta(seconds=last.seconds)
    seconds = (node.lease_expires_at - since).total_seconds()
    if seconds > 0:
        Period.objects.create(
            node=node, attempt=node.attempt, activity=Activity.IDLE, detail="its process died",
            started_at=since, seconds=seconds,
        )  # fmt: skip


def progress_data(node: Node) -> dict[str, object]:
    """What the events of a node tell of it."""
    return {
        "name": node.name,
        "story": node.story_id,
        "status": node.status,
        "activity": node.activity,
        "detail": node.detail,
        "progress": node.progress,
        "tasks_done": node.tasks_done,
        "tasks_total": node.tasks_total,
        "attempt": node.attempt,
        "max_attempts": node.max_attempts,
        "files": node.files,
    }
