"""A story as values: what the method's files say, whatever form they are written in.

Knows nothing of files, markdown or where a story came from; the reader fills these in, everybody else reads them.
Line numbers are 1-based, as an editor shows them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class StoryStatus(StrEnum):
    """Where a story stands. The values are the method's own words.

    `DRAFT` waits for somebody's approval. `BLOCKED` stands still until a person acts. `UNKNOWN` is a word (or the
    absence of one) that the reader does not know; such a story is never started unless asked for by name.
    """

    BACKLOG = "backlog"
    DRAFT = "draft"
    READY = "ready-for-dev"
    IN_PROGRESS = "in-progress"
    REVIEW = "review"
    DONE = "done"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int | None:
        """How far along, for comparing; None for `UNKNOWN`, which is neither before nor after anything."""
        return _RANKS.get(self)


_RANKS = {
    StoryStatus.BACKLOG: 0,
    StoryStatus.DRAFT: 1,
    StoryStatus.READY: 2,
    StoryStatus.BLOCKED: 2,
    StoryStatus.IN_PROGRESS: 3,
    StoryStatus.REVIEW: 4,
    StoryStatus.DONE: 5,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a file that could not be read, or reads wrong. `line` is None where the whole file is meant."""

    line: int | None
    text: str

    def __str__(self) -> str:
        return self.text if self.line is None else f"line {self.line}: {self.text}"


@dataclass(frozen=True, slots=True)
class Step:
    """One Given, When, Then, And or But of a criterion; `keyword` is capitalised."""

    keyword: str
    text: str


@dataclass(frozen=True, slots=True)
class AcceptanceCriterion:
    """One criterion. `number` is how tasks refer to it ("1"), `text` all its lines, from `line` to `last_line`."""

    number: str
    text: str
    steps: tuple[Step, ...]
    line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Subtask:
    """A box below a task, however deep."""

    text: str
    done: bool
    acceptance_criteria: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Task:
    """A top-level task. `number` counts the story's tasks from 1 and is what `complete_task` takes.

    `acceptance_criteria` are the numbers of the criteria it names, as written. A task that is a heading has no box of
    its own: it is done when all its subtasks are.
    """

    number: int
    text: str
    done: bool
    subtasks: tuple[Subtask, ...]
    acceptance_criteria: tuple[str, ...]
    line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Dependency:
    """Another story that the text says must come first: a suggestion for a person to confirm."""

    story_id: str
    line: int


@dataclass(frozen=True, slots=True)
class Story:
    """One story. `path` is relative to the workspace; `text` is the file as it is, for the developer to read."""

    id: str
    title: str
    path: str
    status: StoryStatus
    status_as_written: str
    epic: str
    sentence: str
    acceptance_criteria: tuple[AcceptanceCriterion, ...]
    tasks: tuple[Task, ...]
    dev_notes: str
    footprint: tuple[str, ...]
    verification_commands: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    problems: tuple[Problem, ...]
    text: str

    @property
    def tasks_done(self) -> int:
        return sum(task.done for task in self.tasks)

    @property
    def tasks_total(self) -> int:
        return len(self.tasks)

    @property
    def is_ready(self) -> bool:
        """Whether the method lets a developer start it without being asked for by name."""
        return self.status is StoryStatus.READY

    @property
    def has_own_file(self) -> bool:
        """False for a story that only an entry of `stories.yaml` announces: there is no file to tick or update."""
        return self.path.endswith(".md")


_NUMBER = re.compile(r"([0-9]{1,9})(.*)", re.DOTALL)


def story_order(story_id: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key: epic, then number, as people count: 1.2 before 1.10, 6a after 6, names after numbers."""
    parts = []
    for part in story_id.split("."):
        match = _NUMBER.fullmatch(part)
        parts.append((0, int(match[1]), match[2]) if match else (1, 0, part))
    return tuple(parts)
