"""What one node sees of the repository: a commit, plus the node's own changes kept in memory.

No checkout is made; nothing is written to the repository but, by `store`, the content of changed files as loose
objects, so that the snapshot can be made again after its process has died. Knows nothing of claims: the engine takes
one before it lets a node write. A snapshot belongs to one node and is used by one thread at a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType

from pygit2.enums import FileMode

from swarm.workspace.clash import refuse_clash
from swarm.workspace.errors import EditNotUnique, FileTooLarge, LostUpdate, NoSuchFile, NotAFile, NotText, PathClash
from swarm.workspace.paths import match_glob, normalise
from swarm.workspace.repository import Entry, Repository
from swarm.workspace.search import find_lines

MAX_WRITE_BYTES = 1 << 20
MAX_READ_BYTES = 16 << 20
"""The largest file that a node may read from."""
MAX_SHOWN_BYTES = 256 << 10
"""How much of a file one read shows."""
MAX_HITS = 200
MAX_LINE_LENGTH = 300
"""How many characters of a matching line a search shows."""

_KINDS = {FileMode.LINK: "a symbolic link", FileMode.COMMIT: "a submodule", FileMode.TREE: "a folder"}
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LFS_POINTER_MAX_BYTES = 1024


class Snapshot:
    """A commit with one node's changes on top. `base` is the commit, `read_paths` what the node has looked at."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self.base = commit
        self.read_paths: set[str] = set()
        self._repository = repository
        self._changes: dict[str, bytes | None] = {}

    def store(self) -> dict[str, str | None]:
        """Write the changed files to git's object store; the id of each, None for a deleted one: see `restore`."""
        return {
            path: None if content is None else self._repository.write_blob(content)
            for path, content in self._changes.items()
        }

    def restore(self, stored: Mapping[str, str | None]) -> None:
        """Take the changes over that `store` gave for a snapshot of the same commit. Raises `NoSuchObject`."""
        self._changes = {
            path: None if name is None else self._repository.read_object(name) for path, name in stored.items()
        }

    @property
    def changes(self) -> Mapping[str, bytes | None]:
        """The new content of each changed path; None for a deleted one."""
        return MappingProxyType(self._changes)

    def list_files(self, glob: str | None = None) -> list[str]:
        """The paths of all regular files, sorted, or those that match `glob` (see `match_glob`).

        Left out are names that no node can use, because they are not UTF-8 or would break the list's lines.
        """
        paths = {path for path, entry in self._repository.entries(self.base) if entry.is_file} | self._changes.keys()
        present = (path for path in paths if path.isprintable() and self._changes.get(path, b"") is not None)
        return sorted(path for path in present if glob is None or match_glob(glob, path))

    def read(self, path: str, start_line: int | None = None, end_line: int | None = None) -> str:
        """The text of a file, or its lines from `start_line` to `end_line`, both counted from 1 and included.

        Ends with a line in brackets that says how to read on where 256 KiB do not suffice. Raises `Refused`.
        """
        path = normalise(path)
        lines = list(io.StringIO(self._text(path), newline="\n"))
        first, last = max(start_line or 1, 1), min(end_line or len(lines), len(lines))
        if lines and first > len(lines):
            return f"[{path} has only {len(lines)} lines.]"
        shown = list(_first_bytes(lines[first - 1 : last], MAX_SHOWN_BYTES))
        text = "".join(shown)
        if first + len(shown) <= last:
            text += f"\n[{path} has {len(lines)} lines; read on with start_line={first + len(shown)}.]"
        return text

    def search(self, pattern: str, glob: str | None = None) -> list[str]:
        """The lines that match a regular expression, each as `path:number: line`, at most 200 of them.

        Where there are more, the last line says so. Binary files and those too large to write are left out. Raises
        `BadPattern`.
        """
        found = list(islice(find_lines(pattern, self._searched(glob)), MAX_HITS + 1))
        self.read_paths.update(path for path, _, _ in found)
        shown = [f"{path}:{number}: {line[:MAX_LINE_LENGTH]}" for path, number, line in found[:MAX_HITS]]
        if len(found) > MAX_HITS:
            shown.append(f"[More than {MAX_HITS} lines match; narrow the pattern or the glob.]")
        return shown

    def write(self, path: str, text: str) -> None:
        """Create a file or replace its content, byte for byte as given. Raises `Refused`."""
        path = normalise(path)
        content = _encode(path, text)
        if not self._has(path):
            refuse_clash(self._repository, self.base, self._changes, path)
        self._changes[path] = content

    def edit(self, path: str, old_text: str, new_text: str) -> None:
        """Replace the one occurrence of `old_text`; line endings are the file's own. Raises `Refused`."""
        path = normalise(path)
        text = self._text(path)
        if 0 < text.count("\n") == text.count("\r\n"):
            old_text, new_text = (part.replace("\r\n", "\n").replace("\n", "\r\n") for part in (old_text, new_text))
        lines = _lines_of(old_text, text)
        if len(lines) != 1:
            raise EditNotUnique(_explain_edit(path, old_text, text, lines))
        self._changes[path] = _encode(path, text.replace(old_text, new_text, 1))

    def overwrite(self, files: Mapping[str, bytes]) -> None:
        """Replace the contents of files that are there, by any bytes, all or none. Raises `Refused`."""
        for path in files:
            if not self._has(path):
                raise self._missing(path)
        self._changes.update(files)

    def delete(self, path: str) -> None:
        """Delete a file. Raises `Refused`."""
        path = normalise(path)
        if not self._has(path):
            raise self._missing(path)
        if self._base_file(path) is None:
            del self._changes[path]
        else:
            self._changes[path] = None

    def is_stale(self, path: str, head: str) -> bool:
        """Whether `path` is another file in the commit `head` than in `base`, or can no longer be written there."""
        if head == self.base:
            return False
        entry = self._repository.entry(head, path)
        if entry != self._repository.entry(self.base, path):
            return True
        if entry is not None:
            return False
        try:
            refuse_clash(self._repository, head, self._changes, path)
        except PathClash:
            return True
        return False

    def advance(self, head: str) -> frozenset[str]:
        """Move the base to the commit `head`, keep the node's changes; return the read paths that others changed.

        Raises `LostUpdate` if others changed a path that the node has changed too: claims exist to rule that out.
        """
        changed = self._repository.changed_paths(self.base, head)
        lost = sorted(changed & self._changes.keys())
        if lost:
            raise LostUpdate(
                f"{', '.join(lost)} changed on the branch while the node changed it: start another attempt."
            )
        self.base = head
        return frozenset(changed & self.read_paths)

    def _has(self, path: str) -> bool:
        if path in self._changes:
            return self._changes[path] is not None
        return self._base_file(path) is not None

    def _text(self, path: str) -> str:
        self.read_paths.add(path)
        content = self._changes[path] if path in self._changes else self._base_content(path)
        if content is None:
            raise self._missing(path)
        if b"\0" in content:
            raise NotText(f"{path} is a binary file; only text can be read and edited.")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise NotText(f"{path} is not UTF-8 text, so it cannot be read or edited.") from error

    def _base_content(self, path: str) -> bytes | None:
        entry = self._base_file(path)
        if entry is None:
            return None
        size_bytes = self._repository.blob_size(entry)
        if size_bytes > MAX_READ_BYTES:
            raise FileTooLarge(f"{path} has {size_bytes} bytes, more than the {MAX_READ_BYTES} that can be read.")
        return self._repository.read_blob(entry)

    def _base_file(self, path: str) -> Entry | None:
        entry = self._repository.entry(self.base, path)
        if entry is None:
            return None
        if not entry.is_file:
            raise NotAFile(f"{path} is {_KINDS[FileMode(entry.mode)]}; only regular files can be read and written.")
        is_small = self._repository.blob_size(entry) <= _LFS_POINTER_MAX_BYTES
        if is_small and self._repository.read_blob(entry).startswith(_LFS_POINTER):
            raise NotAFile(f"{path} is kept by Git LFS; its content cannot be read or changed here.")
        return entry

    def _missing(self, path: str) -> NoSuchFile:
        try:
            refuse_clash(self._repository, self.base, self._changes, path)
        except PathClash as clash:
            return NoSuchFile(f"There is no file {path}: {clash.message}")
        return NoSuchFile(f"There is no file {path}; list_files shows what there is.")

    def _searched(self, glob: str | None) -> Iterator[tuple[str, bytes]]:
        files = {path: entry for path, entry in self._repository.entries(self.base) if entry.is_file}
        for path in self.list_files(glob):
            content = self._changes.get(path)
            if content is None:
                if self._repository.blob_size(files[path]) > MAX_WRITE_BYTES:
                    continue
                content = self._repository.read_blob(files[path])
            if b"\0" not in content:
                yield path, content


