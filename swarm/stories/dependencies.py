"""Stories that a story's text names as coming first. The method has no field for it, so these are suggestions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from swarm.stories.document import Document
from swarm.stories.parts import Part, split_label
from swarm.stories.story import Dependency

_ID = r"[0-9]{1,4}[a-z]?[.-][0-9]{1,4}[a-z]?(?:\.[0-9]{1,4}[a-z]?){0,2}(?!\w|\.[0-9])"
_NAMED = re.compile(
    rf"\b(?:stor(?:y|ies)|histoires?|historias?|histórias?|storie|storia|故事)\s{{0,3}}#?({_ID})", re.IGNORECASE
)
_FURTHER = re.compile(rf"\s{{0,3}}(?:,|&|\+|/|and|et|und|y|e)\s{{0,3}}(?:and\s)?(?:story\s)?({_ID})", re.IGNORECASE)
_ONLY_IDS = re.compile(rf"(?<![\w.]){_ID}")
_LABEL_WORDS = (
    "depends on, dependency, dependencies, depends, blocked by, requires, prerequisite, prerequisites, "
    "prerequisite stories, story dependencies, bloqueada por, "
    "bloqueado por, dépend de, dépendances, hängt ab von, abhängig von, abhängigkeiten, "
    "depende de, dependencias, dependências, dipende da, dipendenze, 依赖"
)
_LABELS = frozenset(_LABEL_WORDS.split(", "))
_KEYS = frozenset(("depends_on", "dependencies", "depends", "blocked_by", "requires"))
_LONGEST_LABEL = 60


def read_dependencies(document: Document, own_id: str) -> tuple[Dependency, ...]:
    """What the front matter, lines such as `**Depends on:** Story 1.1` and a section of dependencies name."""
    found: dict[str, Dependency] = {}
    for line, ids in _mentions(document):
        for story_id in ids:
            if story_id != own_id:
                found.setdefault(story_id, Dependency(story_id, line + 1))
    return tuple(found.values())


def _mentions(document: Document) -> Iterator[tuple[int, Iterable[str]]]:
    yield from _in_front_matter(document)
    for line in document.lines_of(Part.DEPENDENCIES):
        heading = document.section_at(line)
        text = split_label(heading.title)[1] if heading else document.text_at(line)
        yield line, _ids_in(text, bare_ids=heading is not None)
    for line in range(len(document.lines)):
        text = document.text_at(line)
        if ":" not in text and "：" not in text:
            continue
        label, value = split_label(text)
        if value and len(label) <= _LONGEST_LABEL and _is_label(label):
            yield line, _ids_in(value, bare_ids=True)


def _is_label(label: str) -> bool:
    return label.strip(" \t-*+>_`#|").casefold() in _LABELS


def _in_front_matter(document: Document) -> Iterator[tuple[int, Iterable[str]]]:
    """`depends_on: [1.1, 1.2]`, or one `- 1.1` a line below the key."""
    inside = False
    for line in document.front_matter:
        text = document.bare[line]
        if text[:1] not in " \t-":
            key, value = split_label(text)
            inside = key.casefold().replace("-", "_") in _KEYS
            text = value
        if inside:
            yield line, [found.replace("-", ".") for found in _ONLY_IDS.findall(text)]


def _ids_in(text: str, *, bare_ids: bool) -> list[str]:
    """The ids behind the word "story" and those joined to one. Other numbers may be versions ("Django 5.2").

    With `bare_ids` a text that begins with an id counts as if the word stood before it.
    """
    ids: list[str] = []
    if bare_ids:
        opening = _ONLY_IDS.match(text.lstrip(" *_`[#"))
        text = f"story {text.lstrip(' *_`[#')}" if opening else text
    position = 0
    while named := _NAMED.search(text, position):
        position = named.end()
        ids.append(named[1])
        while further := _FURTHER.match(text, position):
            position = further.end()
            ids.append(further[1])
    return [story_id.replace("-", ".", 1) for story_id in ids]
