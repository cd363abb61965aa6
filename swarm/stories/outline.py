"""YAML as an outline: keys, the columns of their values, and what stands indented below them.

Just enough for boards, which are maps and lists of plain words. A line reader rather than a YAML library, on purpose:
boards in the wild have duplicate keys, tabs and broken lines; what can be read should be, and an edit must leave every
other byte alone, so the columns of each value are needed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from swarm.stories.boxes import indent_of


@dataclass(slots=True)
class Node:
    """A key, or a list item (`key` is "" then). `value` stands at columns `start` to `end` of line `line` (0-based)."""

    key: str
    line: int
    indent: int
    value: str = ""
    start: int = 0
    end: int = 0
    children: list[Node] = field(default_factory=list)

    def child(self, *keys: str) -> Node | None:
        """The last child with one of `keys`: of duplicates YAML readers keep the last."""
        return next((child for child in reversed(self.children) if child.key.casefold() in keys), None)


def read_outline(text: str) -> tuple[list[str], Node]:
    """The lines of a file, with their ends, and a root node over its outermost keys. Linear; reads anything."""
    lines = list(io.StringIO(text, newline=""))
    root = Node("", -1, -1)
    open_nodes = [root]
    block_indent: int | None = None
    for number, line in enumerate(lines):
        bare = line.rstrip("\r\n").replace("\ufeff", " ", 1)
        stripped = bare.strip()
        indent = indent_of(bare)
        if block_indent is not None and (not stripped or indent > block_indent):
            continue
        block_indent = None
        if not stripped or stripped.startswith(("#", "---", "...", "%")):
            continue
        for node in _nodes(bare, number, indent):
            while open_nodes[-1].indent >= node.indent and not _holds(open_nodes[-1], node):
                open_nodes.pop()
            open_nodes[-1].children.append(node)
            open_nodes.append(node)
        if open_nodes[-1].value[:1] in ("|", ">"):
            block_indent = indent
    return lines, root


def value_columns(text: str, start: int) -> tuple[int, int]:
    """The columns of the plain or quoted word that begins at or behind `start`, quotes and comment left out."""
    while start < len(text) and text[start] in " \t":
        start += 1
    if text[start : start + 1] in ("'", '"'):
        closing = text.find(text[start], start + 1)
        return (start + 1, closing) if closing > 0 else (start + 1, len(text.rstrip()))
    if text[start : start + 1] == "#":
        return start, start
    comment = text.find(" #", start)
    tab_comment = text.find("\t#", start)
    end = min(position for position in (comment, tab_comment, len(text)) if position >= 0)
    return start, max(start, len(text[:end].rstrip()))


def key_end(text: str, start: int) -> int:
    """The column of the colon that ends a key beginning at `start`, -1 if there is none."""
    if text[start : start + 1] in ("'", '"'):
        start = max(text.find(text[start], start + 1), start)
    colon = text.find(":", start)
    while colon >= 0 and text[colon + 1 : colon + 2] not in ("", " ", "\t"):
        colon = text.find(":", colon + 1)
    return colon


def _nodes(bare: str, line: int, indent: int) -> Iterator[Node]:
    """What a line begins: a key, an item, or an item and the first key inside it."""
    start = len(bare) - len(bare.lstrip(" \t"))
    if bare[start] == "-" and bare[start + 1 : start + 2] in ("", " ", "\t"):
        inside = start + 1 + len(bare[start + 1 :]) - len(bare[start + 1 :].lstrip(" \t"))
        from_column, to_column = value_columns(bare, inside)
        yield Node("", line, indent, bare[from_column:to_column], from_column, to_column)
        if key_end(bare, inside) < 0:
            return
        start, indent = inside, indent + inside - start
    colon = key_end(bare, start)
    if colon >= 0:
        from_column, to_column = value_columns(bare, colon + 1)
        key = bare[start:colon].strip(" \t'\"")
        yield Node(key, line, indent, bare[from_column:to_column], from_column, to_column)


def _holds(above: Node, node: Node) -> bool:
    """A list may stand at the same column as the key that holds it."""
    return above.indent == node.indent and bool(above.key) and not node.key and not above.value
