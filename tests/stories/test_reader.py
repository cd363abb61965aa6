"""The reader as a whole: sizes, bytes that are no text, and what it must never do."""

from __future__ import annotations

import pytest

from swarm.stories.reader import MAX_STORY_BYTES, read_story
from swarm.stories.story import Story, StoryStatus, story_order

from .variants import V6


def _problems(story: Story) -> list[str]:
    return [str(problem) for problem in story.problems]


def test_a_well_made_story_has_no_problems() -> None:
    story = read_story(V6.encode(), "s/1-2-brew.md")
    assert story is not None
    assert story.problems == ()


def test_the_text_is_the_file_unchanged() -> None:
    text = "\ufeff" + V6.replace("\n", "\r\n").replace("Keep", "K\0\u2028eep") + "no final line end  "
    story = read_story(text.encode(), "s/1-2-brew.md")
    assert story is not None
    assert story.text == text


def test_bytes_that_are_not_utf8_are_a_problem_with_their_line() -> None:
    story = read_story(V6.encode().replace(b"Keep", b"K\xffeep"), "s/1-2-brew.md")
    assert story is not None
    assert _problems(story) == ["line 29: some bytes are not UTF-8; save the file as UTF-8"]
    assert story.status is StoryStatus.READY


def test_utf16_is_named() -> None:
    story = read_story(V6.encode("utf-16"), "s/1-2-brew.md", on_board=True)
    assert story is not None
    assert "the file is UTF-16; save it as UTF-8" in _problems(story)
    assert story.status is StoryStatus.UNKNOWN


def test_no_field_holds_what_a_database_cannot() -> None:
    story = read_story(V6.replace("Brew the tea", "Br\0ew").encode() + b"\xed\xa0\x80", "s/1-2-brew.md")
    assert story is not None
    assert story.title == "Br\ufffdew"
    story.text.encode()


def test_a_story_above_the_limit_is_cut_said_so_and_never_started() -> None:
    filler = "- [ ] é\n" * (MAX_STORY_BYTES // 8)
    story = read_story((V6.replace("## Dev Notes", filler + "## Dev Notes")).encode(), "s/1-2-brew.md")
    assert story is not None
    assert story.status is StoryStatus.UNKNOWN
    assert story.status_as_written == "ready-for-dev"
    assert story.title == "Brew the tea"
    assert "larger than 262,144 bytes" in _problems(story)[0]
    assert not any("UTF-8" in problem for problem in _problems(story))


def test_a_story_just_at_the_limit_is_whole() -> None:
    data = V6.encode()
    story = read_story(data + b" " * (MAX_STORY_BYTES - len(data)), "s/1-2-brew.md")
    assert story is not None
    assert story.is_ready


def test_the_problem_of_a_missing_part_points_to_its_heading() -> None:
    emptied = read_story(b"# Story 1.1: x\n\nStatus: draft\n\n## Acceptance Criteria\n\n## Tasks\n", "x/1-1-a.md")
    assert emptied is not None
    assert _problems(emptied) == ["line 5: no acceptance criteria were found", "line 7: no tasks were found"]


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.1", "1.2", "1.2a", "1.9", "1.10", "2.1", "10.1"],
        ["6", "6.1", "6a.1", "7.1"],
        ["1.5.3", "1.5.6", "1.5.10"],
        ["2.1", "login", "spec-scones"],
    ],
)
def test_stories_are_ordered_as_people_count(ordered: list[str]) -> None:
    assert sorted([*ordered[1:], ordered[0]], key=story_order) == ordered
