"""Read a developer's intentions from a story's Dev Notes.

The simulated developer knows no story by heart: a story says in plain markdown what is to be done, and any story that
says it in this form can be played. Text in any other form is skipped.

    ### Implementation

    In `larder/units.py`, replace

    ```python
    the old lines
    ```

    with

    ```python
    the new lines
    ```

    Create `larder/oven.py`:

    ```python
    the file's whole content
    ```

    Delete `larder/stove.py`.

    ### If the checks fail

    Steps of the same kinds, taken once the checks have failed.

A line that holds only `<!-- simulator: 429 -->` makes the simulator answer the story's second call with HTTP 429.
Pure: knows nothing of requests, tools' results or turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

RATE_LIMIT_MARKER = "<!-- simulator: 429 -->"

_IMPLEMENTATION = "implementation"
_MENDING = "if the checks fail"
_TASKS = ("tasks / subtasks", "tasks")

_HEADING = re.compile(r"(#{1,6})\s+(\S.*)")
_FENCE = re.compile(r"( *)(`{3,}|~{3,})[^`]*")
_STORY_HEADING = re.compile(r"# Story \S")
_TOP_LEVEL_TASK = re.compile(r"[-*] \[([ xX])\]")
_STEP = re.compile(r"(?:[-*] |\d+\. )?(Create `|In `(?=[^`]+`, replace)|Delete `)([^`]+)`")


@dataclass(frozen=True)
class Step:
    """One change of the workspace, as the call of a tool that makes it."""

    tool: str
    arguments: dict[str, Any]

    @property
    def path(self) -> str:
        return str(self.arguments["path"])


@dataclass
class Plan:
    """What a story asks its developer to do."""

    title: str = ""
    open_tasks: list[int] = field(default_factory=list)
    """Numbers of the top-level tasks that are not ticked; the first task is 1."""
    draft: list[Step] = field(default_factory=list)
    mending: list[Step] = field(default_factory=list)
    meets_rate_limit: bool = False


def read_plan(message: str) -> Plan:
    """Read the story that stands somewhere in `message`; an empty plan if there is none."""
    reader = _Reader()
    for kind, text in _blocks(_story_lines(message)):
        if kind == "heading":
            reader.read_heading(text)
        elif kind == "fence":
            reader.read_fence(text)
        else:
            reader.read_line(text)
    return reader.plan


def _story_lines(message: str) -> list[str]:
    """The lines from the story's own heading on: what stands before it may not follow markdown's rules."""
    lines = message.replace("\r\n", "\n").split("\n")
    starts = (number for number, line in enumerate(lines) if _STORY_HEADING.match(line))
    return lines[next(starts, 0) :]


def _blocks(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield ("heading", text), ("fence", content) and ("line", text) in their order."""
    waiting = iter(lines)
    for line in waiting:
        if fence := _FENCE.fullmatch(line):
            yield "fence", "\n".join(_fence_content(waiting, indent=len(fence[1]), mark=fence[2]))
        elif heading := _HEADING.fullmatch(line):
            yield "heading", heading[2].strip()
        else:
            yield "line", line


def _fence_content(lines: Iterator[str], *, indent: int, mark: str) -> Iterator[str]:
    for line in lines:
        closing = line.strip()
        if closing.startswith(mark) and not closing.strip(mark[0]):
            return
        yield line[min(indent, len(line) - len(line.lstrip(" "))) :]


class _Reader:
    """Follows a story block by block: which section it is in, and which step still lacks its text."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._section = ""
        self._tasks = 0
        self._step: list[str] = []
        """Verb and path of the step being read, then the old text of a replacement."""

    def read_heading(self, text: str) -> None:
        self.plan.title = self.plan.title or text
        self._section = text.casefold()
        self._step = []

    def read_line(self, line: str) -> None:
        if line.strip() == RATE_LIMIT_MARKER:
            self.plan.meets_rate_limit = True
        elif self._section in _TASKS and (task := _TOP_LEVEL_TASK.match(line)):
            self._tasks += 1
            if task[1] == " ":
                self.plan.open_tasks.append(self._tasks)
        elif step := _STEP.match(line.strip()):
            self._step = [step[1].rstrip(" `"), step[2]]
            if self._step[0] == "Delete":
                self._take("delete_file", path=step[2])

    def read_fence(self, content: str) -> None:
        match self._step:
            case ["Create", path]:
                self._take("write_file", path=path, content=f"{content}\n")
            case ["In", _]:
                self._step.append(content)
            case ["In", path, old_text]:
                self._take("edit_file", path=path, old_text=old_text, new_text=content)

    def _take(self, tool: str, **arguments: str) -> None:
        self._step = []
        if self._section == _IMPLEMENTATION:
            self.plan.draft.append(Step(tool, arguments))
        elif self._section == _MENDING:
            self.plan.mending.append(Step(tool, arguments))
