"""Status words in all their spellings, and the one place in a file where the status stands.

Never guesses: a word that is not in the table is `StoryStatus.UNKNOWN`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from swarm.stories.document import Document
from swarm.stories.errors import StatusNotWritable
from swarm.stories.parts import Part, part_of, split_label
from swarm.stories.story import StoryStatus

_WORDS: dict[StoryStatus, str] = {
    StoryStatus.BACKLOG: "backlog, todo, to do, not started, planned, à faire, offen, pendiente, 待办",
    StoryStatus.DRAFT: "draft, brouillon, entwurf, borrador, rascunho, bozza, 草稿",
    StoryStatus.READY: (
        "ready for dev, ready for development, ready, approved, drafted, ready to develop, ready for implementation, "
        "approuvé, prêt pour le développement, genehmigt, aprobado, aprovado, approvato, listo para desarrollo, "
        "bereit zur entwicklung, 已批准, 待开发"
    ),
    StoryStatus.IN_PROGRESS: (
        "in progress, inprogress, wip, work in progress, in development, in dev, started, contexted, en cours, "
        "in arbeit, in bearbeitung, en progreso, en curso, em andamento, in corso, 进行中, 开发中"
    ),
    StoryStatus.REVIEW: (
        "review, in review, inreview, ready for review, ready for qa, ready for done, code review, in code review, "
        "awaiting review, in qa, en revue, en révision, in prüfung, en revisión, em revisão, in revisione, "
        "待审查, 审查中"
    ),
    StoryStatus.DONE: (
        "done, complete, completed, finished, closed, terminé, terminée, erledigt, fertig, abgeschlossen, hecho, "
        "completado, completada, terminado, concluído, concluída, completato, 完成, 已完成"
    ),
    StoryStatus.BLOCKED: (
        "blocked, on hold, deferred, awaiting operator, halted, bloqué, bloquée, blockiert, bloqueado, bloqueada, "
        "bloccato, 阻塞, 已阻塞"
    ),
}
_STATUSES = {word: status for status, words in _WORDS.items() for word in words.split(", ")}

_CAMEL = re.compile(r"(?<=[a-zà-ÿ])(?=[A-Z])")
_NOT_WORDS = re.compile(r"[\W_]+")
_BRACKETS = re.compile(r"\([^()]*\)")
_ARROWS = re.compile(r"→|->|=>|➜|➔")
_REMARK = re.compile(r"\s[-–—]+\s|[.,;:]\s|\s#")
_CLOSING_LINES = 5
_GROWING = (Part.RECORD, Part.AGENT_MODEL, Part.COMPLETION_NOTES, Part.FILE_LIST, Part.CHANGE_LOG)


def read_status(written: str) -> StoryStatus:
    """What a status as written means.

    Emphasis, emoji, case, dashes and remarks in brackets do not matter; of "a → b" b counts. A trailing remark
    ("Done - merged by Ann") is dropped too, unless what is left would set the story free to be started.
    """
    latest = _ARROWS.split(written)[-1]
    latest = _BRACKETS.sub(" ", latest)
    whole = _look_up(latest)
    if whole is not StoryStatus.UNKNOWN:
        return whole
    head = _look_up(_REMARK.split(latest.strip(), maxsplit=1)[0])
    return StoryStatus.UNKNOWN if head is StoryStatus.READY else head


def _look_up(text: str) -> StoryStatus:
    words = _NOT_WORDS.sub(" ", text).strip()
    for spelling in (words, _CAMEL.sub(" ", words)):
        status = _STATUSES.get(spelling.casefold())
        if status is not None:
            return status
    return StoryStatus.UNKNOWN


def writable_status(status: str) -> StoryStatus:
    """The status that a word of the method names; raises `StatusNotWritable` for any other."""
    known = [word for word in StoryStatus if word is not StoryStatus.UNKNOWN]
    if status not in known:
        raise StatusNotWritable(f"“{status}” is not a status of a story; use one of {', '.join(known)}.")
    return StoryStatus(status)


@dataclass(frozen=True, slots=True)
class StatusPlace:
    """Where a file says its status: columns `start` to `end` of line `line` (0-based) hold `written`.

    `written` is "" where the file has the heading or label and no value after it. `in_front_matter` tells a build
    spec's status from the others, which use other words.
    """

    line: int
    start: int
    end: int
    written: str
    in_front_matter: bool = False

    @property
    def status(self) -> StoryStatus:
        return read_status(self.written)


def find_status(document: Document) -> StatusPlace | None:
    """The place that holds a story's status; an empty one counts only if no other has a value.

    Looked for in the front matter, the lines below the title, the `Status` section, a section of details, and as a last
    resort in the Dev Agent Record and the file's last lines.
    """
    places = list(_places(document))
    return next((place for place in places if place.written), places[0] if places else None)


def other_statuses(document: Document, place: StatusPlace) -> list[StatusPlace]:
    """Places of equal standing that say something else than `place`."""
    return [other for other in _leading_places(document) if other.written and other.status is not place.status]


def _places(document: Document) -> Iterator[StatusPlace]:
    yield from _leading_places(document)
    yield from _labelled(document, document.lines_of(Part.RECORD))
    yield from _labelled(document, _closing_lines(document))


def _leading_places(document: Document) -> Iterator[StatusPlace]:
    for line in document.front_matter:
        place = _label(document.bare[line], line, in_front_matter=True)
        if place is not None:
            yield place
    yield from _labelled(document, _header(document))
    section = document.find(Part.STATUS)
    if section is not None:
        yield from _in_section(document, section.line, range(section.start, section.own_end))
    yield from _labelled(document, document.lines_of(Part.DETAILS))


def _header(document: Document) -> range:
    """The lines that stand before the first heading other than the title."""
    first = document.front_matter.stop
    later = (
        section.line for section in document.sections if document.title is None or section.line > document.title.line
    )
    return range(first, next(later, len(document.lines)))


def _closing_lines(document: Document) -> list[int]:
    """The file's last few lines with text, without those of a review and of sections that grow as work is recorded."""
    left_out = set(document.lines_of(Part.REVIEW, *_GROWING))
    closing: list[int] = []
    for line in range(len(document.lines) - 1, -1, -1):
        if len(closing) == _CLOSING_LINES:
            break
        if line not in left_out and document.text_at(line).strip():
            closing.append(line)
    return closing[::-1]


