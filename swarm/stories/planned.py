"""`stories.yaml`: the stories of a spec in the order of their execution, some of them without a file yet.

It never holds a status. A story that has a file is read from that file; one that has none is in the backlog, which is
what the method calls a story that only its plan announces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from swarm.stories.story import Problem, Story, StoryStatus

_MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class PlannedStory:
    """One entry of `stories.yaml`; the id is a prefix of its file's name and of no other."""

    id: str
    title: str
    description: str

    def as_story(self, path: str) -> Story:
        """The story while it has no file; `path` is that of `stories.yaml`."""
        return Story(
            id=self.id,
            title=self.title,
            path=path,
            status=StoryStatus.BACKLOG,
            status_as_written="",
            epic="",
            sentence=" ".join(self.description.split()),
            acceptance_criteria=(),
            tasks=(),
            dev_notes="",
            footprint=(),
            verification_commands=(),
            dependencies=(),
            problems=(Problem(None, "the story is planned, but has no file of its own yet"),),
            text=f"{self.title}\n\n{self.description}",
        )


def read_planned(data: bytes) -> tuple[list[PlannedStory], list[Problem]]:
    """The entries in order and what is wrong with the file. Raises on no input."""
    if len(data) > _MAX_BYTES:
        return [], [Problem(None, f"the file is larger than {_MAX_BYTES:,} bytes and is not read")]
    # The base loader leaves every scalar a string: to YAML an unquoted 1.10 is the number 1.1.
    yaml = YAML(typ="base", pure=True)
    yaml.max_depth = _MAX_DEPTH
    yaml.composer.warn_double_anchors = False
    try:
        document = yaml.load(data.decode("utf-8", errors="replace"))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return [], [
            Problem(mark.line + 1 if mark else None, f"the file is not YAML: {getattr(error, 'problem', error)}")
        ]
    except (ValueError, OverflowError) as error:  # from escapes and directives with absurd numbers
        return [], [Problem(None, f"the file is not YAML: {error}")]
    if not isinstance(document, list):
        return [], [Problem(None, "the file must be a list of stories, each with an id and a title")]
    problems: list[Problem] = []
    return list(_entries(document, problems)), problems


def _entries(document: list[object], problems: list[Problem]) -> Iterator[PlannedStory]:
    ids: set[str] = set()
    for number, entry in enumerate(document, start=1):
        fields = entry if isinstance(entry, dict) else {}
        story_id, title, description = (_text(fields.get(key)) for key in ("id", "title", "description"))
        if not story_id:
            problems.append(Problem(None, f"entry {number} has no id and is left out"))
        elif story_id in ids:
            problems.append(
                Problem(None, f"entry {number} has the id {story_id}, which an earlier one has; it is left out")
            )
        else:
            ids.add(story_id)
            yield PlannedStory(story_id, title or story_id, description)


def _text(value: object) -> str:
    """A string without half characters, which an escape can make and UTF-8 cannot hold."""
    return value.strip().encode(errors="replace").decode() if isinstance(value, str) else ""
