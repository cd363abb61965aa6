"""What a story says, made ready for its page: harmless, and bounded however long the file is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.utils.safestring import SafeString

from swarm.stories.document import Document
from swarm.stories.story import Story
from swarm.web.markdown import InlineMarkdown, render_block

MAX_ITEMS = 300
"""Criteria, steps of one criterion, and boxes of tasks that a page shows."""


@dataclass(frozen=True)
class ShownCriterion:
    """A criterion with its steps as keyword and text; `text` is empty where there are steps."""

    number: str
    steps: tuple[tuple[str, SafeString], ...]
    text: SafeString | str


@dataclass(frozen=True)
class ShownBox:
    """A task or a subtask."""

    text: SafeString
    is_done: bool
    is_subtask: bool


@dataclass(frozen=True)
class ShownFile:
    """The file as HTML, with its front matter apart; `is_cut` where it is too long to be shown whole."""

    front_matter: str
    html: SafeString
    is_cut: bool


def shown_criteria(story: Story) -> list[ShownCriterion]:
    markdown = InlineMarkdown()
    return [
        ShownCriterion(
            criterion.number,
            tuple((step.keyword, markdown.render(step.text)) for step in criterion.steps[:MAX_ITEMS]),
            "" if criterion.steps else markdown.render(criterion.text),
        )
        for criterion in story.acceptance_criteria[:MAX_ITEMS]
    ]


def shown_tasks(story: Story) -> list[ShownBox]:
    """Each task, followed by its subtasks."""
    return list(islice(_boxes(story, InlineMarkdown()), MAX_ITEMS))


def shown_file(story: Story) -> ShownFile:
    document = Document(story.text)
    front_matter = "".join(document.lines[: document.front_matter.stop])
    html, is_cut = render_block(story.text[len(front_matter) :])
    return ShownFile(front_matter.strip(), html, is_cut)


def _boxes(story: Story, markdown: InlineMarkdown) -> Iterator[ShownBox]:
    for task in story.tasks:
        yield ShownBox(markdown.render(task.text), task.done, is_subtask=False)
        for subtask in task.subtasks:
            yield ShownBox(markdown.render(subtask.text), subtask.done, is_subtask=True)
