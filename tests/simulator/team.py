"""What the simulator's tests share: stories, conversations, and tools that work on a plain directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarm.simulator.developer import Reply, reply_to

TOOLS = (
    "list_files",
    "read_file",
    "search",
    "write_file",
    "edit_file",
    "delete_file",
    "run_checks",
    "complete_task",
    "finish",
)

IMPLEMENTATION = """\
### Implementation

In `src/a.py`, replace

```python
one = 1
```

with

```python
one = 2
```

Create `src/b.py`:

```python
two = 2
```
"""

MENDED = """\
### If the checks fail

In `src/a.py`, replace

```python
one = 2
```

with

```python
one = 3
```
"""

Tools = Callable[[str, dict[str, Any]], str]


def story(notes: str = IMPLEMENTATION, *, tasks: str = "- [ ] First\n- [ ] Second\n") -> str:
    return (
        "# Story 1.1: Count further\n\nStatus: ready-for-dev\n\n"
        f"## Tasks / Subtasks\n\n{tasks}\n## Dev Notes\n\n{notes}\n## Dev Agent Record\n\n### File List\n"
    )


def request_for(text: str, tools: tuple[str, ...] = TOOLS) -> dict[str, Any]:
    """The first request for a story, with words around the story as an engine may put them."""
    content = f"Your story is 1-1.md:\n\n<story>\n{text}\n</story>\n\nThe workspace holds 1 file:\n\nsrc/a.py"
    return {
        "model": "simulator",
        "messages": [{"role": "system", "content": "Rules."}, {"role": "user", "content": content}],
        "tools": [{"type": "function", "function": {"name": name}} for name in tools],
    }


class Conversation:
    """A chat between the developer and some tools."""

    def __init__(self, text: str, tools: tuple[str, ...] = TOOLS) -> None:
        self.request = request_for(text, tools)
        self.said = ""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.results: list[str] = []

    def turn(self, tools: Tools) -> list[str]:
        """Let the developer speak once and the tools answer; return what was called, as "tool path"."""
        reply = reply_to(self.request, retry_count=1)
        assert isinstance(reply, Reply)
        self.said = reply.text
        self.calls = [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]
        self.results = [tools(name, arguments) for name, arguments in self.calls]
        self.request["messages"] += [
            {
                "role": "assistant",
                "content": reply.text,
                "tool_calls": [
                    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                    for call in reply.tool_calls
                ],
            },
            *(
                {"role": "tool", "tool_call_id": call.id, "content": result}
                for call, result in zip(reply.tool_calls, self.results, strict=True)
            ),
        ]
        return [f"{name} {arguments.get('path', '')}".strip() for name, arguments in self.calls]


def answering(**answers: str) -> Tools:
    """Tools that answer as told by name, and "Done." otherwise."""
    return lambda name, _: answers.get(name, "Done.")


def run_check(directory: Path, story_id: str) -> subprocess.CompletedProcess[str]:
    """Run a workspace's own check for one story."""
    return subprocess.run(
        [sys.executable, "check.py"],
        cwd=directory,
        env={**os.environ, "SWARM_STORY": story_id},
        capture_output=True,
        text=True,
        check=False,
    )


def play(directory: Path, key: str) -> list[list[str]]:
    """Let the developer do the story named `key` in a directory; return what it called, turn by turn."""
    text = (directory / f"_bmad-output/implementation-artifacts/{key}.md").read_text("utf-8")
    conversation = Conversation(text)
    turns = []
    while not any(turn[0].startswith("finish") for turn in turns) or conversation.results[0].startswith("Error"):
        turns.append(conversation.turn(_tools_for(directory, story_id_of(key))))
        assert turns[-1], conversation.said
    return turns


def story_id_of(key: str) -> str:
    return ".".join(key.split("-")[:2])


def _tools_for(directory: Path, story_id: str) -> Tools:
    def carry_out(name: str, arguments: dict[str, Any]) -> str:
        target = directory / arguments.get("path", "")
        if name == "read_file":
            return target.read_text("utf-8")
        if name == "write_file":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(arguments["content"], "utf-8")
        if name == "edit_file":
            text = target.read_text("utf-8")
            if text.count(arguments["old_text"]) != 1:
                return f"Error: edit_not_unique. It occurs {text.count(arguments['old_text'])} times."
            target.write_text(text.replace(arguments["old_text"], arguments["new_text"]), "utf-8")
        if name in ("run_checks", "finish"):
            checked = run_check(directory, story_id)
            if checked.returncode:
                return f"Error: checks_failed. {checked.stdout}"
        return "Done."

    return carry_out
