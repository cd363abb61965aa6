"""Repairing what story files and the board disagree about: exactly what was previewed, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from swarm.engine import drift
from swarm.engine.drift import PreviewOutdated, RepairStopped, preview_repair, repair_drift
from swarm.errors import Misconfigured
from swarm.stories.files import replace_file
from tests.workspace.repositories import make_repository

BOARD = """# Ours; keep it.
development_status:
  epic-1: in-progress
  1-1-tea: ready-for-dev   # soon
  1-2-milk: review
  1-3-jam: done
  1-4-gone: in-progress
"""


def story(story_id: str, status: str) -> str:
    return f"# Story {story_id}: Tea\n\nStatus: {status}\n\n## Acceptance Criteria\n\n1. It is hot.\n"


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    """The board is behind on 1.1, the file on 1.2; 1.3 agrees, and 1.4 has no file."""
    settings.SWARM_WORKSPACE = str(tmp_path / "workspace")
    settings.SWARM_STORIES = ""
    files = {
        "1-1-tea.md": story("1.1", "done"),
        "1-2-milk.md": story("1.2", "ready-for-dev"),
        "1-3-jam.md": story("1.3", "done"),
        "sprint-status.yaml": BOARD,
    }
    make_repository(tmp_path / "workspace", {f"stories/{name}": text.encode() for name, text in files.items()})
    return tmp_path / "workspace" / "stories"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_whoever_is_behind_follows_in_the_exact_edits_of_the_preview(folder: Path) -> None:
    before = contents(folder)
    preview = preview_repair()
    assert {edit.path: edit.diff[3:] for edit in preview.edits} == {
        "stories/sprint-status.yaml": [
            "   epic-1: in-progress",
            "-  1-1-tea: ready-for-dev   # soon",
            "+  1-1-tea: done   # soon",
            "   1-2-milk: review",
        ],
        "stories/1-2-milk.md": [" ", "-Status: ready-for-dev", "+Status: review", " "],
    }
    assert contents(folder) == before


def test_a_repair_writes_what_was_previewed_and_nothing_else(folder: Path) -> None:
    before, preview = contents(folder), preview_repair()
    written = repair_drift(preview.fingerprint)
    assert written == preview.edits
    assert contents(folder) == before | {edit.path.removeprefix("stories/"): edit.after for edit in written}
    assert preview_repair().edits == ()


def test_what_only_a_person_can_decide_is_left(folder: Path) -> None:
    (folder / "1-3-jam.md").write_text(story("1.3", "blocked"))
    preview = preview_repair()
    assert [it.key for it in preview.undecided] == ["1-3-jam", "1-4-gone"]
    assert {it.key for it in preview.drift} == {"1-1-tea", "1-2-milk", "1-3-jam", "1-4-gone"}


def test_of_two_files_with_one_id_neither_decides_over_the_board(folder: Path) -> None:
    (folder / "1-1-tea.md").write_text(story("1.1", "ready-for-dev"))
    (folder / "1-1-other.md").write_text(story("1.1", "done"))
    preview = preview_repair()
    assert [edit.path for edit in preview.edits] == ["stories/1-2-milk.md"]
    assert [it.story_id for it in preview.undecided] == ["1.1", "1.4"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1-2-milk.md", story("1.2", "ready-for-dev") + "\nA word more.\n"),
        ("1-2-milk.md", story("1.2", "in-progress")),
        ("sprint-status.yaml", BOARD + "  # a comment\n"),
        ("1-3-jam.md", story("1.3", "review")),
    ],
    ids=["the file", "the file's status", "the board", "a new drift"],
)
def test_what_changed_since_the_preview_stops_the_repair(folder: Path, name: str, text: str) -> None:
    preview = preview_repair()
    (folder / name).write_text(text)
    before = contents(folder)
    with pytest.raises(PreviewOutdated, match="nothing was written"):
        repair_drift(preview.fingerprint)
    assert contents(folder) == before


def test_a_change_that_no_edit_touches_does_not_stop_the_repair(folder: Path) -> None:
    preview = preview_repair()
    (folder / "1-3-jam.md").write_text(story("1.3", "done") + "\nMore.\n")
    assert repair_drift(preview.fingerprint) == preview.edits


@pytest.mark.parametrize("fingerprint", ["", "0" * 64, "é"])
def test_a_made_up_fingerprint_writes_nothing(folder: Path, fingerprint: str) -> None:
    before = contents(folder)
    with pytest.raises(PreviewOutdated):
        repair_drift(fingerprint)
    assert contents(folder) == before


def test_a_file_that_changes_in_the_middle_of_a_repair_is_left_and_what_was_written_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = preview_repair()
    first, second = (Path(edit.path) for edit in preview.edits)

    def replace_and_change_the_other(path: Path, *, before: bytes, after: bytes) -> None:
        replace_file(path, before=before, after=after)
        (folder / second.name).write_text("somebody's")

    monkeypatch.setattr(drift, "replace_file", replace_and_change_the_other)
    with pytest.raises(RepairStopped, match=f"{second} could not be written .* Written before: {first}"):
        repair_drift(preview.fingerprint)
    assert (folder / second.name).read_text() == "somebody's"


def test_a_file_that_cannot_be_written_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *, before: bytes, after: bytes) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(drift, "replace_file", fail)
    with pytest.raises(RepairStopped, match=r"sprint-status.yaml could not be written .* Nothing was written"):
        repair_drift(preview_repair().fingerprint)


def test_without_a_board_there_is_nothing_to_repair(folder: Path) -> None:
    (folder / "sprint-status.yaml").unlink()
    assert preview_repair().edits == preview_repair().drift == ()
    assert repair_drift(preview_repair().fingerprint) == ()


def test_without_a_workspace_the_reason_is_said(settings: Settings) -> None:
    settings.SWARM_WORKSPACE = ""
    with pytest.raises(Misconfigured, match="SWARM_WORKSPACE"):
        preview_repair()
