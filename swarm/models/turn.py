"""The conversation of a node with its model, turn by turn."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.timezone import now

from swarm.models.node import Node

_UNREADABLE = ("Error: bad_arguments.", "Error: unknown_tool.")


class TurnQuerySet(models.QuerySet["Turn"]):
    def of_conversation(self, node: Node) -> TurnQuerySet:
        """What a node's conversation consists of, in order, whichever of its attempts took the turns."""
        kept = self.filter(node=node, attempt__gte=node.conversation, is_set_aside=False)
        return kept.order_by("number")


class Turn(models.Model):
    """One chat call with the tool calls it led to, and all that it takes to go on from there.

    Written when the reply is there, before its tools have any effect; `results` and `state` follow once all tools have
    answered. Numbers go on when another attempt goes on with the conversation.
    """

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="turns")
    attempt = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    added = models.JSONField(default=list, help_text="messages put between the turn before and this call")
    request_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the request")
    reply = models.JSONField()
    results = models.JSONField(default=list)
    state = models.JSONField(null=True, help_text="the node's work after the turn; null until all tools have answered")
    is_set_aside = models.BooleanField(default=False, help_text="no longer part of the conversation")
    prompt_tokens = models.PositiveIntegerField()
    completion_tokens = models.PositiveIntegerField()
    queued_s = models.FloatField()
    upstream_s = models.FloatField()
    created_at = models.DateTimeField(default=now)

    objects = TurnQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["node", "attempt", "number"], name="swarm_one_turn_per_number")]

    def __str__(self) -> str:
        return f"Turn {self.attempt}.{self.number}"

    @property
    def is_silent(self) -> bool:
        """Whether the model called no tool."""
        return self.state is not None and not self.results

    @property
    def is_unusable(self) -> bool:
        """Whether no call could be read."""
        return bool(self.results) and all(self._begins(result, _UNREADABLE) for result in self.results)

    @property
    def is_good(self) -> bool:
        """Whether at least one call did what it was to do."""
        return self.state is not None and not all(self._begins(result, "Error") for result in self.results)

    @staticmethod
    def _begins(result: dict[str, Any], beginning: str | tuple[str, ...]) -> bool:
        return str(result["content"]).startswith(beginning)
