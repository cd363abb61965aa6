"""Claims on paths, and the log of those that could not be granted at once.

A path's row outlives its claims, so that its fencing token only ever grows. Only `swarm.locks` writes these tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from swarm.models.execution import Execution
from swarm.models.node import Node


class FileLockQuerySet(models.QuerySet["FileLock"]):
    def held(self, at: datetime) -> FileLockQuerySet:
        """Locks that somebody holds and whose lease has not run out."""
        return self.filter(Q(node__isnull=False) | Q(user__isnull=False), expires_at__gt=at)


class FileLock(models.Model):
    """The lock of one path; free while neither a node nor a person holds it."""

    key = models.CharField(max_length=1024, unique=True, help_text="the path, folded: clashing spellings share it")
    path = models.CharField(max_length=4096)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="locks")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="file_locks")
    reason = models.CharField(max_length=500, blank=True)
    token = models.PositiveBigIntegerField(default=0, help_text="grows with every grant; checked at commit")
    locked_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    objects = FileLockQuerySet.as_manager()

    class Meta:
        ordering = ["path"]
        permissions = [("break_lock", "Can break a lock that a node or another person holds")]
        constraints = [
            models.CheckConstraint(
                condition=Q(node__isnull=True) | Q(user__isnull=True), name="swarm_one_holder_per_path"
            )
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def has_holder(self) -> bool:
        """Whether somebody holds it, or held it until the lease ran out."""
        return self.node_id is not None or self.user_id is not None

    def is_held(self, at: datetime) -> bool:
        return self.has_holder and bool(self.expires_at and self.expires_at > at)

    @property
    def holder(self) -> str:
        """Who holds it, in words; empty while it is free."""
        if self.node is not None:
            return str(self.node)
        return str(self.user) if self.user is not None else ""


class ConflictQuerySet(models.QuerySet["Conflict"]):
    def waiting(self) -> ConflictQuerySet:
        """Claims still in the queue, first come first."""
        return self.filter(ended_at__isnull=True).order_by("id")

    def line_for(self, lock: FileLock) -> ConflictQuerySet:
        """The claims of running nodes that wait for a path, first come first."""
        return self.waiting().filter(lock=lock, node__status=Node.Status.RUNNING).select_related("node")


class Conflict(models.Model):
    """A claim that could not be granted at once: a place in the path's queue first, a line of the log afterwards."""

    class Outcome(models.TextChoices):
        WAITING = "waiting"
        GRANTED = "granted"
        HOLDER_EXPIRED = "holder_expired"
        TIMED_OUT = "timed_out"
        DEADLOCK = "deadlock"
        CANCELLED = "cancelled"
        NOTIFIED = "notified"

    lock = models.ForeignKey(FileLock, on_delete=models.CASCADE, related_name="conflicts")
    path = models.CharField(max_length=4096)
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="conflicts")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="conflicts")
    held_by = models.CharField(max_length=300)
    policy = models.CharField(max_length=8, choices=Execution.OnConflict)
    asked_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.WAITING)

    objects = ConflictQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["lock"], condition=Q(ended_at__isnull=True), name="swarm_conflict_queue")]

    def __str__(self) -> str:
        return f"{self.node} wants {self.path}"

    @property
    def is_granted(self) -> bool:
        """Whether the wait ended with the path."""
        return self.outcome in {self.Outcome.GRANTED, self.Outcome.HOLDER_EXPIRED}

    @property
    def waited(self) -> timedelta:
        """From asking to the end, or to now while it waits."""
        return (self.ended_at or now()) - self.asked_at
