"""Reads a story file, whatever form of the method it is written in, into a `Story`.

Pure: takes bytes, gives a value, and raises on no input. What it cannot read becomes a `Problem` with its line; what it
does not understand it leaves alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from swarm.stories.criteria import read_criteria
from swarm.stories.dependencies import read_dependencies
from swarm.stories.document import Document, Section
from swarm.stories.footprint import predict_files, read_commands
from swarm.stories.identity import identify, is_story
from swarm.stories.parts import Part, split_label
from swarm.stories.statuses import StatusPlace, find_status, other_statuses
from swarm.stories.story import AcceptanceCriterion, Problem, Story, StoryStatus, Task
from swarm.stories.tasks import read_tasks, task_problems

MAX_STORY_BYTES = 256 * 1024
"""What is read of one file; a story a hundred times the usual size is not one."""

_LABEL_LINE = re.compile(r"\*\*[^*]{1,60}:\*\*|\*\*[^*]{1,60}\*\*:")


def read_story(data: bytes, path: str, *, on_board: bool = False) -> Story | None:
    """Read the file at `path` (relative to the workspace); None if it is no story but a companion of one.

    `on_board` says that the board has the file's name as a key: then it is a story however it looks. Of a file above
    `MAX_STORY_BYTES` only so much is read, and its status is unknown, so that nobody starts on half a story.
    """
    text = data[:MAX_STORY_BYTES].decode("utf-8", errors="replace")
    document = Document(text.replace("\0", "\ufffd"))
    place = find_status(document)
    if not is_story(document, path, place, on_board=on_board):
        return None
    identity = identify(document, path, _front_matter_title(document))
    criteria, tasks = read_criteria(document), read_tasks(document)
    is_whole = len(data) <= MAX_STORY_BYTES
    problems = [
        *_byte_problems(data),
        *document.problems,
        *identity.problems,
        *_status_problems(document, place),
        *_work_problems(document, criteria, tasks),
    ]
    return Story(
        id=identity.id,
        title=identity.title,
        path=path,
        status=place.status if place and is_whole else StoryStatus.UNKNOWN,
        status_as_written=place.written if place else "",
        epic=identity.epic,
        sentence=_sentence(document),
        acceptance_criteria=tuple(criteria),
        tasks=tuple(tasks),
        dev_notes=_section_text(document, document.find(Part.DEV_NOTES)),
        footprint=predict_files(document),
        verification_commands=read_commands(document),
        dependencies=read_dependencies(document, identity.id),
        problems=tuple(problems),
        text=text,
    )


def _front_matter_title(document: Document) -> str:
    for line in document.front_matter:
        key, value = split_label(document.bare[line])
        if key.casefold() == "title" and not document.bare[line].startswith((" ", "\t")):
            return value.strip("\"'")
    return ""


def _sentence(document: Document) -> str:
    """As a …, I want …, so that …: the story's own section up to the next heading or label, on one line."""
    section = document.find(Part.STORY, Part.INTENT)
    if section is None:
        return ""
    words: list[str] = []
    for line in range(section.start, section.own_end):
        text = document.text_at(line).strip(" \t>")
        if words and section.part is Part.STORY and _LABEL_LINE.match(text):
            break
        words += text.replace("**", "").split()
    return " ".join(words)


def _section_text(document: Document, section: Section | None) -> str:
    return "" if section is None else "".join(document.lines[section.start : section.end]).strip()


def _byte_problems(data: bytes) -> Iterator[Problem]:
    if len(data) > MAX_STORY_BYTES:
        yield Problem(
            None, f"the file is larger than {MAX_STORY_BYTES:,} bytes and is read no further: split the story"
        )
        data = data[: data.rfind(b"\n", 0, MAX_STORY_BYTES) + 1]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield Problem(None, "the file is UTF-16; save it as UTF-8")
        return
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Problem(_line_of(data, error.start), "some bytes are not UTF-8; save the file as UTF-8")
    if b"\0" in data:
        yield Problem(_line_of(data, data.index(b"\0")), "the line holds a NUL byte; remove it")


def _line_of(data: bytes, position: int) -> int:
    return max(len((data[:position] + b".").splitlines()), 1)


def _status_problems(document: Document, place: StatusPlace | None) -> Iterator[Problem]:
    if place is None or not place.written:
        yield Problem(None if place is None else place.line + 1, 'the story has no status; add "Status: ready-for-dev"')
        return
    if place.status is StoryStatus.UNKNOWN:
        yield Problem(place.line + 1, f"the status “{_short(place.written)}” is none that the method knows")
    for other in other_statuses(document, place):
        counting = f"“{_short(place.written)}” on line {place.line + 1}, which counts"
        yield Problem(other.line + 1, f"the status “{_short(other.written)}” contradicts {counting}")


def _work_problems(document: Document, criteria: list[AcceptanceCriterion], tasks: list[Task]) -> Iterator[Problem]:
    if not criteria:
        section = document.find(Part.CRITERIA)
        yield Problem(section.line + 1 if section else None, "no acceptance criteria were found")
    if not tasks:
        section = document.find(Part.TASKS, Part.TASKS_AND_ACCEPTANCE)
        yield Problem(section.line + 1 if section else None, "no tasks were found")
    yield from task_problems(tasks, (criterion.number for criterion in criteria))


def _short(written: str) -> str:
    return written if len(written) <= 60 else written[:59] + "…"
