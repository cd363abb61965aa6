"""Stories that all sign the same few files, and a developer who signs by reading, changing and writing back.

A ledger's first line counts the entries below it, so that no blind merge of two versions of it can be right, and the
check command, which compares the count with the entries, finds out.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chat.server import Exchange
from tests.main_job import call_tools, story_of
from tests.workspace.repositories import make_repository

STORIES_FOLDER = "stories"
CHECK_COMMAND = "sh check.sh"

_CHECK = """\
awk 'FNR == 1 { entries[FILENAME] = $2; next }
     { found[FILENAME]++ }
     END { for (name in entries) if (entries[name] != found[name] + 0) exit 1 }' ledgers/*.txt
"""
_STORY = """\
# Story {id}: Sign {count} ledgers

Status: ready-for-dev

## Story

As an auditor, I want signatures, so that I know who was here.

## Dev Notes

{steps}
"""
_STEP = re.compile(r"^- (Edit|Rewrite) (\S+)$", re.MULTILINE)


def ledger(number: int) -> str:
    """The path of a ledger, from 0 on."""
    return f"ledgers/{number}.txt"


def signatures(content: str) -> list[str]:
    """The ids of the stories that signed a ledger, last first. Fails if the ledger's own count is another."""
    count, *entries = content.splitlines()
    assert count == f"entries: {len(entries)}"
    return [entry.removeprefix("- ") for entry in entries]


def draw_plans(*, stories: int, ledgers: int, most: int, rng: random.Random) -> dict[str, list[str]]:
    """Which ledgers, up to `most`, each story signs, in what order; by story id."""
    paths = [ledger(number) for number in range(ledgers)]
    return {f"1.{number}": rng.sample(paths, rng.randint(1, most)) for number in range(1, stories + 1)}


def make_ledgers(root: Path, plans: Mapping[str, Sequence[str]], rng: random.Random) -> Path:
    """Make a repository of empty ledgers, with a story for each of `plans` that signs them in that order."""
    files = {path: "entries: 0\n" for paths in plans.values() for path in paths}
    for story, paths in plans.items():
        steps = "\n".join(f"- {rng.choice(('Edit', 'Rewrite'))} {path}" for path in paths)
        name = f"{STORIES_FOLDER}/{story.replace('.', '-')}-sign.md"
        files[name] = _STORY.format(id=story, count=len(paths), steps=steps)
    files["check.sh"] = _CHECK
    make_repository(root, {path: text.encode() for path, text in files.items()})
    return root


def sign(exchange: Exchange) -> None:
    """Answer as a developer who reads each of his ledgers, adds his story to what he read, and finishes.

    What was refused is read again. A pure function of the conversation.
    """
    messages = exchange.request.body["messages"]
    story = story_of(exchange.request.body)
    for way, path in _STEP.findall(messages[1]["content"]):
        last = _last_call(messages, path)
        if last is None or last.result.startswith("Error: "):
            return _call(exchange, "read_file", path=path)
        if last.name == "read_file":
            return _change(exchange, way, path, last.result, story)
    return _call(exchange, "finish", summary=f"Signed for {story}.")


def has_signed_all(exchange: Exchange) -> bool:
    """Whether nothing is left to do but to finish."""
    messages = exchange.request.body["messages"]
    last = [_last_call(messages, path) for _, path in _STEP.findall(messages[1]["content"])]
    return all(it and it.name != "read_file" and not it.result.startswith("Error: ") for it in last)


@dataclass(frozen=True)
class _Call:
    name: str
    result: str


def _last_call(messages: Sequence[dict[str, Any]], path: str) -> _Call | None:
    results = {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    for call in reversed(calls):
        if json.loads(call["function"]["arguments"]).get("path") == path:
            return _Call(call["function"]["name"], results[call["id"]])
    return None


def _change(exchange: Exchange, way: str, path: str, content: str, story: str) -> None:
    first_line, rest = content.split("\n", 1)
    signed = f"entries: {len(signatures(content)) + 1}\n- {story}\n"
    if way == "Edit":
        _call(exchange, "edit_file", path=path, old_text=f"{first_line}\n", new_text=signed)
    else:
        _call(exchange, "write_file", path=path, content=signed + rest)


def _call(exchange: Exchange, name: str, **arguments: str) -> None:
    call_tools(exchange, (name, json.dumps(arguments)))
