"""The line in front of the model: fair between executions, first come first served within one. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(eq=False)
class Ticket:
    """One call's place in the line, and after its grant its slot.

    `tokens` is its estimate. The rest is the limiter's book-keeping: `number` counts grants from 1, `level` is how
    many calls were in flight including it, `tokens_granted` the sum of all estimates up to and including its own,
    `was_limiting` whether the request budget was used up with it.
    """

    execution: str
    node: str
    is_finishing: bool
    tokens: int
    queued_at: float
    sent_at: float = 0.0
    number: int = 0
    level: int = 0
    tokens_granted: int = 0
    was_limiting: bool = False

    @property
    def is_granted(self) -> bool:
        return self.number > 0


class FairQueue:
    """Round-robin over executions. A node about to finish overtakes, but never twice in a row, so nobody starves."""

    def __init__(self) -> None:
        self._regular: dict[str, deque[Ticket]] = {}
        self._finishing: dict[str, deque[Ticket]] = {}
        self._has_overtaken = False

    def __len__(self) -> int:
        return sum(len(lane) for lanes in (self._regular, self._finishing) for lane in lanes.values())

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
        self._has_overtaken = ticket.is_finishing and bool(self._regular)
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

    def _lanes_of(self, ticket: Ticket) -> dict[str, deque[Ticket]]:
        return self._finishing if ticket.is_finishing else self._regular

    def _in_turn(self) -> tuple[dict[str, deque[Ticket]], dict[str, deque[Ticket]]]:
        if self._has_overtaken:
            return self._regular, self._finishing
        return self._finishing, self._regular
