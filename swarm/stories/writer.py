"""Changes what the method lets a developer change in a story file: Status, task boxes, Dev Agent Record, Change Log.

Takes the file's bytes and gives its new bytes. Works by line and column: every byte that is not meant stays, line ends,
byte order mark and broken characters included. Text that comes from a model is put in as single list lines, so that
nothing in it can read as a heading, a status or a task.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from swarm.stories.boxes import read_item, ticked
from swarm.stories.document import Document, Section
from swarm.stories.errors import StatusNotWritable, UnknownTask
from swarm.stories.parts import Part, split_label
from swarm.stories.statuses import StatusPlace, find_status, writable_status
from swarm.stories.story import StoryStatus
from swarm.stories.tasks import read_tasks, task_lines

_CAPITALISED = {
    StoryStatus.BACKLOG: "Backlog",
    StoryStatus.DRAFT: "Draft",
    StoryStatus.READY: "Approved",
    StoryStatus.IN_PROGRESS: "InProgress",
    StoryStatus.REVIEW: "Review",
    StoryStatus.DONE: "Done",
    StoryStatus.BLOCKED: "Blocked",
}
_PLACEHOLDER = re.compile(
    r"(?:[-*]\s)?(?:`?\{\{[^{}]{0,200}\}\}`?|`?<[^<>]{1,80}>`?|[_*]{0,2}(?:TBD|TODO|N/A)[_*]{0,2}|[-*]|"
    r"[_*(]{1,2}(?:To be|Will be|Pending|TBD)\b[^_*()]{0,100}[_*)]{1,2})"
)
# What could make a line of its own more than text.
_MARKUP = "#<>`~|*+-_= "


@dataclass(frozen=True, slots=True)
class Change:
    """A line for the Change Log."""

    date: datetime.date
    description: str
    author: str


@dataclass(slots=True)
class _Edits:
    """Changes to a document's lines, gathered first and applied together, so that positions stay as they were read."""

    document: Document
    replaced: dict[int, str] = field(default_factory=dict)
    inserted: dict[int, list[str]] = field(default_factory=dict)

    def replace(self, line: int, start: int, end: int, text: str) -> None:
        """Put `text` in place of the columns `start` to `end` of a line."""
        old = self.document.lines[line]
        self.replaced[line] = old[:start] + text + old[end:]

    def insert(self, before: int, texts: Iterable[str]) -> None:
        """Put whole lines, given without their ends, before a line; `len(lines)` is the end of the file."""
        self.inserted.setdefault(before, []).extend(texts)

    def insert_below_heading(self, heading: int, texts: Sequence[str]) -> None:
        """Put lines below a heading, set off by a blank line on both sides."""
        below = heading + 1
        is_set_off = below == len(self.document.lines) or _is_blank(self.document, below)
        self.insert(below, ["", *texts] if is_set_off else ["", *texts, ""])

    def result(self) -> bytes:
        line_end = self.document.line_end
        pieces: list[str] = []
        for number, line in enumerate(self.document.lines):
            pieces += [text + line_end for text in self.inserted.get(number, ())]
            pieces.append(self.replaced.get(number, line))
        added = self.inserted.get(len(self.document.lines), [])
        if added and pieces and not pieces[-1].endswith(("\n", "\r")):
            pieces.append(line_end + line_end.join(added))  # the file had no final line end; it gets none
        else:
            pieces += [text + line_end for text in added]
        return "".join(pieces).encode("utf-8", errors="surrogateescape")


def set_status(data: bytes, status: str) -> bytes:
    """Write a status in the words and at the place the file uses; the same bytes if it says so already.

    A file without a status gets a line `Status: …` below its title.

    Raises `StatusNotWritable` for a word that is no status, and for a file with neither status nor title.
    """
    wanted = writable_status(status)
    document = _open(data)
    place = find_status(document)
    if place is None:
        return _with_new_status(document, wanted)
    if place.status is wanted:
        return data
    edits = _Edits(document)
    word = _spelling(document, place, wanted)
    if place.written:
        edits.replace(place.line, place.start, place.end, word)
    elif document.section_at(place.line) is not None:
        edits.insert_below_heading(place.line, [word])
    else:
        gap = "" if document.bare[place.line][place.start - 1].isspace() else " "
        edits.replace(place.line, place.start, place.end, gap + word)
    return edits.result()


