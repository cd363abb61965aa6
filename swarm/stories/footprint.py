"""The files that a story's text says it will touch, and the commands it says will prove it.

A prediction, used to order the start of stories; the claim at the first write decides. Documents that a story cites as
sources (`[Source: docs/architecture.md]`) are read, not touched, and left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from swarm.stories.boxes import read_item
from swarm.stories.document import Document
from swarm.stories.parts import Part

_CODE_SPAN = re.compile(r"`([^`]{1,300})`")
_SOURCE = re.compile(r"\[Source:[^\]]{0,300}\]", re.IGNORECASE)
_PATH = re.compile(r"[\w.@+~()\[\]-]+(?:/[\w.@+~()\[\]-]+)*/?")
_SUFFIX = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}")
_NAMES_WITHOUT_SUFFIX = frozenset(("Makefile", "Dockerfile", "Gemfile", "Rakefile", "Procfile", "LICENSE"))
# Without a folder only these make a file: `order.total` and `json.loads` are names in a program.
_SUFFIX_WORDS = (
    "py pyi js jsx ts tsx mjs cjs vue svelte html htm css scss sass less json yaml yml toml ini cfg md mdx rst txt sh "
    "bash ps1 sql rs go java kt kts swift c h cc cpp hpp cs fs rb php ex exs erl scala dart lua r jl tf proto graphql "
    "xml svg lock env gradle csproj sln"
)
_SUFFIXES = frozenset(_SUFFIX_WORDS.split(" "))
_LINE_SUFFIX = re.compile(r"(?::[0-9]{1,7}){1,2}(?:-[0-9]{1,7})?$|#L?[0-9-]{1,15}$")
_TREE_BRANCH = re.compile(r"[\s│|]*[├└+`|][─-]{1,3}[ \t]*")
_LONGEST_PATH = 300


def predict_files(document: Document) -> tuple[str, ...]:
    """Paths named in the code map, the file list, sections about files, the tasks, and drawn source trees.

    A bare file name is left out where a path that ends in it is named too.
    """
    paths: dict[str, None] = {}
    for line in document.lines_of(Part.CODE_MAP, Part.FILE_LIST, Part.FILES):
        paths.update(dict.fromkeys(_listed_paths(document.text_at(line))))
    for line in document.lines_of(Part.TASKS, Part.TASKS_AND_ACCEPTANCE):
        paths.update(dict.fromkeys(_quoted_paths(document.text_at(line))))
    paths.update(dict.fromkeys(_tree_paths(document, document.lines_of(Part.DEV_NOTES, Part.FILES))))
    full_names = {path.rpartition("/")[2] for path in paths if "/" in path}
    return tuple(path for path in paths if path not in full_names)


def read_commands(document: Document) -> tuple[str, ...]:
    """The commands below `Verification`: each item's first code span, and the lines of its shell blocks."""
    commands: dict[str, None] = {}
    for line in document.lines_of(Part.VERIFICATION):
        if document.text_at(line).startswith("**Manual"):
            break
        if document.is_code[line]:
            commands[document.bare[line].strip().removeprefix("$ ")] = None
        else:
            item = read_item(document.text_at(line))
            span = _CODE_SPAN.match(item.text) if item else None
            if span:
                commands[span[1].strip()] = None
    return tuple(command for command in commands if command and not command.startswith("#"))


def _listed_paths(text: str) -> Iterator[str]:
    """Quoted paths, and the first word of a list item where it is a path."""
    yield from _quoted_paths(text)
    item = read_item(text)
    words = item.text.replace("**", "").split(maxsplit=1) if item else []
    if words and not words[0].startswith("`"):
        yield from _paths([words[0]])


def _quoted_paths(text: str) -> Iterator[str]:
    if "`" in text:
        yield from _paths(_CODE_SPAN.findall(_SOURCE.sub("", text)))


def _paths(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        path = _LINE_SUFFIX.sub("", word.strip().rstrip(",;:")).removeprefix("./")
        if _is_path(path):
            yield path


def _is_path(word: str) -> bool:
    """Whether a word is a relative path of a file, or of a folder written with its final slash."""
    if len(word) > _LONGEST_PATH or not _PATH.fullmatch(word) or ".." in word.split("/"):
        return False
    folder, _, name = word.rpartition("/")
    if not name:
        return bool(folder)
    if name in _NAMES_WITHOUT_SUFFIX:
        return True
    stem, _, suffix = name.rpartition(".")
    if not folder:
        return bool(stem) and suffix.lower() in _SUFFIXES
    return "." in name and _SUFFIX.fullmatch(suffix) is not None


def _tree_paths(document: Document, lines: Iterable[int]) -> Iterator[str]:
    """The files of a tree drawn with branches: a name's depth is the column at which it stands."""
    folders: list[tuple[int, str]] = []
    for line in lines:
        text = document.bare[line]
        branch = _TREE_BRANCH.match(text) if document.is_code[line] else None
        column = branch.end() if branch else 0
        name = text[column:].split("#")[0].split("<-")[0].split("←")[0].strip()
        if not document.is_code[line]:
            folders.clear()
            continue
        if not name or " " in name:
            continue
        while folders and folders[-1][0] >= column:
            folders.pop()
        path = "".join(folder for _, folder in folders) + name
        if name.endswith("/"):
            folders.append((column, name.removeprefix("./")))
        elif branch and _is_path(path):
            yield path
