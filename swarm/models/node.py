"""One developer on one story, its checks and where its time went."""

from __future__ import annotations

import uuid
from collections.abc import Container
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from swarm.errors import SwarmError
from swarm.models.errors import WrongStatus
from swarm.models.execution import Execution


class Activity(models.TextChoices):
    """What a node is busy with; every second of a running node is booked under one of these."""

    IDLE = "idle"
    THINKING = "thinking"
    USING_TOOL = "using_tool"
    WAITING_FOR_LOCK = "waiting_for_lock"
    WAITING_FOR_BUDGET = "waiting_for_budget"
    CHECKING = "checking"
    INTEGRATING = "integrating"

    @classmethod
    def waits(cls) -> frozenset[Activity]:
        """Activities that are not work."""
        return frozenset({cls.IDLE, cls.WAITING_FOR_LOCK, cls.WAITING_FOR_BUDGET})


class NodeQuerySet(models.QuerySet["Node"]):
    def active(self) -> NodeQuerySet:
        return self.filter(status__in=Node.ACTIVE)

    def failed(self) -> NodeQuerySet:
        return self.filter(status=Node.Status.FAILED)

    def done(self) -> NodeQuerySet:
        """Nodes whose story is completed and was not reverted."""
        return self.filter(status=Node.Status.COMPLETED).exclude(review=Node.Review.REVERTED)

    def undone(self) -> NodeQuerySet:
        """The others: those that ended otherwise, have not ended, or were reverted."""
        return self.exclude(pk__in=self.done().values("pk"))

    def completed_stories(self) -> set[str]:
        """The ids of the stories that are done."""
        return set(self.done().values_list("story_id", flat=True))

    def next_to_start(self) -> Node | None:
        """The pending node that is to start next of those that wait for no other story; None if there is none.

        That is the one with the lowest number, but one that was put back comes before all that are fresh: it holds
        claims, and those who wait for them could fill every place that it may start in.
        """
        completed = self.completed_stories()
        pending = (
            self.filter(status=Node.Status.PENDING).alias(is_fresh=Q(conversation=0)).order_by("is_fresh", "number")
        )
        return next((node for node in pending.iterator(chunk_size=20) if not node.waits_for(completed)), None)

    def put_back(self) -> NodeQuerySet:
        """Pending nodes that have been taken up before and go on where they were."""
        return self.filter(status=Node.Status.PENDING, conversation__gt=0)

    def lost(self, at: datetime) -> NodeQuerySet:
        """Running nodes whose process has missed its heartbeats."""
        return self.filter(status=Node.Status.RUNNING, lease_expires_at__lte=at)


