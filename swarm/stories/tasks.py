"""A story's tasks: the boxes in its task section, and what stands for them where there are none.

Boxes of a review, a checklist or a definition of done are not tasks. A box indented below another is its subtask; boxes
below a heading `### Task 1: …` are that task's subtasks. Where a section has no box at all (build specs written
unattended), its outermost list items are the tasks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from swarm.stories.boxes import Item, indent_of, read_item
from swarm.stories.criteria import split_spec
from swarm.stories.document import Document
from swarm.stories.parts import Part
from swarm.stories.story import Problem, Subtask, Task

_CRITERIA_MENTION = re.compile(r"[(\[]\s{0,4}ACs?(?![A-Za-z])([^()\[\]]{0,200})[)\]]", re.IGNORECASE)
_CRITERION = re.compile(
    r"([0-9]{1,4}[a-z]?(?:\.[A-Za-z0-9]{1,8}){0,2})(?:\s?[-–]\s?(?:AC)?([0-9]{1,4})(?![.\w]))?", re.IGNORECASE
)
_TASK_HEADING = re.compile(
    r"(?:task|tâche|aufgabe|tarea|tarefa|任务)\s{0,3}[0-9]{1,4}\b|[0-9]{1,4}[.)]\s", re.IGNORECASE
)
_LONGEST_RANGE = 50
_ABOVE_ALL = -2


def read_tasks(document: Document) -> list[Task]:
    """The story's tasks in order, numbered from 1."""
    return [draft.finished(number) for number, draft in enumerate(_drafts(document), start=1)]


def task_lines(document: Document) -> dict[int, list[int]]:
    """For each task's number, the 0-based lines whose boxes tick it: its own box, or a heading task's boxes."""
    return {number: draft.box_lines() for number, draft in enumerate(_drafts(document), start=1)}


def task_problems(tasks: Iterable[Task], criteria_numbers: Iterable[str]) -> Iterator[Problem]:
    """References to criteria that the story does not have."""
    known = set(criteria_numbers)
    if not known:
        return
    for task in tasks:
        mentions = [(task.line, task.acceptance_criteria)]
        mentions += [(subtask.line, subtask.acceptance_criteria) for subtask in task.subtasks]
        for line, numbers in mentions:
            for number in numbers:
                if number.isdigit() and number not in known:
                    yield Problem(line, f"names acceptance criterion {number}, which the story does not have")


def criteria_named_in(text: str) -> tuple[str, ...]:
    """The criteria that a task names in brackets: "(AC: 1, 3)", "(AC: #2)", "[AC1-AC3]", "(AC: 4.AC1)"."""
    numbers: dict[str, None] = {}
    for mention in _CRITERIA_MENTION.finditer(text):
        for first, last in _CRITERION.findall(mention[1]):
            numbers.update(dict.fromkeys(_span(first, last)))
    return tuple(numbers)


def _span(first: str, last: str) -> Iterable[str]:
    if last and first.isdigit() and 0 <= int(last) - int(first) <= _LONGEST_RANGE:
        return [str(number) for number in range(int(first), int(last) + 1)]
    return [first, last] if last else [first]


@dataclass(slots=True)
class _Draft:
    """A task being read. A heading's `indent` is `_ABOVE_ALL`: every item below it is deeper."""

    line: int
    indent: int
    text: list[str]
    mark: Item | None
    subtasks: list[tuple[int, Item]] = field(default_factory=list)
    last_line: int = 0
    takes_text: bool = True

    def box_lines(self) -> list[int]:
        if self.indent < 0:
            return [line for line, _ in self.subtasks]
        return [self.line] if self.mark and self.mark.has_box else []

    def finished(self, number: int) -> Task:
        text = " ".join(self.text)
        subtasks = tuple(
            Subtask(item.text, item.is_ticked, criteria_named_in(item.text), line + 1) for line, item in self.subtasks
        )
        is_heading = self.indent < 0
        ticks = [subtask.done for subtask in subtasks] if is_heading else [bool(self.mark and self.mark.is_ticked)]
        done = bool(ticks) and all(ticks)
        return Task(number, text, done, subtasks, criteria_named_in(text), self.line + 1, self.last_line + 1)


def _drafts(document: Document) -> list[_Draft]:
    lines = sorted(document.lines_of(Part.TASKS) + split_spec(document)[0])
    return _read(document, lines, boxes_only=True) or _read(document, lines, boxes_only=False)


def _read(document: Document, lines: list[int], *, boxes_only: bool) -> list[_Draft]:
    """Walk the task sections. The first item sets where the outermost ones stand; two columns deeper is inside."""
    drafts: list[_Draft] = []
    task: _Draft | None = None
    for line in lines:
        text = document.text_at(line)
        heading = document.section_at(line)
        if heading is not None:
            task = _heading_task(line, heading.title) if heading.part is None else None
            drafts += [task] if task else []
            continue
        item = read_item(text)
        if item is None or (boxes_only and not item.has_box):
            task = _goes_on(task, line, text, item)
        elif task is not None and item.indent >= task.indent + 2:
            task.takes_text = False
            task.last_line = line
            if item.has_box:
                task.subtasks.append((line, item))
        else:
            # Items that creep to the right one column at a time stay siblings of the first.
            indent = item.indent if task is None else min(item.indent, task.indent)
            task = _Draft(line, indent, [item.text], item, last_line=line)
            drafts.append(task)
    return [draft for draft in drafts if draft.indent >= 0 or draft.subtasks or not boxes_only]


def _heading_task(line: int, title: str) -> _Draft | None:
    if not _TASK_HEADING.match(title.lstrip("*_ ")):
        return None
    return _Draft(line, _ABOVE_ALL, [title.strip("* ")], None, last_line=line, takes_text=False)


def _goes_on(task: _Draft | None, line: int, text: str, item: Item | None) -> _Draft | None:
    """What stands below a task belongs to it, wrapped lines to its text. Only a plain item beside it ends it."""
    if task is None:
        return None
    if item is not None and item.indent < task.indent + 2:
        return None
    if item is None and task.takes_text and indent_of(text) > task.indent and text.strip():
        task.text.append(text.strip())
    else:
        task.takes_text = False
    if text.strip():
        task.last_line = line
    return task
