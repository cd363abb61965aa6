"""Developers that do exactly what a test says, turn by turn, beside the simulated ones of `tests.main_job`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pygit2

from swarm.models import Turn
from tests.chat.server import Exchange
from tests.factories import wait_until
from tests.main_job import Behaviour, MainJob, call_tools

Call = tuple[str, dict[str, Any]]

TICKS: list[Call] = [("complete_task", {"number": number}) for number in range(1, 6)]
"""Ticks every task of any story in the demo's workspace; a number too many is an answer, no error."""
FINISH: list[Call] = [*TICKS, ("finish", {"summary": "done"})]


def write(path: str, content: str) -> Call:
    return "write_file", {"path": path, "content": content}


def delete(path: str) -> Call:
    return "delete_file", {"path": path}


def script(*turns: Sequence[Call], before: dict[int, Callable[[], object]] | None = None) -> Behaviour:
    """Call the tools of each turn in order; what `before` holds for a turn, by its number from 0, is done first."""

    def behave(exchange: Exchange) -> None:
        number = sum(message["role"] == "assistant" for message in exchange.request.body["messages"])
        (before or {}).get(number, bool)()
        call_tools(exchange, *((name, json.dumps(arguments)) for name, arguments in turns[number]))

    return behave


def answers(story: str) -> list[str]:
    """What the tools answered to the developer of a story, call by call; the last call of `finish` included."""
    turns = Turn.objects.filter(node__story_id=story).order_by("attempt", "number")
    return [str(answer["content"]) for turn in turns for answer in turn.results]


def wait_for_commit(main_job: MainJob) -> None:
    """Return when a story stands on an execution's branch."""
    git = pygit2.Repository(str(main_job.workspace))
    start = git.references["refs/heads/main"].target
    wait_until(
        lambda: any(
            git.references[name].target != start for name in git.references if name.startswith("refs/heads/swarm/")
        )
    )