def tick_task(data: bytes, number: int) -> bytes:
    """Tick the box of the story's task `number`, counted from 1: one character changes, none if it was ticked.

    A task that is a heading has no box of its own: its subtasks' boxes are ticked. A task that is a plain list item has
    no box at all, and the file stays as it is.

    Raises `UnknownTask` if the story has no such task.
    """
    document = _open(data)
    boxes = task_lines(document)
    _demand_task(number, len(boxes))
    return _ticked(document, boxes[number])


def tick_subtasks(data: bytes, number: int) -> bytes:
    """Tick the boxes below the story's task `number`, for the method wants every box ticked at the end.

    Raises `UnknownTask` if the story has no such task.
    """
    document = _open(data)
    tasks = read_tasks(document)
    _demand_task(number, len(tasks))
    return _ticked(document, [subtask.line - 1 for subtask in tasks[number - 1].subtasks])


def record_completion(
    data: bytes, *, model: str, notes: str, files: Sequence[str], change: Change | None = None
) -> bytes:
    """Fill the Dev Agent Record: the model's name, `notes` as list lines, and the files that are not listed yet.

    What a section holds already stays, but for a template's placeholder. Missing sections are made at the end, before
    the QA results. `change` goes into the Change Log if the file has one, as a table row where that is a table.
    """
    document = _open(data)
    edits = _Edits(document)
    record = document.find(Part.RECORD)
    level = "#" * ((record.level if record else 2) + 1)
    missing: list[str] = []
    for part, title, lines in (
        (Part.AGENT_MODEL, "Agent Model Used", [_one_line(model).lstrip(_MARKUP)]),
        (Part.COMPLETION_NOTES, "Completion Notes List", _as_list(notes.splitlines())),
        (Part.FILE_LIST, "File List", _new_files(document, files)),
    ):
        section = document.find(part)
        if section is None:
            missing += ["", f"{level} {title}", "", *lines]
        elif lines:
            _fill(edits, section, lines)
    log = document.find(Part.CHANGE_LOG)
    if change is not None and log is not None:
        _log(edits, log, change)
    if missing:
        _add_sections(edits, record, missing)
    return edits.result()


def _demand_task(number: int, count: int) -> None:
    if not count:
        raise UnknownTask("The story has no tasks that could be ticked.")
    if not 1 <= number <= count:
        raise UnknownTask(f"The story has no task {number}; its tasks are numbered 1 to {count}.")


def _ticked(document: Document, lines: Iterable[int]) -> bytes:
    edits = _Edits(document)
    for line in lines:
        item = read_item(document.bare[line])
        if item is not None and not item.is_ticked:
            edits.replaced[line] = ticked(document.lines[line], item)
    return edits.result()


def _open(data: bytes) -> Document:
    return Document(data.decode("utf-8", errors="surrogateescape"))


def _spelling(document: Document, place: StatusPlace, status: StoryStatus) -> str:
    """The word for a status in the file's own form: a build spec says in-review; earlier forms have capitals."""
    letters = [character for character in place.written if character.isalpha()]
    on_heading = not place.written and document.section_at(place.line) is not None
    if on_heading or (letters and letters[0].isupper()):
        return _CAPITALISED[status]
    is_spec = document.find(Part.INTENT, Part.TASKS_AND_ACCEPTANCE) is not None
    if place.in_front_matter and is_spec and status is StoryStatus.REVIEW:
        return "in-review"
    return status.value


def _with_new_status(document: Document, status: StoryStatus) -> bytes:
    edits = _Edits(document)
    if document.front_matter and document.find(Part.INTENT, Part.TASKS_AND_ACCEPTANCE) is not None:
        word = "in-review" if status is StoryStatus.REVIEW else status.value
        edits.insert(document.front_matter.stop - 1, [f"status: {word}"])
    elif document.title is not None:
        edits.insert_below_heading(document.title.line, [f"Status: {status.value}"])
    else:
        raise StatusNotWritable("The story has neither a status nor a title; add a line “Status: ready-for-dev” to it.")
    return edits.result()


