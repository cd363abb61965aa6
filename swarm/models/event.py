"""What happened, in order: the record that pages, sockets and replays read."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.timezone import now

from swarm.models.execution import Execution
from swarm.models.node import Node


class EventQuerySet(models.QuerySet["Event"]):
    def after(self, execution_id: uuid.UUID, seq: int) -> EventQuerySet:
        """The events of one execution behind number `seq`, in order."""
        return self.filter(execution_id=execution_id, seq__gt=seq).order_by("seq")


class Event(models.Model):
    """One thing that happened; numbered from 1 without gaps within its execution, unnumbered outside any."""

    execution = models.ForeignKey(Execution, null=True, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField(null=True)
    node = models.ForeignKey(Node, null=True, on_delete=models.CASCADE, related_name="events")
    type = models.CharField(max_length=40)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=now)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "seq"], name="swarm_one_event_per_number"),
            models.CheckConstraint(
                condition=models.Q(execution__isnull=True, seq__isnull=True)
                | models.Q(execution__isnull=False, seq__isnull=False),
                name="swarm_event_numbered_within_execution",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"
