"""A story's acceptance criteria, however they are set out.

A section keeps to one style, and the strongest style found in it decides what begins a criterion: a heading
`### AC1: …`, a label `**AC1:** …`, a number, a bare `Given`, a bullet, or a paragraph. Everything up to the next one
belongs to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from swarm.stories.boxes import indent_of, read_item
from swarm.stories.document import Document
from swarm.stories.parts import Part, part_of
from swarm.stories.story import AcceptanceCriterion, Step


@dataclass(frozen=True, slots=True)
class _Start:
    """A line that begins a criterion: how it is called ("" if not at all), and its text without that."""

    number: str
    text: str


_LABEL = re.compile(
    r"[*_`]{0,3}(?:AC|Acceptance Criterion|Criterion|验收标准)[-\s#]{0,3}([0-9]{1,4}(?:[.][0-9]{1,4}|[a-z])?)\b(.*)",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_NUMBER = re.compile(r"\s{0,12}[*_]{0,2}([0-9]{1,4})[.):：][*_]{0,2}[ \t]+(\S.*)", re.DOTALL)
_GIVEN = re.compile(r"[\s>]{0,8}(?:[-*+][ \t]+)?[*_]{0,3}(?:given|scenario)\b", re.IGNORECASE)
_STEP = re.compile(r"[*_]{0,3}(?:given|when|then|and|but)\b", re.IGNORECASE)
_AFTER_LABEL = " \t*_`:：.)-–—"


def read_criteria(document: Document) -> list[AcceptanceCriterion]:
    """The criteria in order. One without a number of its own is numbered by its place."""
    lines = _lines(document)
    starts = _starts(document, lines)
    criteria = []
    for index, (position, start) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else len(lines)
        own = _without_blank_end(document, lines[position:end])
        text = [start.text] + [document.bare[line].strip() for line in own[1:]]
        criteria.append(
            AcceptanceCriterion(
                start.number or str(index + 1), "\n".join(text).strip(), read_steps(text), own[0] + 1, own[-1] + 1
            )
        )
    return criteria


def split_spec(document: Document) -> tuple[list[int], list[int]]:
    """The lines of a build spec's section `Tasks & Acceptance`: those of its tasks, and those below the label of its
    criteria."""
    both = document.lines_of(Part.TASKS_AND_ACCEPTANCE)
    labels = (index for index, line in enumerate(both) if _is_label(document.text_at(line)))
    label = next(labels, len(both))
    return both[:label], both[label + 1 :]


def _lines(document: Document) -> list[int]:
    """The lines of every section of criteria, or of what stands below a label instead."""
    return document.lines_of(Part.CRITERIA) + split_spec(document)[1] or _below_label(document)


def _is_label(text: str) -> bool:
    """Whether a line is the label `**Acceptance Criteria:**`, which some forms have in place of a heading."""
    stripped = text.strip()
    return stripped.startswith("**") and part_of(stripped) is Part.CRITERIA


def _below_label(document: Document) -> list[int]:
    """The lines below `**Acceptance Criteria:**` where that is no heading, up to the next label or heading."""
    every = range(len(document.lines))
    label = next((line for line in every if _is_label(document.text_at(line))), None)
    if label is None:
        return []
    lines = []
    for line in range(label + 1, len(document.lines)):
        text = document.text_at(line).strip()
        if document.section_at(line) or (text.startswith("**") and text.endswith((":**", "**:"))):
            break
        lines.append(line)
    return lines


def _starts(document: Document, lines: list[int]) -> list[tuple[int, _Start]]:
    """Positions in `lines` where criteria begin, by the first style of `_STYLES` that finds any."""
    for style in _STYLES:
        found = [(position, start) for position, line in enumerate(lines) if (start := style(document, line))]
        if style in (_by_number, _by_bullet):
            found = _outermost(document, lines, found)
        if style is _by_given and found and _has_other_bullets(document, lines):
            continue
        if found:
            return found
    return []


def _outermost(document: Document, lines: list[int], found: list[tuple[int, _Start]]) -> list[tuple[int, _Start]]:
    """Leave out lists inside lists: what stands two columns or more to the right of the outermost item."""
    indents = [indent_of(document.bare[lines[position]]) for position, _ in found]
    limit = min(indents, default=0) + 2
    return [entry for entry, indent in zip(found, indents, strict=True) if indent < limit]


def _has_other_bullets(document: Document, lines: list[int]) -> bool:
    """Whether the section lists criteria of which only some are told as Given/When/Then."""
    bullets = [(position, start) for position, line in enumerate(lines) if (start := _by_bullet(document, line))]
    return not all(_STEP.match(start.text) for _, start in _outermost(document, lines, bullets))


def _by_heading(document: Document, line: int) -> _Start | None:
    section = document.section_at(line)
    return _labelled(section.title) if section else None


def _by_label(document: Document, line: int) -> _Start | None:
    text = document.text_at(line)
    item = read_item(text)
    return _labelled(item.text if item else text.strip())


def _labelled(text: str) -> _Start | None:
    found = _LABEL.match(text)
    if not found:
        return None
    return _Start(found[1], found[2].lstrip(_AFTER_LABEL).removesuffix("**") or text)


def _by_number(document: Document, line: int) -> _Start | None:
    text = document.text_at(line)
    item = read_item(text)
    if item is not None and item.is_numbered:
        return _Start(item.bullet[:-1], item.text) if item.text else None
    found = _OTHER_NUMBER.match(item.text if item and item.has_box else text)
    return _Start(found[1], found[2].strip()) if found else None


def _by_bullet(document: Document, line: int) -> _Start | None:
    item = read_item(document.text_at(line))
    return _Start("", item.text) if item and item.text else None


def _by_given(document: Document, line: int) -> _Start | None:
    text = document.text_at(line)
    return _Start("", text.strip(" \t>")) if _GIVEN.match(text) else None


def _by_paragraph(document: Document, line: int) -> _Start | None:
    text = document.text_at(line).strip()
    above = document.text_at(line - 1).strip()
    begins = bool(text) and not document.section_at(line) and (not above or document.section_at(line - 1) is not None)
    return _Start("", text) if begins else None


_STYLES: tuple[Callable[[Document, int], _Start | None], ...] = (
    _by_heading,
    _by_label,
    _by_number,
    _by_given,
    _by_bullet,
    _by_paragraph,
)


def _without_blank_end(document: Document, own: list[int]) -> list[int]:
    while len(own) > 1 and (not document.bare[own[-1]].strip() or document.section_at(own[-1])):
        own.pop()
    return own


_KEYWORD = "Given|When|Then|And|But"
_AT_START = re.compile(rf"[-*+>\s]{{0,8}}?([*_]{{0,3}})({_KEYWORD})\b[*_:]{{0,4}}", re.IGNORECASE)
_INSIDE = re.compile(rf"\*\*({_KEYWORD})\b:?\*\*:?|[,;]\s{{1,4}}(given|when|then)\b", re.IGNORECASE)


def read_steps(lines: list[str]) -> tuple[Step, ...]:
    """The Given/When/Then steps of a criterion: one a line, or several in one ("Given a, when b, then c").

    At the start of a line a keyword counts with a capital or in bold, inside a line in bold, or behind a comma once the
    line has begun with one. Sentences that merely begin with "And" are no steps: one of Given and When must be there.
    """
    steps: list[tuple[str, list[str]]] = []
    for line in lines:
        found = _steps_of(line)
        steps += found
        if steps and not found:
            steps[-1][1].append(line)
    if not any(keyword in ("Given", "When") for keyword, _ in steps):
        return ()
    return tuple(Step(keyword, " ".join(text).strip()) for keyword, text in steps)


def _steps_of(line: str) -> list[tuple[str, list[str]]]:
    opening = _AT_START.match(line)
    if opening and not opening[1] and opening[2][0].islower():
        opening = None
    marks = [(opening.start(), opening.end(), opening[2])] if opening else []
    for mark in _INSIDE.finditer(line, marks[0][1] if marks else 0):
        if opening or mark[1]:
            marks.append((mark.start(), mark.end(), mark[1] or mark[2]))
    ends = [start for start, _, _ in marks[1:]] + [len(line)]
    return [
        (keyword.capitalize(), [line[behind:end].strip(" ,;")])
        for (_, behind, keyword), end in zip(marks, ends, strict=False)
    ]
