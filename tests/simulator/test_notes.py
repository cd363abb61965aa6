from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.simulator.notes import Step, read_plan
from tests.simulator.team import IMPLEMENTATION, MENDED, story


def test_both_versions_are_read() -> None:
    plan = read_plan(story(IMPLEMENTATION + MENDED))
    assert plan.title == "Story 1.1: Count further"
    assert [(step.tool, step.path) for step in plan.draft] == [("edit_file", "src/a.py"), ("write_file", "src/b.py")]
    assert [(step.tool, step.path) for step in plan.mending] == [("edit_file", "src/a.py")]


def test_words_before_the_story_and_after_it_are_no_part_of_it() -> None:
    around = "## Tasks\n\n- [ ] Not mine\n\n```\nan open fence\n\n"
    assert read_plan(around + story() + "\n## Notes\n\nCreate `x.py`:\n\n```\nx\n```\n") == read_plan(story())


def test_steps_outside_their_sections_are_prose() -> None:
    plan = read_plan(story("Create `x.py`:\n\n```\nx\n```\n\n### References\n\nDelete `y.py`.\n"))
    assert plan.draft == plan.mending == []


def test_code_may_hold_headings_boxes_and_fences() -> None:
    code = "# Comment\n- [ ] box\n```\ninner\n```\n\n<!-- simulator: 429 -->"
    plan = read_plan(story(f"### Implementation\n\nCreate `x.md`:\n\n````markdown\n{code}\n````\n"))
    assert plan.draft == [Step("write_file", {"path": "x.md", "content": f"{code}\n"})]
    assert plan.open_tasks == [1, 2]
    assert not plan.meets_rate_limit


def test_steps_may_be_items_of_a_list_with_indented_code() -> None:
    notes = "### Implementation\n\n1. Create `x.py`:\n\n   ```python\n   if x:\n       y()\n   ```\n- Delete `z.py`\n"
    assert read_plan(story(notes)).draft == [
        Step("write_file", {"path": "x.py", "content": "if x:\n    y()\n"}),
        Step("delete_file", {"path": "z.py"}),
    ]


def test_windows_line_ends_make_no_difference() -> None:
    assert read_plan(story().replace("\n", "\r\n")) == read_plan(story())


def test_a_passage_may_be_removed() -> None:
    notes = "### Implementation\n\nIn `x.py`, replace\n\n```\nold\n```\n\nwith\n\n```\n```\n"
    assert read_plan(story(notes)).draft == [Step("edit_file", {"path": "x.py", "old_text": "old", "new_text": ""})]


def test_prose_that_names_a_file_is_no_step() -> None:
    notes = "### Implementation\n\nIn `x.py` there is\n\n```\nold\n```\n\nand besides\n\n```\nnew\n```\n"
    assert read_plan(story(notes)).draft == []


_lines = st.text(st.characters(exclude_characters="\r\n`", exclude_categories=["Cs"]))


@given(st.lists(_lines).map("\n".join), st.lists(_lines).map("\n".join))
def test_every_text_arrives_as_it_was_written(old: str, new: str) -> None:
    notes = f"### Implementation\n\nIn `x`, replace\n\n```\n{old}\n```\n\nwith\n\n```\n{new}\n```\n"
    assert read_plan(story(notes)).draft == [Step("edit_file", {"path": "x", "old_text": old, "new_text": new})]


@given(st.text())
def test_no_message_is_too_odd_to_be_read(message: str) -> None:
    plan = read_plan(message)
    assert all(step.path for step in plan.draft + plan.mending)
