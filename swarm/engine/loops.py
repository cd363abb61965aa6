"""Notices a developer that goes round in circles: the same call with the same answer, again and again. Pure.

Calls may repeat where something changed in between: a change that was not made before makes the earlier reads and
checks worth asking again. All is computed from the recorded turns, so an attempt that is resumed is judged the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from swarm.engine.errors import Looping

TOLD_AT = 3
STOPPED_AT = 6

CHANGING = frozenset({"write_file", "edit_file", "delete_file", "complete_task"})
"""Tools whose success is progress."""
WAITED_FOR = "Error: path_held."
"""The answer about a path that another node holds; it changes by itself."""


class Exchange(NamedTuple):
    """One call of a tool, its arguments as they came, and its answer."""

    tool: str
    arguments: str
    answer: str

    @property
    def is_change(self) -> bool:
        return self.tool in CHANGING and not self.answer.startswith("Error:")


def exchanges_of(reply: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[Exchange]:
    """The calls of a turn: the assistant's message and the tools' answers, both in OpenAI's form."""
    calls = [call["function"] for call in reply.get("tool_calls") or []]
    return [
        Exchange(str(call["name"]), str(call["arguments"]), str(result["content"]))
        for call, result in zip(calls, results, strict=False)
    ]


def warn_of_loop(turns: Iterable[Sequence[Exchange]]) -> str:
    """What the developer should be told of a repetition in the last of an attempt's `turns`; mostly nothing.

    Raises `Looping` when a call came for the `STOPPED_AT`th time.
    """
    changes: Counter[Exchange] = Counter()
    others: Counter[Exchange] = Counter()
    worst = 0, ""
    for turn in turns:
        worst = 0, ""
        for exchange in turn:
            if exchange.answer.startswith(WAITED_FOR):
                continue
            counts = changes if exchange.is_change else others
            counts[exchange] += 1
            if exchange.is_change and counts[exchange] == 1:
                others.clear()
            worst = max(worst, (counts[exchange], exchange.tool))
    count, tool = worst
    if count < TOLD_AT:
        return ""
    repeated = f"{tool} was called {count} times with the same arguments and the same answer."
    if count >= STOPPED_AT:
        raise Looping(f"{repeated} Split the story, or try a stronger model.")
    return f"{repeated} Do something else: at {STOPPED_AT} times this attempt is stopped."
