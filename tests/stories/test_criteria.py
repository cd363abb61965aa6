"""Criteria with their Given/When/Then steps and their places in the file."""

from __future__ import annotations

import pytest

from swarm.stories.criteria import read_steps
from swarm.stories.reader import read_story
from swarm.stories.story import Step

from .variants import V6


def test_a_criterion_knows_its_lines_and_keeps_its_text() -> None:
    story = read_story(V6.encode(), "s/1-2-brew.md")
    assert story is not None
    first, second = story.acceptance_criteria
    assert (first.line, first.last_line, second.line, second.last_line) == (15, 16, 17, 19)
    assert first.text == "**Given** leaves **When** water is poured **Then** tea is made\n**And** it is hot"


@pytest.mark.parametrize(
    ("lines", "steps"),
    [
        (
            ["**Given** a pot **When** poured **Then** tea"],
            [("Given", "a pot"), ("When", "poured"), ("Then", "tea")],
        ),
        (["- Given a pot, when poured, then tea."], [("Given", "a pot"), ("When", "poured"), ("Then", "tea.")]),
        (
            ["**Hot tea**", "- **GIVEN** a pot", "- **WHEN** poured", "- **AND** stirred"],
            [("Given", "a pot"), ("When", "poured"), ("And", "stirred")],
        ),
        (["Given a pot", "of iron", "Then tea"], [("Given", "a pot of iron"), ("Then", "tea")]),
        (["The list shows items", "And the total, then the tax"], []),
        (["It works and then stops"], []),
        (
            ["**Given** a pot", "and more, then tea", "**Then** done"],
            [("Given", "a pot and more, then tea"), ("Then", "done")],
        ),
        ([], []),
    ],
)
def test_steps_are_found_a_line_each_or_several_in_one(lines: list[str], steps: list[tuple[str, str]]) -> None:
    assert read_steps(lines) == tuple(Step(keyword, text) for keyword, text in steps)
