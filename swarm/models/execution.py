"""One run of the swarm over some stories."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils.timezone import now

from swarm.models.errors import WrongStatus


class ExecutionQuerySet(models.QuerySet["Execution"]):
    def active(self) -> ExecutionQuerySet:
        return self.filter(status__in=Execution.ACTIVE)

    def going_on(self) -> ExecutionQuerySet:
        """Those whose nodes may start."""
        return self.active().filter(paused_at=None, cancel_requested_at=None)

    def ended_before(self, at: datetime) -> ExecutionQuerySet:
        return self.exclude(status__in=Execution.ACTIVE).filter(finished_at__lt=at)


class Execution(models.Model):
    """One run over some stories; its nodes do the work, its branch holds what they finished."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        COMPLETED = "completed"
        PARTIAL = "partial"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class OnConflict(models.TextChoices):
        WAIT = "wait"
        NOTIFY = "notify"

    ACTIVE: ClassVar[frozenset[str]] = frozenset({Status.PENDING, Status.RUNNING})

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING, db_index=True)
    created_at = models.DateTimeField(default=now, db_index=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    cancel_reason = models.CharField(max_length=500, blank=True)
    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=150, blank=True)
    pause_reason = models.TextField(blank=True)
    pause_code = models.CharField(
        max_length=64, blank=True, help_text="why the breaker paused it: the code of the error that its nodes ended in"
    )
    keeps_claims = models.BooleanField(default=True, help_text="whether its nodes keep their claims while it is paused")
    was_paused = models.BooleanField(default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001  NULLs are distinct in the constraint

    workspace = models.CharField(max_length=4096)
    stories_folder = models.CharField(max_length=4096)
    board_path = models.CharField(max_length=4096, blank=True)
    branch = models.CharField(max_length=100)
    base_commit = models.CharField(max_length=40)
    head_commit = models.CharField(max_length=40)

    developers = models.PositiveIntegerField()
    max_attempts = models.PositiveIntegerField()
    on_conflict = models.CharField(max_length=8, choices=OnConflict)
    recheck = models.BooleanField(default=True, help_text="check again where files that a story read have changed")
    node_timeout_s = models.FloatField()
    token_budget = models.PositiveIntegerField(null=True)
    node_token_budget = models.PositiveIntegerField(
        null=True, help_text="tokens that each node may use, all its attempts together"
    )

    was_reopened = models.BooleanField(default=False)
    warnings = models.JSONField(default=list)
    pruned_at = models.DateTimeField(null=True, help_text="when its old events, calls, turns and checks were removed")
    last_seq = models.PositiveBigIntegerField(default=0)

    objects = ExecutionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        permissions = [("operate", "Can execute, cancel, retry and lock")]
        constraints = [
            models.UniqueConstraint(
                fields=["created_by", "idempotency_key"], name="swarm_one_execution_per_idempotency_key"
            )
        ]

    def __str__(self) -> str:
        return f"Execution {self.short_id}"

    @property
    def short_id(self) -> str:
        return str(self.pk)[:8]

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def duration(self) -> timedelta | None:
        """From the start to the end, or to now while it runs; None before the start."""
        if self.started_at is None:
            return None
        return (self.finished_at or now()) - self.started_at

    def start(self) -> None:
        """Record that its first node started. Raises `WrongStatus` unless it is pending."""
        self._move({self.Status.PENDING}, status=self.Status.RUNNING, started_at=now())

    def request_cancel(self, *, by: str = "", reason: str = "") -> bool:
        """Record that it is to stop; False if that was recorded before. Raises `WrongStatus` once it has ended."""
        if self.cancel_requested_at is not None and self.status in self.ACTIVE:
            return False
        self._move(
            self.ACTIVE, cancel_requested_at=now(), cancelled_by=by, cancel_reason=reason[:500], **self._not_paused()
        )
        return True

    def pause(self, *, by: str, reason: str, keeps_claims: bool = True, code: str = "") -> bool:
        """Record that its nodes are to rest; False if they are to already. Raises `WrongStatus` unless it goes on."""
        if self.paused_at is not None and self.status in self.ACTIVE:
            return False
        if self.cancel_requested_at is not None and self.status in self.ACTIVE:
            raise WrongStatus(f"Execution {self.short_id} is being cancelled, so it cannot be paused.")
        self._move(
            self.ACTIVE, paused_at=now(), paused_by=by, pause_reason=reason, pause_code=code,
            keeps_claims=keeps_claims, was_paused=True,
        )  # fmt: skip
        return True

    def resume(self) -> None:
        """Let its nodes go on. Raises `WrongStatus` unless it is paused."""
        if self.paused_at is None:
            raise WrongStatus(f"Execution {self.short_id} is {self.status}, but not paused: nothing is to resume.")
        self._move(self.ACTIVE, **self._not_paused())

    def finish(self, status: Execution.Status, *, finished_at: datetime) -> None:
        """Record how it ended. Raises `WrongStatus` unless it is active."""
        self._move(self.ACTIVE, status=status, finished_at=finished_at, **self._not_paused())

    def reopen(self) -> None:
        """Run again after its end, for a retry. Raises `WrongStatus` while it is active."""
        ended = set(self.Status.values) - self.ACTIVE
        self._move(
            ended, status=self.Status.RUNNING, finished_at=None, was_reopened=True,
            cancel_requested_at=None, cancelled_by="", cancel_reason="",
        )  # fmt: skip

    @staticmethod
    def _not_paused() -> dict[str, object]:
        return {"paused_at": None, "paused_by": "", "pause_reason": "", "pause_code": ""}

    def take_back(self) -> None:
        """Go on, or run again after its end, because a completed story was rejected.

        Raises `WrongStatus` while it is being cancelled.
        """
        if not self.is_active:
            self.reopen()
        elif self.cancel_requested_at is None:
            self._move(self.ACTIVE, was_reopened=True)
        else:
            raise WrongStatus(f"Execution {self.short_id} is being cancelled; reject the story once it has ended.")

    def _move(self, allowed: frozenset[str] | set[str], **values: object) -> None:
        if not Execution.objects.filter(pk=self.pk, status__in=allowed).update(**values):
            self.refresh_from_db(fields=["status"])
            raise WrongStatus(f"Execution {self.short_id} is {self.status}; it must be {' or '.join(sorted(allowed))}.")
        for name, value in values.items():
            setattr(self, name, value)