def _first_bytes(lines: list[str], size_bytes: int) -> Iterator[str]:
    """Yield lines as long as they fit into `size_bytes`; of a first line that does not fit, its beginning."""
    if lines and len(lines[0].encode()) > size_bytes:
        yield lines[0].encode()[:size_bytes].decode(errors="ignore") + " [… the rest of this line is left out]\n"
        return
    for line in lines:
        size_bytes -= len(line.encode())
        if size_bytes < 0:
            return
        yield line


def _encode(path: str, text: str) -> bytes:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise NotText(f"The text for {path} holds half of a surrogate pair; write whole characters.") from error
    if b"\0" in content:
        raise NotText(f"The text for {path} holds a NUL character; leave it out.")
    if len(content) > MAX_WRITE_BYTES:
        raise FileTooLarge(f"{path} would have {len(content)} bytes, more than {MAX_WRITE_BYTES}; split the file.")
    return content


def _lines_of(passage: str, text: str) -> list[int]:
    """The line numbers at which `passage` begins, overlapping occurrences included; [] for an empty passage."""
    lines, number, start = [], 1, 0
    found = text.find(passage) if passage else -1
    while found >= 0:
        number += text.count("\n", start, found)
        lines.append(number)
        start, found = found, text.find(passage, found + 1)
    return lines


def _explain_edit(path: str, old_text: str, text: str, lines: list[int]) -> str:
    if lines:
        where = ", ".join(map(str, lines[:5])) + (", …" if len(lines) > 5 else "")
        return (
            f"old_text occurs {len(lines)} times in {path} (lines {where}); it must occur once: "
            "take in more of the lines around the one you mean."
        )
    if old_text.strip() and " ".join(old_text.split()) in " ".join(text.split()):
        return f"old_text occurs 0 times in {path} as it is, but with other spaces or line breaks: copy it exactly."
    return f"old_text occurs 0 times in {path}; read the file again and copy the passage exactly."
