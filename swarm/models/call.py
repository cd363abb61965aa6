"""The accounts: one row for each call to the model, also for those that failed."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Avg, Q, Sum
from django.utils.timezone import now

from swarm.models.node import Node


class CallQuerySet(models.QuerySet["Call"]):
    def answered(self, execution_id: uuid.UUID) -> CallQuerySet:
        """The calls of an execution that the model has answered."""
        return self.filter(node__execution=execution_id, outcome=Call.OK)

    def abandon(self, code: str) -> None:
        """Record `code` for calls whose process died, and give their reservations back."""
        self.filter(outcome=Call.IN_FLIGHT).update(outcome=code, charged_tokens=0)

    def tokens(self) -> tuple[int, int, float | None]:
        """Tokens that were used, those reserved by the calls in flight, and the mean of the answers."""
        is_open = Q(outcome=Call.IN_FLIGHT)
        found = self.aggregate(
            used=Sum("charged_tokens", filter=~is_open),
            reserved=Sum("charged_tokens", filter=is_open),
            answer=Avg("completion_tokens", filter=Q(outcome=Call.OK)),
        )
        return found["used"] or 0, found["reserved"] or 0, found["answer"]


class Call(models.Model):
    """One call of a node, from its reservation on; its tokens are those that the model said it used."""

    IN_FLIGHT: ClassVar[str] = "in_flight"
    OK: ClassVar[str] = "ok"

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="call_rows")
    attempt = models.PositiveIntegerField()
    number = models.PositiveIntegerField(help_text="the turn that it was made for")
    model = models.CharField(max_length=200)
    started_at = models.DateTimeField(default=now, db_index=True)
    queued_s = models.FloatField(default=0.0)
    upstream_s = models.FloatField(default=0.0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    charged_tokens = models.PositiveBigIntegerField(
        default=0, help_text="what counts against the token budget: reserved while in flight, then what was used"
    )
    outcome = models.CharField(
        max_length=64, default=IN_FLIGHT, db_index=True, help_text="in_flight, ok, or the code of the error"
    )
    retries = models.PositiveIntegerField(default=0)
    rate_limited_count = models.PositiveIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=8, null=True)

    objects = CallQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Call {self.attempt}.{self.number}"

    def settle(
        self, *, prompt_tokens: int, completion_tokens: int, charged_tokens: int, cost: Decimal | None, **spent: object
    ) -> None:
        """Record an answer; within the transaction that counts it for the node, after that."""
        self._end(
            outcome=self.OK, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens,
            charged_tokens=charged_tokens, cost=cost, **spent,
        )  # fmt: skip

    def fail(self, code: str, **spent: object) -> None:
        """Record that it ended without an answer, and give its reservation back."""
        self._end(outcome=code, charged_tokens=0, **spent)

    def _end(self, **values: object) -> None:
        Call.objects.filter(pk=self.pk).update(**values)
        for name, value in values.items():
            setattr(self, name, value)