class Node(models.Model):
    """One developer on one story in one execution."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Review(models.TextChoices):
        """What a person decided about the story's commit; empty while nobody has."""

        APPROVED = "approved"
        REJECTED = "rejected"
        REVERTED = "reverted"

    ACTIVE: ClassVar[frozenset[str]] = frozenset({Status.PENDING, Status.RUNNING})
    ENDED: ClassVar[frozenset[str]] = frozenset(Status.values) - ACTIVE

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="nodes")
    number = models.PositiveIntegerField()
    story_id = models.CharField(max_length=200)
    story_title = models.TextField()
    story_path = models.CharField(max_length=4096)
    depends_on = models.JSONField(
        default=list, help_text="stories of the same execution, with lower numbers, that must be done first"
    )
    predicted_files = models.JSONField(default=list, help_text="pairs of a path and why it is expected to be touched")

    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    activity = models.CharField(max_length=24, choices=Activity, default=Activity.IDLE)
    detail = models.TextField(blank=True)
    tasks_done = models.PositiveIntegerField(default=0)
    tasks_total = models.PositiveIntegerField(default=0)
    attempt = models.PositiveIntegerField(default=0, help_text="only ever grows, so that it fences late writers")
    max_attempts = models.PositiveIntegerField()
    conversation = models.PositiveIntegerField(
        default=0,
        help_text="the attempt that began the conversation which the next one goes on with; 0 for a fresh start",
    )
    superseded_attempt = models.PositiveIntegerField(
        default=0, help_text="commits of attempts up to this one no longer stand for the story"
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    cancel_reason = models.CharField(max_length=500, blank=True)
    lease_expires_at = models.DateTimeField(
        null=True, help_text="moved on by the heartbeat of the process that runs it"
    )

    files = models.JSONField(default=list)
    commit = models.CharField(max_length=40, blank=True)
    summary = models.TextField(blank=True)
    proof = models.ForeignKey(
        "CheckRun", null=True, on_delete=models.SET_NULL, related_name="+",
        help_text="the check that showed the story to be done; None where no check command was set",
    )  # fmt: skip
    review = models.CharField(max_length=8, choices=Review, blank=True)
    review_comment = models.TextField(blank=True)
    reviewed_by = models.CharField(max_length=150, blank=True, help_text="the user's name as it was then")
    reviewed_at = models.DateTimeField(null=True)
    calls = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    completion_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=8, null=True, help_text="None while no price is known")
    error_code = models.CharField(max_length=64, blank=True, db_index=True)
    error_message = models.TextField(blank=True)
    error_retryable = models.BooleanField(default=False)

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["execution", "number"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "number"], name="swarm_one_node_per_number"),
            models.UniqueConstraint(fields=["execution", "story_id"], name="swarm_one_node_per_story"),
        ]
        indexes = [
            models.Index(fields=["status", "finished_at"], name="swarm_node_status"),
            models.Index(fields=["story_id"], name="swarm_node_story"),
        ]

    def __str__(self) -> str:
        return f"{self.name} on story {self.story_id}"

    @property
    def name(self) -> str:
        return f"developer-{self.number}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def is_done(self) -> bool:
        """Whether its story is completed and was not reverted."""
        return self.status == self.Status.COMPLETED and self.review != self.Review.REVERTED

    @property
    def duration(self) -> timedelta | None:
        """From its start to its end, or to now while it runs; None before the start."""
        if self.started_at is None:
            return None
        return (self.finished_at or now()) - self.started_at

    @property
    def progress(self) -> int:
        """Percent: a tenth for starting, the rest by ticked tasks, all of it only once it is completed."""
        if self.status == self.Status.COMPLETED:
            return 100
        if self.started_at is None:
            return 0
        return 10 + (80 * self.tasks_done // self.tasks_total if self.tasks_total else 0)

    def waits_for(self, completed_stories: Container[str]) -> list[str]:
        """The stories that must be done before it can start; none once it has started."""
        if self.status != self.Status.PENDING:
            return []
        return [story for story in self.depends_on if story not in completed_stories]

    def start(self, *, lease_expires_at: datetime) -> None:
        """Record that a developer took the story up for a try, which goes on with its conversation if there is one.

        Raises `WrongStatus` unless it is pending.
        """
        attempt = {"attempt": self.attempt + 1} if self.conversation else self._fresh_attempt()
        self._move(
            {self.Status.PENDING}, status=self.Status.RUNNING, started_at=self.started_at or now(),
            lease_expires_at=lease_expires_at, **attempt,
        )  # fmt: skip

    def start_over(self) -> None:
        """Give up the conversation that this attempt was to go on with. Raises `WrongStatus` unless it is running."""
        self._move({self.Status.RUNNING}, conversation=self.attempt, tasks_done=0, files=[])

    def begin_attempt(self) -> None:
        """Count one more try, with nothing done yet. Raises `WrongStatus` unless it is running."""
        self._move({self.Status.RUNNING}, **self._fresh_attempt())

    def put_back(self) -> None:
        """Queue it again, uncharged, to go on where it was: its process died or stopped.

        Raises `WrongStatus` unless it is running.
        """
        self._move(
            {self.Status.RUNNING}, status=self.Status.PENDING, activity=Activity.IDLE, detail="",
            lease_expires_at=None, max_attempts=self.max_attempts + 1,
        )  # fmt: skip

    def show(self, activity: Activity, detail: str) -> None:
        """Record what it is busy with. Raises `WrongStatus` unless it is running."""
        self._move({self.Status.RUNNING}, activity=activity, detail=detail[:500])

    def record_files(self, files: list[str]) -> None:
        """Record the paths that it has changed so far. Raises `WrongStatus` unless it is running."""
        self._move({self.Status.RUNNING}, files=files)

    def record_tasks(self, done: int) -> None:
        """Record how many of its tasks are ticked. Raises `WrongStatus` unless it is running."""
        self._move({self.Status.RUNNING}, tasks_done=done)

    def add_usage(self, *, prompt_tokens: int, completion_tokens: int, cost: Decimal | None = None) -> None:
        """Count one answered call, its tokens and, where its price is known, what it cost."""
        so_far = Coalesce(F("cost"), Decimal(0), output_field=models.DecimalField())
        Node.objects.filter(pk=self.pk).update(
            calls=F("calls") + 1,
            prompt_tokens=F("prompt_tokens") + prompt_tokens,
            completion_tokens=F("completion_tokens") + completion_tokens,
            cost=F("cost") if cost is None else so_far + cost,
        )

    def complete(self, *, commit: str, files: list[str], summary: str) -> None:
        """Record that the story is done, and which check proved it. Raises `WrongStatus` unless it is running."""
        self._end(
            {self.Status.RUNNING}, self.Status.COMPLETED, commit=commit, files=files, summary=summary,
            tasks_done=self.tasks_total, proof=self.check_runs.proof(),
            review="", review_comment="", reviewed_by="", reviewed_at=None,
        )  # fmt: skip

    def fail(self, error: SwarmError) -> None:
        """Record that it ended in `error`. Raises `WrongStatus` unless it is pending or running."""
        self._end(
            self.ACTIVE, self.Status.FAILED,
            error_code=error.code, error_message=error.message, error_retryable=error.retryable,
        )  # fmt: skip

    def request_cancel(self, *, by: str, reason: str) -> bool:
        """Record that it is to stop; False if that was recorded before. Raises `WrongStatus` once it has ended."""
        if self.cancel_requested_at is not None and self.is_active:
            return False
        self._move(self.ACTIVE, cancel_requested_at=now(), cancelled_by=by, cancel_reason=reason[:500])
        return True

    def cancel(self, *, by: str = "", reason: str = "") -> None:
        """Record that it was stopped, by whom and why. Raises `WrongStatus` unless it is pending or running."""
        self._end(self.ACTIVE, self.Status.CANCELLED, cancelled_by=by, cancel_reason=reason[:500])

    def allow_attempt(self) -> None:
        """Grant one more attempt, for one lost through no fault of its own. Raises `WrongStatus` unless running."""
        self._move({self.Status.RUNNING}, max_attempts=self.max_attempts + 1)

    def retry(self, attempts: int, *, resume: bool = False) -> None:
        """Queue it again for up to `attempts` more tries, to `resume` its conversation or to begin another.

        One that was reverted always begins anew. Raises `WrongStatus` unless it failed, was cancelled or was reverted.
        """
        if self.review == self.Review.REVERTED:
            self._queue(self.ENDED, attempts, **self._begin_anew(), commit="", proof=None)
        else:
            fresh = {} if resume else {"conversation": 0, "tasks_done": 0, "files": []}
            self._queue({self.Status.FAILED, self.Status.CANCELLED}, attempts, **fresh)

    def approve(self, *, by: str) -> None:
        """Record that somebody likes what it committed. Raises `WrongStatus` unless that stands on the branch."""
        self.refuse_without_commit()
        self._move({self.Status.COMPLETED}, **self._decision(self.Review.APPROVED, by, ""))

    def reject(self, *, by: str, comment: str, attempts: int) -> None:
        """Queue it again for up to `attempts` tries at what `comment` asks for, on top of what it committed.

        Raises `WrongStatus` unless that stands on the branch.
        """
        self.refuse_without_commit()
        decision = self._decision(self.Review.REJECTED, by, comment)
        self._queue({self.Status.COMPLETED}, attempts, **self._begin_anew(), **decision)

    def revert(self, *, by: str, comment: str) -> None:
        """Record that its commits were taken back. Raises `WrongStatus` unless it has ended and they stood there."""
        self.refuse_without_commit()
        self._move(self.ENDED, **self._decision(self.Review.REVERTED, by, comment))

    def refuse_without_commit(self) -> None:
        """Raise `WrongStatus` unless a commit of it is on the branch."""
        if self.review == self.Review.REVERTED:
            raise WrongStatus(f"{self} was reverted; nothing of it is on the branch. Retry it instead.")
        if not self.commit:
            raise WrongStatus(f"{self} is {self.status} and has committed nothing; there is nothing to review.")

    def _decision(self, review: Review, by: str, comment: str) -> dict[str, object]:
        return {"review": review, "review_comment": comment, "reviewed_by": by, "reviewed_at": now()}

    def _begin_anew(self) -> dict[str, object]:
        """What is on the branch of it does not count as its next attempt's."""
        return {"conversation": 0, "tasks_done": 0, "files": [], "superseded_attempt": self.attempt}

    def _queue(self, allowed: set[str] | frozenset[str], attempts: int, **values: object) -> None:
        self._move(
            allowed, status=self.Status.PENDING, activity=Activity.IDLE,
            max_attempts=self.attempt + attempts, started_at=None, finished_at=None,
            error_code="", error_message="", error_retryable=False,
            cancel_requested_at=None, cancelled_by="", cancel_reason="", **values,
        )  # fmt: skip

    def hold(self) -> None:
        """Lock the row until the transaction ends: nobody takes the node away meanwhile.

        Raises `WrongStatus` unless it is running this attempt.
        """
        row = Node.objects.select_for_update().only("status", "attempt").get(pk=self.pk)
        if (row.status, row.attempt) != (self.Status.RUNNING, self.attempt):
            raise self._wrong_status(row, {self.Status.RUNNING})

    def _fresh_attempt(self) -> dict[str, object]:
        attempt = self.attempt + 1
        return {
            "attempt": attempt, "conversation": attempt, "tasks_done": 0, "files": [],
            "error_code": "", "error_message": "",
        }  # fmt: skip

    def _end(self, allowed: set[str] | frozenset[str], status: Node.Status, **values: object) -> None:
        self._move(allowed, status=status, activity=Activity.IDLE, detail="", finished_at=now(), **values)

    def _move(self, allowed: set[str] | frozenset[str], **values: object) -> None:
        """Change the row if its status allows it and no later attempt has begun: a late writer is refused."""
        if not Node.objects.filter(pk=self.pk, status__in=allowed, attempt=self.attempt).update(**values):
            raise self._wrong_status(Node.objects.get(pk=self.pk), allowed)
        for name, value in values.items():
            setattr(self, name, value)

    def _wrong_status(self, row: Node, allowed: set[str] | frozenset[str]) -> WrongStatus:
        return WrongStatus(
            f"{self.name} is {row.status} in attempt {row.attempt}; "
            f"it must be {' or '.join(sorted(allowed))} in attempt {self.attempt}."
        )
