"""Tasks with their places in the file, and counts of a story."""

from __future__ import annotations

from swarm.stories.reader import read_story
from swarm.stories.story import Story

from .variants import SPEC, V3, V6


def _story(text: str, path: str = "s/1-2-brew.md") -> Story:
    story = read_story(text.encode(), path)
    assert story is not None
    return story


def test_tasks_are_numbered_from_one_and_know_their_lines() -> None:
    tasks = _story(V6).tasks
    assert [(task.number, task.line, task.last_line) for task in tasks] == [(1, 23, 24), (2, 25, 25)]
    assert tasks[0].text == "Task 1: Pour (AC: 1, 2)"
    assert (tasks[0].subtasks[0].text, tasks[0].subtasks[0].line) == ("Subtask 1.1: in `pot/pour.py`", 24)


def test_a_wrapped_task_is_one_text() -> None:
    text = V6.replace("- [ ] Task 1: Pour (AC: 1, 2)\n", "- [ ] Task 1: Pour\n  slowly\n\n  (in a thin stream)\n")
    assert _story(text).tasks[0].text == "Task 1: Pour slowly"


def test_top_level_tasks_are_counted() -> None:
    assert (_story(V3, "2.4.md").tasks_done, _story(V3, "2.4.md").tasks_total) == (1, 2)
    assert (_story(SPEC, "spec-scones.md").tasks_done, _story(SPEC, "spec-scones.md").tasks_total) == (1, 2)


def test_only_a_story_that_is_ready_may_start_by_itself() -> None:
    assert _story(V6).is_ready
    for status in ("Draft", "review", "done", "blocked", "simmering", ""):
        assert not _story(V6.replace("ready-for-dev", status)).is_ready
