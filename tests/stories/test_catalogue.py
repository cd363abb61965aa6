"""The catalogue: ids, order, the board beside the files, drift and its repair."""

from __future__ import annotations

import pytest

from swarm.stories.catalogue import Catalogue, apply_repairs, read_catalogue
from swarm.stories.errors import AmbiguousStory, NoStories

from .variants import SPEC, V4


def _story(number: str, status: str = "ready-for-dev") -> bytes:
    work = "## Acceptance Criteria\n\n1. a\n\n## Tasks\n\n- [ ] b\n"
    return f"# Story {number}: Tea {number}\n\nStatus: {status}\n\n{work}".encode()


def _board(**entries: str) -> bytes:
    lines = "".join(f"  {key.replace('_', '-').removeprefix('k-')}: {status}\n" for key, status in entries.items())
    return f"# board\ndevelopment_status:\n{lines}".encode()


def _with_board(board: bytes, **statuses: str) -> Catalogue:
    files = {f"s/{key.replace('_', '-').removeprefix('k-')}.md": status for key, status in statuses.items()}
    stories = {path: _story(path.removeprefix("s/")[:3].replace("-", "."), status) for path, status in files.items()}
    return read_catalogue({**stories, "s/sprint-status.yaml": board})


def test_stories_come_in_order_of_epic_and_number() -> None:
    files = {f"s/{number}.md": _story(number) for number in ("2.1", "1.10", "1.2", "1.6a", "1.6", "10.1")}
    assert [story.id for story in read_catalogue(files).stories] == ["1.2", "1.6", "1.6a", "1.10", "2.1", "10.1"]


def test_companions_and_other_files_are_no_stories() -> None:
    files = {
        "s/1-1-a.md": _story("1.1"),
        "s/1-1-a-checklist.md": b"- [ ] x\n",
        "s/README.md": b"# Stories\n",
        "s/notes.yaml": b"a: b\n",
    }
    assert [story.path for story in read_catalogue(files).stories] == ["s/1-1-a.md"]


def test_a_file_that_the_board_names_is_a_story_however_it_looks() -> None:
    catalogue = read_catalogue(
        {"s/1-1-weekly-report.md": b"", "s/sprint-status.yaml": _board(k_1_1_weekly_report="backlog")}
    )
    assert [story.id for story in catalogue.stories] == ["1.1"]


def test_an_epic_that_the_board_names_is_no_story() -> None:
    files = {"s/epic-1.md": b"# Epic 1\n", "s/sprint-status.yaml": _board(epic_1="backlog")}
    assert read_catalogue(files).stories == ()


def test_two_files_with_one_id_are_both_listed_with_a_problem_and_neither_runs() -> None:
    catalogue = read_catalogue({"s/1-1-a.md": _story("1.1"), "s/1.1.b.md": _story("1.1"), "s/1-2-c.md": _story("1.2")})
    assert [story.path for story in catalogue.stories] == ["s/1-1-a.md", "s/1.1.b.md", "s/1-2-c.md"]
    assert [str(story.problems[-1]) for story in catalogue.stories[:2]] == [
        "s/1.1.b.md has the same id 1.1; rename all but one",
        "s/1-1-a.md has the same id 1.1; rename all but one",
    ]
    assert [story.id for story in catalogue.ready()] == ["1.2"]
    with pytest.raises(AmbiguousStory, match=r"s/1-1-a\.md, s/1\.1\.b\.md"):
        catalogue.get("1.1")


def test_of_two_files_with_one_id_the_one_on_the_board_counts() -> None:
    files = {
        "s/1-1-a.md": _story("1.1"),
        "s/1-1-b.md": _story("1.1"),
        "s/sprint-status.yaml": _board(k_1_1_b="ready-for-dev"),
    }
    catalogue = read_catalogue(files)
    found = catalogue.get("1.1")
    assert found is not None
    assert found.path == "s/1-1-b.md"
    assert [story.path for story in catalogue.ready()] == ["s/1-1-b.md"]


def test_a_story_is_found_by_its_id() -> None:
    catalogue = read_catalogue({"s/1-1-a.md": _story("1.1"), "s/1.3.b.md": V4.encode()})
    assert [getattr(catalogue.get(name), "path", None) for name in ("1.1", "1.3", "1.2", "")] == [
        "s/1-1-a.md",
        "s/1.3.b.md",
        None,
        None,
    ]


def test_only_ready_stories_are_ready() -> None:
    files = {
        f"s/1-{n}-a.md": _story(f"1.{n}", status)
        for n, status in enumerate(["draft", "approved", "??", "done"], start=1)
    }
    assert [story.id for story in read_catalogue(files).ready()] == ["1.2"]


