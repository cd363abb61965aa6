"""The Dev Agent Record and the Change Log are filled where they are, or made where they are missing."""

from __future__ import annotations

import datetime
import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.stories.reader import read_story
from swarm.stories.writer import Change, record_completion

from .strategies import model_texts
from .variants import SPEC, V3, V4, V6

CHANGE = Change(datetime.date(2026, 1, 2), "Brewed | poured", "developer-1")


def _added(before: str, after: bytes) -> list[str]:
    """The lines that `after` has more; it must not have lost any."""
    compared = list(difflib.ndiff(before.splitlines(), after.decode().splitlines()))
    assert not [line for line in compared if line.startswith("-")]
    return [line[2:] for line in compared if line.startswith("+ ")]


def _record(text: str, notes: str = "Poured it.", files: tuple[str, ...] = ("pot/pour.py",)) -> bytes:
    return record_completion(text.encode(), model="some-model", notes=notes, files=files, change=CHANGE)


def test_a_v6_record_is_filled_and_its_placeholder_replaced() -> None:
    written = _record(V6).decode()
    assert written == V6.replace("{{agent_model_name_version}}", "some-model").replace(
        "### Completion Notes List\n\n### File List\n",
        "### Completion Notes List\n\n- Poured it.\n\n### File List\n\n- pot/pour.py\n",
    )


def test_a_v4_record_is_filled_and_its_change_log_gets_a_row() -> None:
    assert [line for line in _added(V4, _record(V4)) if line] == [
        "| 2026-01-02 |  | Brewed \\| poured | developer-1 |",
        "some-model",
        "- Poured it.",
        "- pot/pour.py",
    ]


def test_a_v3_record_keeps_its_heading_and_gets_a_file_list() -> None:
    added = _added(V3, _record(V3))
    assert [line for line in added if line] == [
        "some-model",
        "- Poured it.",
        "- 2026-01-02: Brewed | poured (developer-1)",
        "### File List",
        "- pot/pour.py",
    ]


def test_a_heading_that_waits_for_its_value_gets_it() -> None:
    text = V3.replace("Agent Model Used: `some-model`", "Agent Model Used: {{model}}")
    assert "### Agent Model Used: some-model\n" in _record(text).decode()


def test_a_spec_gets_a_record_at_its_end() -> None:
    written = _record(SPEC).decode()
    assert written.startswith(SPEC.split("## Spec Change Log")[0])
    assert written.endswith(
        "- `look` at them\n\n## Dev Agent Record\n\n### Agent Model Used\n\nsome-model\n\n"
        "### Completion Notes List\n\n- Poured it.\n\n### File List\n\n- pot/pour.py\n"
    )


def test_a_missing_record_is_made_before_the_reviews() -> None:
    written = _record("# Story 1.1: a\n\n## QA Results\n\nFine.\n").decode()
    assert written.index("## Dev Agent Record") < written.index("## QA Results")
    assert "\n- pot/pour.py\n\n## QA Results\n" in written


def test_what_an_earlier_attempt_recorded_stays_and_files_are_listed_once() -> None:
    once = record_completion(V6.encode(), model="m", notes="One.", files=["a.py", "b.py"])
    twice = record_completion(once, model="n", notes="Two.", files=["b.py", "c.py"])
    assert sorted(_added(once.decode(), twice)) == ["", "- Two.", "- c.py", "n"]


def test_a_file_list_in_code_marks_is_continued_in_code_marks() -> None:
    text = V6 + "\n- `a.py`: new\n"
    assert record_completion(text.encode(), model="m", notes="", files=["a.py", "b.py"]).endswith(b": new\n- `b.py`\n")


def test_a_file_without_a_final_line_end_gets_none() -> None:
    assert not _record("# Story 1.1: a\n\ntext").endswith(b"\n")


def test_windows_line_ends_are_kept() -> None:
    written = _record(V4.replace("\n", "\r\n"))
    assert written.count(b"\n") == written.count(b"\r\n")


def test_of_several_placeholders_one_is_replaced_and_the_others_go() -> None:
    text = V6.replace("{{agent_model_name_version}}", "{{name}}\n{{version}}")
    assert "### Agent Model Used\n\nsome-model\n\n### Debug" in _record(text).decode()


def test_hints_that_wait_to_be_filled_are_replaced() -> None:
    text = V6.replace("### Completion Notes List\n", "### Completion Notes List\n\n_To be filled by the developer._\n")
    written = _record(text).decode()
    assert "To be filled" not in written
    assert "### Completion Notes List\n\n- Poured it.\n\n### File List" in written


def test_a_models_name_is_never_a_heading_or_a_comment() -> None:
    for name in ("## Status", "<!-- x", "```sh", "- [x] all", "| Status | Done |", "==="):
        story = read_story(record_completion(V6.encode(), model=name, notes="", files=[]), "s/1-2-brew.md")
        assert story is not None
        assert (story.status.value, story.tasks_done, story.problems) == ("ready-for-dev", 0, ())


@pytest.mark.parametrize(
    "notes",
    [
        "## Status\n\ndone",
        "## Tasks\n- [x] all",
        "```\nopen",
        "<!-- open",
        "---\nstatus: done\n---",
        "a\r\nStatus: done",
        "-->",
        "\ud800\0",
    ],
)
def test_notes_from_a_model_cannot_change_how_the_story_reads(notes: str) -> None:
    before = read_story(V6.encode(), "s/1-2-brew.md")
    after = read_story(_record(V6, notes=notes), "s/1-2-brew.md")
    assert before is not None
    assert after is not None
    assert (after.status, after.tasks, after.problems) == (before.status, before.tasks, before.problems)


@given(model_texts, model_texts, st.lists(model_texts, max_size=3), st.sampled_from([V3, V4, V6, SPEC]))
def test_whatever_is_recorded_the_story_reads_as_before(notes: str, model: str, files: list[str], text: str) -> None:
    before = read_story(text.encode(), "s/1-2-brew.md")
    written = record_completion(text.encode(), model=model, notes=notes, files=files, change=CHANGE)
    after = read_story(written, "s/1-2-brew.md")
    assert before is not None
    assert after is not None
    assert (after.status, after.tasks, after.acceptance_criteria) == (
        before.status,
        before.tasks,
        before.acceptance_criteria,
    )
    assert after.problems == before.problems
