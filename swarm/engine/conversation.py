"""A node's conversation with its model, kept turn by turn so that another process can go on with it.

The turns are the conversation: the messages of every call follow from them alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from swarm.chat.gateway import Completion
from swarm.engine.prompt import RULES
from swarm.engine.tools import tool_schemas
from swarm.models import Node, Turn

Message = dict[str, Any]


class Conversation:
    """The turns so far, oldest first, and the messages that wait for the next call."""

    def __init__(self, node: Node, turns: Iterable[Turn] = ()) -> None:
        self._node = node
        self._turns = list(turns)
        self._added: list[Message] = []
        taken = Turn.objects.filter(node=node, attempt__gte=node.conversation).aggregate(last=Max("number"))
        self._last_number = taken["last"] or 0

    @classmethod
    def recorded(cls, node: Node) -> Conversation:
        """The conversation that the node's attempt goes on with, as far as it was recorded."""
        return cls(node, Turn.objects.of_conversation(node))

    @property
    def turns(self) -> Sequence[Turn]:
        return self._turns

    @property
    def next_number(self) -> int:
        """The number that the next turn has. Those of turns set aside are not used again."""
        return self._last_number + 1

    @property
    def unanswered(self) -> Turn | None:
        """The last turn, if some of its tools have not answered."""
        return self._turns[-1] if self._turns and self._turns[-1].state is None else None

    def add(self, *texts: str) -> None:
        """Say something to the model in front of the next call."""
        self._added += [{"role": "user", "content": text} for text in texts]

    def request(self) -> dict[str, Any]:
        """The next chat-completions request."""
        return _request(self._turns, self._added)

    def take(self, completion: Completion) -> None:
        """Record a reply, before it has any effect. Raises `WrongStatus` if the node was taken away meanwhile."""
        reply = completion.reply
        with transaction.atomic():
            self._node.hold()
            turn = Turn.objects.create(
                node=self._node,
                attempt=self._node.attempt,
                number=self.next_number,
                added=self._added,
                request_digest=_digest(self.request()),
                reply=reply.message,
                prompt_tokens=reply.usage.prompt_tokens,
                completion_tokens=reply.usage.completion_tokens,
                queued_s=completion.queued_s,
                upstream_s=completion.upstream_s,
            )
        self._turns.append(turn)
        self._added = []
        self._last_number = turn.number

    def answer(self, turn: Turn, answers: list[Message], state: Mapping[str, object]) -> None:
        """Record what the tools of a turn answered, and the node's work after it."""
        turn.results, turn.state = answers, state
        # A process that was taken for dead must not write into what another goes on with.
        own = Turn.objects.filter(pk=turn.pk, node__attempt=self._node.attempt)
        own.update(results=answers, state=state)

    def count_last(self, is_such: Callable[[Turn], bool]) -> int:
        """How many turns at the end are such, one after another."""
        return sum(1 for _ in takewhile(is_such, reversed(self._turns)))

    def count_since(self, at: datetime) -> int:
        return sum(turn.created_at >= at for turn in self._turns)

    def is_repeatable(self) -> bool:
        """Whether the last recorded call would be the very same if it were made today."""
        *earlier, last = self._turns
        return last.request_digest == _digest(_request(earlier, last.added))


def _request(turns: Sequence[Turn], added: Sequence[Message]) -> dict[str, Any]:
    messages: list[Message] = [{"role": "system", "content": RULES}]
    for turn in turns:
        messages += [*turn.added, turn.reply, *turn.results]
    return {"model": settings.SWARM_CHAT_MODEL, "messages": [*messages, *added], "tools": tool_schemas()}


def _digest(request: dict[str, Any]) -> str:
    """SHA-256 of the request's canonical JSON."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