def _labelled(document: Document, lines: Iterable[int]) -> Iterator[StatusPlace]:
    for line in lines:
        text = document.text_at(line)
        place = _row(text, line) if text.lstrip().startswith("|") else _label(text, line)
        if place is not None:
            yield place


def _in_section(document: Document, heading: int, body: range) -> Iterator[StatusPlace]:
    """On the heading itself, or else the first line below it that is a value rather than another label."""
    on_heading = _label(document.bare[heading].replace("#", " "), heading)
    if on_heading is not None and on_heading.written:
        yield on_heading
        return
    labelled = list(_labelled(document, body))
    if labelled:
        yield from labelled
        return
    for line in body:
        text = document.text_at(line)
        if text.strip() and not text.lstrip().startswith(("|", "#")) and not _is_other_label(text):
            yield _place(text, line, len(text) - len(text.lstrip(" \t>-*+")))
            return
    yield on_heading or StatusPlace(heading, len(document.bare[heading]), len(document.bare[heading]), "")


def _is_other_label(text: str) -> bool:
    name, _ = split_label(text)
    return len(name) < len(text.strip()) and text.lstrip().startswith(("**", "- **", "* **"))


def _label(text: str, line: int, *, in_front_matter: bool = False) -> StatusPlace | None:
    """Read `Status: value` in any dress: `**Status:** value`, `- **Status**: value`, `> 📌 Status: value`."""
    colon = next((i for i, character in enumerate(text[:80]) if character in ":："), None)
    if colon is None or part_of(text[:colon]) is not Part.STATUS:
        return None
    if in_front_matter and text[:1] in " \t":
        return None
    start = colon + 1
    # The emphasis around the label may end behind the colon: **Status:** value.
    if text[:colon].count("**") % 2 and text.startswith("**", start):
        start += 2
    return _place(text, line, start, in_front_matter=in_front_matter)


def _row(text: str, line: int) -> StatusPlace | None:
    """Read the table row `| Status | value |`."""
    cells = text.split("|")
    if len(cells) < 3 or part_of(cells[1]) is not Part.STATUS:
        return None
    start = len(cells[0]) + len(cells[1]) + 2
    return _place(text[: start + len(cells[2])], line, start)


_NEXT_LABEL = re.compile(r"[ \t][|·•][ \t]*\**[^|·•:]{1,40}:")


def _place(text: str, line: int, start: int, *, in_front_matter: bool = False) -> StatusPlace:
    """Narrow columns from `start` down to the value: no blanks, emphasis, quotes, comment, or next label."""
    end = len(text)
    for stop in ("<!--", " #") if in_front_matter else ("<!--",):
        found = text.find(stop, start)
        end = found if found >= 0 else end
    following = _NEXT_LABEL.search(text, start, end)
    end = following.start() if following else end
    while start < end and text[start] in " \t*`\"'":
        start += 1
    while start < end and text[end - 1] in " \t*`\"'":
        end -= 1
    return StatusPlace(line, start, end, text[start:end], in_front_matter)
