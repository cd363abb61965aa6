"""A markdown file as lines and sections, so that it can be read by part and edited by line with nothing else moving.

Knows headings, front matter, fenced code and comments, and which part of a story a section is. It does not know what
the parts mean. Every pass is linear in the file's length, and every line keeps its own end.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from swarm.stories.parts import Part, part_of, split_label
from swarm.stories.story import Problem


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it. Positions are 0-based line indexes; `end` is exclusive.

    `end` is the next heading of the same or a higher level, `own_end` the next heading of any level.
    """

    line: int
    level: int
    title: str
    part: Part | None
    start: int
    own_end: int
    end: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading before its extent is known."""

    line: int
    level: int
    title: str


class Document:
    """The lines of a file, what kind each is, and the sections they form.

    `lines` are as in the file, `bare` the same without their ends (a byte order mark reads as a space, so that columns
    agree). `text_at(i)` is a line that counts as text: "" in code, comments and front matter.
    """

    def __init__(self, text: str) -> None:
        self.lines = list(io.StringIO(text, newline=""))
        self.bare = [line.rstrip("\r\n") for line in self.lines]
        if text.startswith("\ufeff"):
            self.bare[0] = " " + self.bare[0][1:]
        self.problems: list[Problem] = []
        self.front_matter = _front_matter(self.bare)
        self.is_code = bytearray(len(self.lines))
        self._is_hidden = bytearray(len(self.lines))
        self._classify()
        headings = [heading for i in range(len(self.lines)) if (heading := self._heading(i))]
        self.title = _title(headings)
        self.sections = _sections(headings, self.title, len(self.lines))
        self._by_line = {section.line: section for section in self.sections}
        self._parts = _line_parts(self.sections, len(self.lines))

    @property
    def line_end(self) -> str:
        """The line end that the file uses, taken from its first line."""
        first = self.lines[0] if self.lines else "\n"
        return first[len(first.rstrip("\r\n")) :] or "\n"

    def text_at(self, line: int) -> str:
        return "" if self._is_hidden[line] else self.bare[line]

    def find(self, *parts: Part) -> Section | None:
        """The first section that is one of `parts`."""
        return next((section for section in self.sections if section.part in parts), None)

    def lines_of(self, *parts: Part) -> list[int]:
        """The lines that belong to one of `parts`, headings included, in order.

        A line belongs to the innermost section that is a part at all, except that all inside a review is review.
        """
        return [line for line, part in enumerate(self._parts) if part in parts]

    def section_at(self, line: int) -> Section | None:
        """The section whose heading stands on `line`."""
        return self._by_line.get(line)

    def _classify(self) -> None:
        """Mark code, comments and front matter. What is opened and never closed hides nothing, and is a problem."""
        for line in self.front_matter:
            self._is_hidden[line] = 1
        line, openers = self.front_matter.stop, {"code block", "comment"}
        while line < len(self.lines):
            stripped = self.bare[line].strip()
            kind = "code block" if _fence(stripped) else "comment" if stripped.startswith("<!--") else ""
            if kind in openers:
                last = self._closing_line(line, kind)
                if last is None:
                    self.problems.append(Problem(line + 1, f"this {kind} is never closed; the rest is read as text"))
                    openers.remove(kind)
                else:
                    self._hide(line, last, kind)
                    line = last
            line += 1

    def _closing_line(self, opened: int, kind: str) -> int | None:
        if kind == "comment":
            return next((line for line in range(opened, len(self.lines)) if "-->" in self.bare[line]), None)
        fence = _fence(self.bare[opened].strip())
        later = range(opened + 1, len(self.lines))
        return next((line for line in later if _closes(self.bare[line].strip(), fence)), None)

    def _hide(self, first: int, last: int, kind: str) -> None:
        if kind == "comment" and not self.bare[last].rstrip().endswith("-->"):
            last -= 1
        for line in range(first, last + 1):
            self._is_hidden[line] = 1
        if kind == "code block":
            for line in range(first + 1, last):
                self.is_code[line] = 1

    def _heading(self, line: int) -> Heading | None:
        text = self.bare[line]
        stripped = text.lstrip(" ")
        if not stripped.startswith("#") or len(text) - len(stripped) > 3 or self._is_hidden[line]:
            return None
        title = stripped.lstrip("#")
        level = len(stripped) - len(title)
        # "##Tasks" is no heading to markdown, but its author meant one; "#tag" is a tag.
        if level > 6 or (title[:1] not in ("", " ", "\t") and (level == 1 or not title[0].isalpha())):
            return None
        return Heading(line, level, _without_closing_hashes(title.strip()))


_KEY_LINE = re.compile(r"[A-Za-z_][\w-]*[ \t]*:")


def _front_matter(bare: list[str]) -> range:
    """The lines of the YAML block at the top, its two rules included; an empty range where there is none.

    A rule with no key right below it is a rule, not front matter.
    """
    if len(bare) > 1 and bare[0].strip() == "---" and _KEY_LINE.match(bare[1]):
        for line in range(2, len(bare)):
            if bare[line].rstrip() in ("---", "..."):
                return range(line + 1)
    return range(0)


def _fence(stripped: str) -> str:
    """The run of backticks or tildes that opens a code block on this line, or ""."""
    if not stripped.startswith(("```", "~~~")):
        return ""
    rest = stripped.lstrip(stripped[0])
    if stripped[0] == "`" and "`" in rest:
        return ""
    return stripped[: len(stripped) - len(rest)]


def _closes(stripped: str, fence: str) -> bool:
    return stripped.startswith(fence) and not stripped.strip(fence[0])


def _without_closing_hashes(title: str) -> str:
    shorter = title.rstrip("#")
    if shorter and shorter[-1] not in " \t":
        return title
    return shorter.rstrip()


def _title(headings: list[Heading]) -> Heading | None:
    """The heading that names the file: its first, unless that one already begins a part."""
    if not headings:
        return None
    first = headings[0]
    name, value = split_label(first.title)
    part = part_of(name)
    names_a_story = part is Part.STORY and value
    return first if part is None or (first.level == 1 and names_a_story) else None


def _sections(headings: list[Heading], title: Heading | None, length: int) -> list[Section]:
    """Give each heading its extent and part; what lies inside a review is review."""
    ends = [length] * len(headings)
    open_ones: list[int] = []
    for index, heading in enumerate(headings):
        while open_ones and headings[open_ones[-1]].level >= heading.level:
            ends[open_ones.pop()] = heading.line
        open_ones.append(index)
    sections = []
    review_end = 0
    for index, heading in enumerate(headings):
        part = None if heading is title else part_of(heading.title)
        if heading.line < review_end:
            part = Part.REVIEW
        elif part is Part.REVIEW:
            review_end = ends[index]
        own_end = headings[index + 1].line if index + 1 < len(headings) else length
        sections.append(
            Section(heading.line, heading.level, heading.title, part, heading.line + 1, own_end, ends[index])
        )
    return sections


def _line_parts(sections: list[Section], length: int) -> list[Part | None]:
    """The part that each line belongs to: its section's, or else that of the nearest section around it that is one."""
    parts: list[Part | None] = [None] * length
    outer: list[tuple[int, Part | None]] = [(length, None)]
    for section in sections:
        while outer[-1][0] <= section.line:
            outer.pop()
        part = section.part or outer[-1][1]
        outer.append((section.end, part))
        parts[section.line : section.own_end] = [part] * (section.own_end - section.line)
    return parts
