"""`stories.yaml`: what it plans, and what is wrong with it."""

from __future__ import annotations

import pytest

from swarm.stories.planned import read_planned
from swarm.stories.story import StoryStatus


def test_stories_are_read_in_order_with_ids_as_written() -> None:
    planned, problems = read_planned(
        b'- id: "2"\n  title: Pour\n  description: >\n    Slowly,\n    please.\n- id: 1.10\n'
    )
    assert [(plan.id, plan.title, plan.description) for plan in planned] == [
        ("2", "Pour", "Slowly, please."),
        ("1.10", "1.10", ""),
    ]
    assert problems == []


def test_a_story_without_a_file_is_in_the_backlog_and_says_so() -> None:
    planned, _ = read_planned(b'- id: "2"\n  title: Pour\n  description: Slowly.\n')
    story = planned[0].as_story("specs/tea/stories.yaml")
    assert (story.status, story.has_own_file, story.is_ready) == (StoryStatus.BACKLOG, False, False)
    assert (story.sentence, story.text) == ("Slowly.", "Pour\n\nSlowly.")
    assert "no file of its own" in str(story.problems[0])


def test_half_characters_are_replaced() -> None:
    planned, _ = read_planned(b'- id: "a\\ud800"')
    assert planned[0].id == "a?"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"- id: 1\n  title: [\n", "line 3: the file is not YAML"),
        (b"stories: []\n", "must be a list"),
        (b"", "must be a list"),
        (b"- title: x\n", "entry 1 has no id"),
        (b"- just text\n", "entry 1 has no id"),
        (b"- id: a\n- id: a\n", "entry 2 has the id a, which an earlier one has"),
        (b"- id: a\n  id: b\n", "line 2: the file is not YAML"),
        (b"- id: [1]\n", "entry 1 has no id"),
        (b"[" * 5000, "line 1: the file is not YAML: maximum depth"),
        (b'- id: "\\UFFFFFFFF"', "the file is not YAML"),
        (b"%YAML " + b"9" * 5000 + b".1\n---\n- a", "the file is not YAML"),
        (b"- ? {a: b}\n  : c", "line 1: the file is not YAML"),
        (b"- &a [*a]", "entry 1 has no id"),
        (b"x" * 300_000, "larger than 262,144 bytes"),
    ],
)
def test_what_cannot_be_read_is_a_problem(data: bytes, problem: str) -> None:
    _, problems = read_planned(data)
    assert [problem in str(found) for found in problems] == [True]