def test_an_empty_catalogue_says_what_a_story_is() -> None:
    catalogue = read_catalogue({"s/README.md": b"# Stories\n"})
    with pytest.raises(NoStories, match=r"No stories in s\. .*Status: ready-for-dev.*SWARM_STORIES"):
        catalogue.raise_if_empty("s")
    read_catalogue({"s/1-1-a.md": _story("1.1")}).raise_if_empty("s")


def test_files_and_board_that_agree_have_no_drift() -> None:
    catalogue = _with_board(
        _board(k_1_1_a="ready-for-dev", k_1_2_b="done", k_1_3_c="backlog"), k_1_1_a="Approved", k_1_2_b="done"
    )
    assert catalogue.drift == []
    assert catalogue.repairs() == []


def test_a_draft_and_the_backlog_are_the_same_to_the_board() -> None:
    assert _with_board(_board(k_1_1_a="backlog"), k_1_1_a="Draft").drift == []


def test_drift_is_reported_in_words() -> None:
    catalogue = _with_board(
        _board(k_1_1_a="backlog", k_1_2_b="done", k_1_3_c="review"), k_1_1_a="review", k_1_2_b="in-progress"
    )
    assert [(drift.key, drift.story_id, drift.text) for drift in catalogue.drift] == [
        ("1-1-a", "1.1", "the file says review, the board backlog"),
        ("1-2-b", "1.2", "the file says in-progress, the board done"),
        ("1-3-c", "1.3", "the board has 1-3-c as review, but there is no file for it"),
    ]


def test_a_repair_brings_forward_whoever_is_behind() -> None:
    files = {
        "s/1-1-a.md": _story("1.1", "review"),
        "s/1-2-b.md": _story("1.2", "in-progress"),
        "s/sprint-status.yaml": _board(k_1_1_a="backlog", k_1_2_b="done"),
    }
    catalogue = read_catalogue(files)
    assert [(repair.path, repair.before, repair.after) for repair in catalogue.repairs()] == [
        ("s/sprint-status.yaml", "backlog", "review"),
        ("s/1-2-b.md", "in-progress", "done"),
    ]
    changed = apply_repairs(files, catalogue.repairs())
    assert changed == {
        "s/sprint-status.yaml": files["s/sprint-status.yaml"].replace(b"1-1-a: backlog", b"1-1-a: review"),
        "s/1-2-b.md": files["s/1-2-b.md"].replace(b"in-progress", b"done"),
    }
    assert read_catalogue({**files, **changed}).drift == []


@pytest.mark.parametrize(
    ("file", "board"), [("simmering", "done"), ("done", "simmering"), ("blocked", "review"), ("", "done")]
)
def test_what_is_unknown_or_blocked_is_left_to_a_person(file: str, board: str) -> None:
    catalogue = _with_board(_board(k_1_1_a=board), k_1_1_a=file)
    assert len(catalogue.drift) == 1
    assert catalogue.repairs() == []


def test_a_board_entry_is_matched_by_number_where_the_file_has_another_name() -> None:
    files = {"s/1.1.tea.story.md": _story("1.1", "done"), "s/sprint-status.yaml": _board(k_1_1_boil="review")}
    catalogue = read_catalogue(files)
    assert [(repair.key, repair.after) for repair in catalogue.repairs()] == [("1-1-boil", "done")]


def test_problems_of_the_board_and_a_second_board_are_listed() -> None:
    catalogue = read_catalogue({"s/sprint-status.yaml": b"x: y\n", "s/old/sprint-status.yml": b""})
    assert catalogue.board_path == "s/sprint-status.yaml"
    assert [(found.path, str(found.problem).split(",")[0]) for found in catalogue.problems] == [
        ("s/sprint-status.yaml", "there is no development_status"),
        ("s/old/sprint-status.yml", "a second board; s/sprint-status.yaml is the one that counts"),
    ]


def test_a_plan_gives_its_ids_to_the_files_and_announces_the_others() -> None:
    files = {
        "specs/tea/stories.yaml": b'- id: "1"\n  title: Scones\n- id: "2"\n  title: Jam\n  description: Red.\n',
        "specs/tea/stories/1-scones.md": SPEC.encode(),
        "specs/tea/stories/10-cake.md": SPEC.encode(),
    }
    stories = read_catalogue(files).stories
    assert [(story.id, story.title, story.path, story.has_own_file) for story in stories] == [
        ("1", "Scones on the side", "specs/tea/stories/1-scones.md", True),
        ("2", "Jam", "specs/tea/stories.yaml", False),
        ("10-cake", "Scones on the side", "specs/tea/stories/10-cake.md", True),
    ]


def test_problems_of_a_plan_are_listed() -> None:
    catalogue = read_catalogue({"specs/tea/stories.yaml": b"- title: Jam\n"})
    assert [(found.path, str(found.problem)) for found in catalogue.problems] == [
        ("specs/tea/stories.yaml", "entry 1 has no id and is left out")
    ]
