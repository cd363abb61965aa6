"""The board, `sprint-status.yaml`: where each story and epic stands, read in every dialect and edited by key.

The server is its only writer. An edit changes the columns of one value; comments and all other bytes stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from swarm.stories.errors import NotOnBoard
from swarm.stories.identity import id_in_key, key_of
from swarm.stories.outline import Node, read_outline
from swarm.stories.statuses import read_status, writable_status
from swarm.stories.story import Problem, Story, StoryStatus

_MAPS = ("development_status", "story_status", "sprint_status", "stories", "epics")
_NAMES = ("key", "id", "story_id", "story", "file", "slug", "name")
_NOT_PLAIN = ("{", "[", "&", "*", "!", "|", ">")
_STATUS_KEYS = ("status", "state")
_FLOW_STATUS = re.compile(r"""[{,]\s{0,8}["']?(?:status|state)["']?\s{0,4}:\s{0,4}["']?([^,}"'\s]{0,80})""")


class EntryKind(StrEnum):
    """What an entry of the board is about. `OTHER` are keys that the method does not know, kept and shown."""

    EPIC = "epic"
    STORY = "story"
    RETROSPECTIVE = "retrospective"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One key and its status. `line` is 1-based; the value stands at columns `start` to `end` of it."""

    key: str
    kind: EntryKind
    status: StoryStatus
    status_as_written: str
    line: int
    start: int
    end: int

    @property
    def story_id(self) -> str | None:
        """The id of the story that the key is about, where the key has one."""
        found = id_in_key(self.key) if self.kind is EntryKind.STORY else None
        return ".".join(found) if found else None


@dataclass(frozen=True, slots=True)
class Board:
    """The entries in the file's order; of duplicate keys only the last, as YAML readers have it."""

    entries: tuple[BoardEntry, ...] = ()
    problems: tuple[Problem, ...] = ()
    _by_name: Mapping[str, BoardEntry] = field(default_factory=dict, repr=False)

    def entry(self, key: str) -> BoardEntry | None:
        """The entry under exactly this key."""
        found = self._by_name.get(key)
        return found if found and found.key == key else None

    def entry_for(self, story: Story) -> BoardEntry | None:
        """The story's entry: under its file's name, or else under the first key with its number."""
        return self._by_name.get(key_of(story.path)) or self._by_name.get(story.id)


def read_board(data: bytes) -> Board:
    """Read a board, in whatever dialect. Raises on no input; what cannot be read is a problem."""
    text = data.decode("utf-8", errors="replace").replace("\0", "\ufffd")
    _, root = read_outline(text)
    entries: dict[str, BoardEntry] = {}
    problems = list(_file_problems(text, root))
    for top in _maps(root):
        seen: dict[str, int] = {}
        for entry in _below(top):
            if entry.key in seen:
                earlier = f"the key {entry.key} stands on line {seen[entry.key]} already"
                problems.append(Problem(entry.line, f"{earlier}; this one counts"))
            seen[entry.key] = entry.line
            entries[entry.key] = entry
    problems += _unknown_words(entries.values())
    by_id = {entry.story_id: entry for entry in reversed(entries.values()) if entry.story_id}
    ordered = tuple(sorted(entries.values(), key=lambda entry: entry.line))
    problems.sort(key=lambda problem: problem.line or 0)
    return Board(ordered, tuple(problems), {**by_id, **entries})


def set_board_status(data: bytes, key: str, status: str, *, repair: bool = False) -> bytes:
    """Write a status under a key, in every place where the key stands.

    Never takes a story back: where it is as far along already, or its status is not known, the bytes stay the same,
    unless `repair` says that a person has asked for it.

    Raises `NotOnBoard` for a key that is not there, `StatusNotWritable` for a word that is no status.
    """
    wanted = writable_status(status)
    lines, root = read_outline(data.decode("utf-8", errors="surrogateescape"))
    entries = [entry for top in _maps(root) for entry in _below(top)]
    places = [entry for entry in entries if entry.key == key]
    if not places:
        raise NotOnBoard(f"sprint-status.yaml has no entry {key}; add it below development_status.")
    if repair and any(entry.status_as_written.startswith(_NOT_PLAIN) for entry in places):
        raise NotOnBoard(f"sprint-status.yaml has no plain status under {key}; write “{key}: {wanted}” there by hand.")
    has_underscores = any("_" in entry.status_as_written for entry in entries)
    word = wanted.value.replace("-", "_") if has_underscores else wanted.value
    for entry in places:
        if entry.status is not wanted and (repair or _is_behind(entry, wanted)):
            line = lines[entry.line - 1]
            gap = " " if line[entry.start - 1] == ":" else ""
            lines[entry.line - 1] = line[: entry.start] + gap + word + line[entry.end :]
    return "".join(lines).encode("utf-8", errors="surrogateescape")


def _is_behind(entry: BoardEntry, wanted: StoryStatus) -> bool:
    if not entry.status_as_written:
        return True
    return entry.status.rank is not None and wanted.rank is not None and entry.status.rank < wanted.rank


def _file_problems(text: str, root: Node) -> Iterator[Problem]:
    if "\ufffd" in text:
        yield Problem(text[: text.index("\ufffd")].count("\n") + 1, "some bytes are not UTF-8; save the file as UTF-8")
    maps = _maps(root)
    if not maps:
        yield Problem(None, "there is no development_status, so that the board says nothing about any story")
    for top in maps:
        if top.value.startswith("{") and top.value.strip("{ }"):
            yield Problem(top.line + 1, f"{top.key} is written on one line; give each key a line of its own")


def _unknown_words(entries: Iterable[BoardEntry]) -> Iterator[Problem]:
    for entry in entries:
        if entry.kind is EntryKind.STORY and entry.status is StoryStatus.UNKNOWN:
            word = entry.status_as_written[:60]
            yield Problem(entry.line, f"the status “{word}” of {entry.key} is none that the method knows")


def _maps(root: Node) -> list[Node]:
    """The outermost keys that hold entries, the one of the method's own form last, for it counts."""
    found = [node for node in root.children if node.key.casefold() in _MAPS]
    return sorted(found, key=lambda node: _MAPS.index(node.key.casefold()), reverse=True)


def _below(top: Node) -> Iterator[BoardEntry]:
    """The entries of a map or list in order, those of stories inside their epics included."""
    pending = [(child, top.key, "") for child in reversed(top.children)]
    while pending:
        node, holder, owner = pending.pop()
        if node.key.casefold() in _MAPS:
            pending += [(child, node.key, owner) for child in reversed(node.children)]
            continue
        name = _name(node, holder, owner)
        entry = _read_entry(node, name)
        if entry is not None:
            yield entry
        pending += [(child, node.key, name) for child in reversed(node.children) if child.children]


def _name(node: Node, holder: str, owner: str) -> str:
    """What an entry is called: its key, or for a list item the field that names it."""
    named = node.child(*_NAMES) if not node.key else None
    name = node.key or (named.value if named else "")
    if holder.casefold() == "epics" and name[:1].isdigit():
        return f"epic-{name}"
    return f"{owner}-retrospective" if name == "retrospective" and owner else name


def _read_entry(node: Node, name: str) -> BoardEntry | None:
    """The entry of a node: its own value, the `status` inside its braces, or the `status` below it."""
    if not name:
        return None
    inside = _FLOW_STATUS.search(node.value) if node.value.startswith("{") else None
    if inside:
        return _entry(name, inside[1], node.line, node.start + inside.start(1), node.start + inside.end(1))
    status = node.child(*_STATUS_KEYS)
    if status is not None and not node.value.startswith(_NOT_PLAIN):
        return _entry(name, status.value, status.line, status.start, status.end)
    if not node.key or (node.children and not node.value):
        return None
    return _entry(name, node.value, node.line, node.start, node.end)


def _entry(key: str, written: str, line: int, start: int, end: int) -> BoardEntry:
    return BoardEntry(key, _kind(key), read_status(written), written, line + 1, start, end)


def _kind(key: str) -> EntryKind:
    if key.startswith("epic-"):
        return EntryKind.RETROSPECTIVE if "-retro" in key else EntryKind.EPIC
    return EntryKind.STORY if id_in_key(key) else EntryKind.OTHER
