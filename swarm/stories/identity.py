"""Which file is a story, and what it is called.

A file is a story when the board names it or when it is built like one. Companions of a story (checklists, summaries,
reports, contexts), epics and plans are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from swarm.stories.document import Document
from swarm.stories.parts import Part, split_label
from swarm.stories.statuses import StatusPlace
from swarm.stories.story import Problem

_COMPANION = re.compile(
    r"(?:validation-report|epic|epics|retro|retrospective|sprint|tech-spec|prd|architecture|index|readme|changelog|"
    r"test-design|test-review|atdd-checklist|automation-summary|traceability|gate-decision|deferred-work|"
    r"project-context|implementation-readiness)(?:[-_. 0-9].*)?|"
    r".*[-_.](?:checklist|summary|report|context|review|notes|retrospective|validation|test-plan|qa|handoff|log)",
    re.IGNORECASE,
)
_STORY_WORDS = "story|user story|histoire|historia|história|geschichte|storia|故事|用户故事"
_TITLE_ID = re.compile(
    rf"(?:epic\s{{0,3}}[0-9]{{1,4}}[a-z]?\s{{0,3}}[-–—:,]\s{{0,3}})?(?:{_STORY_WORDS})\s{{0,3}}[#:]?\s{{0,3}}"
    r"([0-9]{1,6}[a-z]?)[.\-–]([0-9]{1,6}[a-z]?(?:\.[0-9]{1,4}[a-z]?){0,2})(?![\w.])",
    re.IGNORECASE,
)
_TITLE_PLAIN_ID = re.compile(r"\[?([0-9]{1,6}[a-z]?)[.]([0-9]{1,6}[a-z]?(?:\.[0-9]{1,4}[a-z]?){0,2})\]?(?=[\s:.–—-])")
_TITLE_STORY = re.compile(rf"(?:{_STORY_WORDS})\b\s{{0,3}}(?:[:–—-]|[0-9])", re.IGNORECASE)
_EPIC_STORY = re.compile(
    rf"epic\s{{0,3}}([0-9]{{1,6}}[a-z]?)\b[^0-9]{{0,20}}(?:{_STORY_WORDS})\s{{0,3}}([0-9]{{1,6}}[a-z]?)(?![\w.])",
    re.IGNORECASE,
)
_KEY = re.compile(r"(?:story[-_.])?([0-9]{1,6}[a-z]?)-([0-9]{1,6}[a-z]?)(?:[-_.](.*))?", re.IGNORECASE | re.DOTALL)
_DOTTED_KEY = re.compile(
    r"(?:story[-_. ])?([0-9]{1,6}[a-z]?)\.([0-9]{1,6}[a-z]?(?:\.[0-9]{1,4}[a-z]?){0,2})(?:[-_. ](.*))?",
    re.IGNORECASE | re.DOTALL,
)
_EMPHASIS = re.compile(r"[*_`]{1,3}")
_NOT_A_WORD = re.compile(r"\A[^\w\[]{1,20}")


@dataclass(frozen=True, slots=True)
class Identity:
    """A story's id ("1.2"; a name where it has no number), epic ("1" or "") and title."""

    id: str
    epic: str
    title: str
    problems: tuple[Problem, ...] = ()


def key_of(path: str) -> str:
    """The name of a story's file without its suffix: its key on the board."""
    name = PurePosixPath(path).name
    return name.removesuffix(".md").removesuffix(".story")


def id_in_key(key: str) -> tuple[str, str] | None:
    """Epic and number in a board key or file name: ("1", "6a") in `1-6a-login`, `1.6a.login` and `story-1-6a`."""
    found = _KEY.fullmatch(key) or _DOTTED_KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def is_story(document: Document, path: str, place: StatusPlace | None, *, on_board: bool) -> bool:
    """Whether the file is a story rather than a companion of one or something else altogether."""
    if on_board:
        return True
    has_status = place is not None and bool(place.written)
    has_work = document.find(Part.CRITERIA, Part.TASKS, Part.TASKS_AND_ACCEPTANCE) is not None
    title = _title_text(document)
    is_titled = bool(_TITLE_STORY.match(title) or _EPIC_STORY.match(title))
    if _COMPANION.fullmatch(key_of(path)):
        return is_titled and has_status and has_work
    parts = (Part.STORY, Part.CRITERIA, Part.TASKS, Part.DEV_NOTES, Part.RECORD)
    evidence = has_status + sum(document.find(part) is not None for part in parts)
    if is_titled:
        return evidence >= 1 or _id_in_title(title)[0] is not None
    if id_in_key(key_of(path)) or _TITLE_PLAIN_ID.match(title):
        return evidence >= 1
    is_spec = place is not None and place.in_front_matter and document.find(Part.INTENT, Part.TASKS_AND_ACCEPTANCE)
    return bool(is_spec) or evidence >= 3


def identify(document: Document, path: str, front_title: str) -> Identity:
    """Name a story. The file's name decides over the heading where they disagree, for the board goes by it."""
    title = _title_text(document)
    in_title, rest = _id_in_title(title)
    in_name = id_in_key(key_of(path))
    if in_title and key_of(path).startswith(".".join(in_title).replace(".", "-") + "-"):
        in_name = in_title  # 10-1-5-prompt may be 10.1 or 10.1.5: the heading knows
    problems = []
    if in_name and in_title and in_title != in_name:
        line = document.title.line + 1 if document.title else None
        text = f"the heading says {'.'.join(in_title)}, the file's name {'.'.join(in_name)}; the name counts"
        problems.append(Problem(line, text))
    number = in_name or in_title
    shown = front_title or rest or _words(key_of(path))
    if number is None:
        return Identity(key_of(path), "", shown, tuple(problems))
    return Identity(".".join(number), number[0], shown, tuple(problems))


def _title_text(document: Document) -> str:
    """The heading without emphasis, and without an emoji before its first word."""
    title = _EMPHASIS.sub("", document.title.title) if document.title else ""
    return _NOT_A_WORD.sub("", title, count=1)


def _id_in_title(title: str) -> tuple[tuple[str, str] | None, str]:
    """Epic and number in a heading, and the title proper."""
    found = _EPIC_STORY.match(title) or _TITLE_ID.match(title) or _TITLE_PLAIN_ID.match(title)
    if found:
        return (found[1], found[2]), title[found.end() :].strip(" \t:.-–—]")
    if _TITLE_STORY.match(title):
        return None, split_label(title)[1] or title
    return None, title


def _words(key: str) -> str:
    found = _KEY.fullmatch(key) or _DOTTED_KEY.fullmatch(key)
    name = (found[3] or "") if found else key.removeprefix("spec-")
    return name.replace("-", " ").replace("_", " ").strip().capitalize() or key
