"""What claims are to do, said as simply as possible: a dictionary of holders and a list for each line, no database.

Circles of waiting nodes are not broken here: which node gives way is the real code's choice, and the machine that
compares the two takes it over, once it has seen that there was a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

PERSON = "a person"


@dataclass
class Wish:
    """What a node waits for: paths still missing, those handed over that it has not looked at, those it had before."""

    missing: set[str]
    unseen: set[str] = field(default_factory=set)
    brought: set[str] = field(default_factory=set)


@dataclass
class Model:
    """Holders with the ends of their leases, lines, wishes, those of nodes that are to give way, and how often each
    path was granted; nodes and people are names.
    """

    ttl_s: float
    holders: dict[str, tuple[str, float]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)
    victims: dict[str, Wish] = field(default_factory=dict)
    grants: Counter[str] = field(default_factory=Counter)

    def holder(self, path: str, at: float) -> str | None:
        """Who holds the path; None once the lease has run out."""
        name, until = self.holders.get(path, (None, 0.0))
        return name if until > at else None

    def line(self, path: str) -> list[str]:
        return self.lines.setdefault(path, [])

    def ask(self, node: str, paths: Iterable[str], at: float, *, waits: bool) -> bool:
        """Whether all is granted at once; else the node stands in line, or nothing has changed if it does not wait."""
        for path in paths:
            if self.holder(path, at) is None and self.line(path):
                self.hand_over(path, at)
        held = {path for path in paths if self.holder(path, at) not in {None, node}}
        if held and not waits:
            return False
        brought = {path for path in paths if self.holder(path, at) is None}
        for path in brought:
            self.grant(path, node, at)
        for path in held:
            self.line(path).append(node)
        if held:
            self.wishes[node] = Wish(missing=set(held), brought=brought)
        return not held

    def hand_over(self, path: str, at: float) -> None:
        """Give the path to the first in line, or free it."""
        self.holders.pop(path, None)
        if self.line(path):
            node = self.line(path).pop(0)
            self.wishes[node].missing.discard(path)
            self.wishes[node].unseen.add(path)
            self.grant(path, node, at)

    def grant(self, path: str, name: str, at: float) -> None:
        self.holders[path] = (name, at + self.ttl_s)
        self.grants[path] += 1

    def look(self, node: str, at: float) -> str:
        """What the node finds: `granted`, `waiting` or `lost`."""
        wish = self.wishes[node]
        if not wish.unseen:
            for path in sorted(wish.missing):
                if self.holder(path, at) is None:
                    self.hand_over(path, at)
            return "waiting"
        if any(self.holder(path, at) != node for path in wish.unseen):
            self.give_up(node, at)
            return "lost"
        wish.brought |= wish.unseen
        wish.unseen.clear()
        if wish.missing:
            return "waiting"
        del self.wishes[node]
        return "granted"

    def give_up(self, node: str, at: float) -> None:
        """End a wait without all of what was wished for: nothing that it brought is kept."""
        wish = self.wishes.pop(node, None) or self.victims.pop(node)
        self._leave_lines(node)
        for path in wish.brought | wish.unseen:
            self._release(path, node, at)

    def end(self, node: str, at: float) -> None:
        """End a node: it keeps nothing."""
        self.wishes.pop(node, None)
        self.victims.pop(node, None)
        self._leave_lines(node)
        for path in list(self.holders):
            self._release(path, node, at)

    def give_way(self, node: str) -> None:
        """End the wait of a node in a circle; what it brought stays until the node looks."""
        self.victims[node] = self.wishes.pop(node)
        self._leave_lines(node)

    def renew(self, node: str, at: float) -> None:
        for path, (name, until) in self.holders.items():
            if name == node and until > at:
                self.holders[path] = (node, at + self.ttl_s)

    def in_circles(self) -> set[str]:
        """The nodes that wait, over however many others, for themselves."""
        waits_for = {
            node: {self.holders[path][0] for path in wish.missing if path in self.holders}
            for node, wish in self.wishes.items()
        }
        found = set()
        for start in waits_for:
            reached, new = set(), {start}
            while new:
                new = set().union(*(waits_for.get(node, set()) for node in new)) - reached
                reached |= new
            if start in reached:
                found.add(start)
        return found

    def _leave_lines(self, node: str) -> None:
        for line in self.lines.values():
            if node in line:
                line.remove(node)

    def _release(self, path: str, node: str, at: float) -> None:
        if self.holders.get(path, ("", 0.0))[0] == node:
            self.hand_over(path, at)
