"""Status words in their spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.stories.statuses import read_status
from swarm.stories.story import StoryStatus


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("backlog", "backlog"),
        ("To Do", "backlog"),
        ("Draft", "draft"),
        ("DRAFT", "draft"),
        ("drafted", "ready-for-dev"),
        ("ready-for-dev", "ready-for-dev"),
        ("ready_for_dev", "ready-for-dev"),
        ("ReadyForDev", "ready-for-dev"),
        ("Ready for Development", "ready-for-dev"),
        ("Approved", "ready-for-dev"),
        ("InProgress", "in-progress"),
        ("inprogress", "in-progress"),
        ("In Progress", "in-progress"),
        ("contexted", "in-progress"),
        ("in-review", "review"),
        ("Ready for Review", "review"),
        ("Ready for Done", "review"),
        ("Review (second round)", "review"),
        ("✅ Done", "done"),
        ("**Completed**", "done"),
        ("Done - merged by Ann", "done"),
        ("Done. All tests pass.", "done"),
        ("Draft -> Approved -> InProgress", "in-progress"),
        ("blocked", "blocked"),
        ("awaiting-operator", "blocked"),
        ("deferred", "blocked"),
        ("Erledigt", "done"),
        ("En cours", "in-progress"),
        ("已完成", "done"),
    ],
)
def test_a_word_is_known_in_all_its_spellings(written: str, status: str) -> None:
    assert read_status(written) == status


@pytest.mark.parametrize(
    "written", ["", "?", "pending", "cancelled", "optional", "Approved, but wait", "not done", "N/A"]
)
def test_a_word_that_is_not_in_the_table_is_unknown(written: str) -> None:
    assert read_status(written) is StoryStatus.UNKNOWN


@given(st.sampled_from([status for status in StoryStatus if status is not StoryStatus.UNKNOWN]), st.data())
def test_case_and_dashes_and_emphasis_do_not_matter(status: StoryStatus, data: st.DataObject) -> None:
    dash = data.draw(st.sampled_from(["-", "_", " ", "  "]))
    around = data.draw(st.sampled_from(["", "*", "**", "`", "_", " ", "🎉 "]))
    word = data.draw(st.sampled_from([str.upper, str.lower, str.title]))(status.value.replace("-", dash))
    assert read_status(f"{around}{word}{around}") is status


@given(st.text())
def test_any_text_has_some_status(written: str) -> None:
    assert isinstance(read_status(written), StoryStatus)
