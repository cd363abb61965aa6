"""What each node spent its time on."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Sum

from swarm.models.node import Activity, Node


class PeriodQuerySet(models.QuerySet["Period"]):
    def seconds_by_activity(self) -> dict[tuple[uuid.UUID, str], float]:
        """Seconds booked since each node's last start, by node and activity."""
        current = self.filter(started_at__gte=F("node__started_at"))
        rows = current.values_list("node_id", "activity").order_by().annotate(total=Sum("seconds"))
        return {(node, activity): total for node, activity, total in rows}

    def seconds_of(self, node: Node) -> float:
        """Seconds booked since a node's last start, so without those in which nobody ran it."""
        booked = self.filter(node=node, started_at__gte=node.started_at).aggregate(total=Sum("seconds"))
        return float(booked["total"] or 0)


class Period(models.Model):
    """A stretch of one node's time under one activity; a node's periods follow each other without gaps."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="periods")
    attempt = models.PositiveIntegerField()
    activity = models.CharField(max_length=24, choices=Activity)
    detail = models.TextField(blank=True)
    started_at = models.DateTimeField()
    seconds = models.FloatField()

    objects = PeriodQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.activity} {self.seconds:.3f} s"
