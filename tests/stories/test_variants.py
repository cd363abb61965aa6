"""Every hand-made variant is read as its table says."""

from __future__ import annotations

import pytest

from swarm.stories.reader import read_story
from swarm.stories.story import Story, Task

from .variants import UNCHECKED, VARIANTS, Variant


def _box(task: Task) -> str:
    subtasks = "".join("x" if subtask.done else "-" for subtask in task.subtasks)
    return ("x" if task.done else "-") + (f":{subtasks}" if subtasks else "")


def _read(story: Story) -> dict[str, object]:
    return {
        "id": story.id,
        "epic": story.epic,
        "title": story.title,
        "status": story.status.value,
        "written": story.status_as_written,
        "sentence": story.sentence,
        "boxes": [_box(task) for task in story.tasks],
        "criteria": [criterion.number for criterion in story.acceptance_criteria],
        "refs": [task.acceptance_criteria for task in story.tasks],
        "files": list(story.footprint),
        "commands": list(story.verification_commands),
        "depends_on": [dependency.story_id for dependency in story.dependencies],
    }


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_is_read_as_its_table_says(variant: Variant) -> None:
    data = variant.text.encode()
    story = read_story(data, variant.path, on_board=variant.on_board)

    assert (story is not None) is variant.is_story
    if story is None:
        return
    expected = {name: getattr(variant, name) for name in _read(story)}
    expected = {name: value for name, value in expected.items() if value is not UNCHECKED}
    assert {name: value for name, value in _read(story).items() if name in expected} == expected
    assert story.text == variant.text
    if variant.problem:
        assert any(variant.problem in str(problem) for problem in story.problems), story.problems


def test_the_table_holds_the_sixty_variants_that_were_asked_for() -> None:
    assert len(VARIANTS) >= 60
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