def _is_blank(document: Document, line: int) -> bool:
    return line < len(document.lines) and not document.bare[line].strip()


def _one_line(text: str) -> str:
    """Text from outside on one line, without what UTF-8 or a database cannot hold or what would end a comment."""
    text = text.replace("\0", "").replace("-->", "--&gt;")
    return " ".join(text.encode("utf-8", errors="replace").decode("utf-8").split())


def _as_list(lines: Iterable[str]) -> list[str]:
    texts = (_one_line(line) for line in lines)
    return [text if text.startswith(("- ", "* ")) else f"- {text}" for text in texts if text]


def _new_files(document: Document, files: Sequence[str]) -> list[str]:
    """List lines for the files that the File List does not name yet, dressed as those it has."""
    body = [document.text_at(line) for line in document.lines_of(Part.FILE_LIST)]
    listed = {word.strip("`*,;:") for text in body for word in text.split()}
    quote = "`" if any(text.lstrip().startswith(("- `", "* `")) for text in body) else ""
    return [f"- {quote}{name}{quote}" for name in map(_one_line, files) if name and name not in listed]


def _fill(edits: _Edits, section: Section, lines: list[str]) -> None:
    """Add lines to a section: in place of a template's placeholder, on its heading, or behind its text."""
    document = edits.document
    body = range(section.start, section.own_end)
    full = [line for line in body if document.bare[line].strip()]
    if full and all(_PLACEHOLDER.fullmatch(document.bare[line].strip()) for line in full):
        first, *rest = full
        edits.replace(first, 0, len(document.bare[first]), document.line_end.join(lines))
        for line in rest:
            edits.replaced[line] = ""
    elif _awaits_value(section.title) and not full:
        label, _ = split_label(document.bare[section.line])
        edits.replace(section.line, 0, len(document.bare[section.line]), f"{label}: {' '.join(lines)}")
    elif full:
        last = full[-1]
        joins = read_item(document.bare[last]) is not None and read_item(lines[0]) is not None
        edits.insert(last + 1, lines if joins else ["", *lines])
    else:
        edits.insert_below_heading(section.line, lines)


def _awaits_value(title: str) -> bool:
    """Whether a heading is written `Agent Model Used: …` with nothing, or a placeholder, behind its colon."""
    label, value = split_label(title)
    return label != title.strip() and (not value or _PLACEHOLDER.fullmatch(value) is not None)


def _add_sections(edits: _Edits, record: Section | None, missing: list[str]) -> None:
    """Add subsections at the end of the Dev Agent Record, or the whole of it before the reviews or at the end."""
    document = edits.document
    if record is None:
        missing = ["", "## Dev Agent Record", *missing]
        reviews = (s.line for s in document.sections if s.part is Part.REVIEW and s.level <= 2)
        before = next(reviews, len(document.lines))
    else:
        before = record.end
    behind = before
    while before > 0 and _is_blank(document, before - 1):
        before -= 1
    edits.insert(before, missing if before < behind or behind == len(document.lines) else [*missing, ""])


def _log(edits: _Edits, log: Section, change: Change) -> None:
    document = edits.document
    rows = [line for line in range(log.start, log.own_end) if document.text_at(line).lstrip().startswith("|")]
    description, author = _one_line(change.description), _one_line(change.author)
    if rows:
        columns = document.bare[rows[0]].strip().strip("|").split("|")
        cells = [_cell(column, change.date, description, author) for column in columns]
        edits.insert(rows[-1] + 1, [f"| {' | '.join(cells)} |"])
    else:
        _fill(edits, log, [f"- {change.date.isoformat()}: {description} ({author})"])


def _cell(column: str, date: datetime.date, description: str, author: str) -> str:
    name = column.strip(" *").casefold()
    if "date" in name:
        return date.isoformat()
    if name in ("author", "by", "who", "agent"):
        return author.replace("|", "\\|")
    return description.replace("|", "\\|") if name in ("description", "change", "changes", "notes", "summary") else ""
