"""List items and check boxes, one line at a time: the grammar that tasks and criteria share."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ITEM = re.compile(r"([ \t]*)([-*+•]|[0-9]{1,4}[.)])(?=[ \t]|$)[ \t]*")
_BOX = re.compile(r"\[([^\]\w]?|[xX]| [xX]|[xX] | [xX] |  |[☐☑])\](?=[ \t]|$)[ \t]*")
_TICKS = frozenset("xX✓✔✅☑")
_TAB_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A line that begins a list item. `indent` is its column, tabs counted to the next multiple of four.

    `mark` is what stands between the brackets of its box, None for an item without one; the box's inside begins at
    column `mark_at` of the line.
    """

    indent: int
    bullet: str
    mark: str | None
    mark_at: int
    text: str

    @property
    def has_box(self) -> bool:
        return self.mark is not None

    @property
    def is_ticked(self) -> bool:
        return self.mark is not None and self.mark.strip() in _TICKS

    @property
    def is_numbered(self) -> bool:
        return self.bullet[0].isdigit()


def read_item(line: str) -> Item | None:
    """Read a line as the beginning of a list item; None if it is not one."""
    found = _ITEM.match(line)
    if found is None:
        return None
    box = _BOX.match(line, found.end())
    text = line[(box or found).end() :].strip()
    indent = len(found[1].expandtabs(_TAB_WIDTH))
    return Item(indent, found[2], box[1] if box else None, box.start(1) if box else 0, text)


def ticked(line: str, item: Item) -> str:
    """The line with the item's box ticked: one character changed, or one put into a box that holds none."""
    if item.is_ticked or item.mark is None:
        return line
    if not item.mark:
        return line[: item.mark_at] + "x" + line[item.mark_at :]
    return line[: item.mark_at] + "x" + line[item.mark_at + 1 :]


def indent_of(line: str) -> int:
    """The column at which a line's text begins."""
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_TAB_WIDTH))
