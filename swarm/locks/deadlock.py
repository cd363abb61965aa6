"""Finds circles in the wait-for graph. Pure: nodes are any hashable names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def find_deadlock(waits_for: Mapping[Name, Set[Name]], start: Name) -> list[Name]:
    """Return the circle that `start` closes in the wait-for graph, from `start` on, or [].

    Depth-first search; Gray & Reuter, "Transaction Processing", 7.11.
    """
    path = [start]
    branches = [iter(waits_for.get(start, ()))]
    seen = {start}
    while branches:
        following = next(branches[-1], None)
        if following is None:
            branches.pop()
            path.pop()
        elif following == start:
            return path
        elif following not in seen:
            seen.add(following)
            path.append(following)
            branches.append(iter(waits_for.get(following, ())))
    return []
