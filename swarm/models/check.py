"""Runs of the check command: the evidence that a story is done, or why it is not."""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.utils.timezone import now

from swarm.models.node import Node


class CheckRunQuerySet(models.QuerySet["CheckRun"]):
    def proof(self) -> CheckRun | None:
        """The last run that passed since its node's last start."""
        return self.filter(exit_status=0, created_at__gte=F("node__started_at")).order_by("id").last()


class CheckRun(models.Model):
    """One run of the check command on a node's work: on the commit that its snapshot is based on, with its changes."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="check_runs")
    attempt = models.PositiveIntegerField()
    command = models.TextField()
    exit_status = models.IntegerField()
    seconds = models.FloatField()
    output = models.TextField(blank=True)
    on_commit = models.CharField(max_length=40)
    created_at = models.DateTimeField(default=now)

    objects = CheckRunQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Check with exit status {self.exit_status}"

    @property
    def has_passed(self) -> bool:
        return self.exit_status == 0
