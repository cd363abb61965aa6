"""The line in front of the model: fair between executions, first come first served within one. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Demand:
    """Who wants to call, with about how many tokens. `was_refused`: it had its turn and was sent back by upstream."""

    execution: str
    node: str
    is_finishing: bool
    tokens: int
    was_refused: bool = False

    def ticket(self, key: str) -> Ticket:
        """A new place in the line."""
        return Ticket(key, self.execution, self.node, self.is_finishing, max(1, self.tokens))


@dataclass(eq=False)
class Ticket:
    """One call's place in the line, and after its grant its slot.

    `key` is unique among all who share the limiter and begins with its process's name and a slash. The rest is the
    limiter's book-keeping: `number` counts grants from 1, `level` is how many calls were in flight including it,
    `tokens_granted` the sum of all estimates up to and including its own.
    """

    key: str
    execution: str
    node: str
    is_finishing: bool
    tokens: int
    queued_at: float = 0.0
    sent_at: float = 0.0
    number: int = 0
    level: int = 0
    tokens_granted: int = 0

    @property
    def owner(self) -> str:
        """The process that it belongs to."""
        return self.key.rpartition("/")[0]


Lanes = dict[str, deque[Ticket]]


@dataclass
class FairQueue:
    """Round-robin over executions. A node about to finish overtakes, but never twice in a row, so nobody starves."""

    regular: Lanes = field(default_factory=dict)
    finishing: Lanes = field(default_factory=dict)
    has_overtaken: bool = False

    @classmethod
    def load(cls, saved: dict[str, Any]) -> FairQueue:
        """The inverse of `save`."""
        regular, finishing = (
            {execution: deque(Ticket(**ticket) for ticket in lane) for execution, lane in saved[name].items()}
            for name in ("regular", "finishing")
        )
        return cls(regular, finishing, saved["has_overtaken"])

    def save(self) -> dict[str, Any]:
        """All of it, ready for JSON, which keeps the order of the lanes."""
        return {
            "regular": {execution: [vars(ticket) for ticket in lane] for execution, lane in self.regular.items()},
            "finishing": {execution: [vars(ticket) for ticket in lane] for execution, lane in self.finishing.items()},
            "has_overtaken": self.has_overtaken,
        }

    def __iter__(self) -> Iterator[Ticket]:
        """Everybody who waits, the head first; within a class lane by lane."""
        for lanes in self._in_turn():
            for lane in lanes.values():
                yield from lane

    def push(self, ticket: Ticket, *, at_front: bool = False) -> None:
        """Let `ticket` wait; `at_front` of its own execution's lane if it had been granted and refused before."""
        lane = self._lanes_of(ticket).setdefault(ticket.execution, deque())
        if at_front:
            lane.appendleft(ticket)
        else:
            lane.append(ticket)

    def head(self) -> Ticket | None:
        return next(iter(self), None)

    def pop(self) -> Ticket:
        """Take the head out; its execution goes to the end of the round. Raises IndexError when nobody waits."""
        ticket = self.head()
        if ticket is None:
            raise IndexError("nobody waits")
        lanes = self._lanes_of(ticket)
        self.has_overtaken = ticket.is_finishing and bool(self.regular)
        lane = lanes.pop(ticket.execution)
        lane.popleft()
        if lane:
            lanes[ticket.execution] = lane
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """Take out somebody who gave up. Raises KeyError or ValueError if it does not wait."""
        lanes = self._lanes_of(ticket)
        lane = lanes[ticket.execution]
        lane.remove(ticket)
        if not lane:
            del lanes[ticket.execution]

    def _lanes_of(self, ticket: Ticket) -> Lanes:
        return self.finishing if ticket.is_finishing else self.regular

    def _in_turn(self) -> tuple[Lanes, Lanes]:
        return (self.regular, self.finishing) if self.has_overtaken else (self.finishing, self.regular)
