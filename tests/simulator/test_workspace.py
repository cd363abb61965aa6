from __future__ import annotations

import shutil
from pathlib import Path

import pygit2
import pytest

from swarm.simulator.errors import DirectoryNotEmpty, InvalidOption
from swarm.simulator.notes import read_plan
from swarm.simulator.workspace import (
    BOARD,
    CHECK_COMMAND,
    STORIES_FOLDER,
    make_plain_workspace,
    make_workspace,
    run_acceptance,
)
from swarm.stories.catalogue import read_catalogue, scan_folder
from tests.simulator.team import play, run_check, story_id_of

DEMO = (
    "1-1-weigh-in-ounces-and-pounds",
    "1-2-pick-the-unit-that-reads-best",
    "1-3-print-amounts-as-kitchen-fractions",
    "2-1-estimate-how-long-a-recipe-takes",
    "2-2-read-amounts-written-as-fractions",
    "2-3-find-what-can-be-cooked-today",
    "3-1-buy-only-what-the-pantry-lacks",
    "3-2-group-the-shopping-list-by-aisle",
    "3-3-write-the-shopping-list-as-csv",
    "3-4-warn-of-what-expires-soon",
)
MENDED = "1-3-print-amounts-as-kitchen-fractions"
PLAIN = "4-1-plan-the-dinners-of-week-1"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "workspace")


def story_keys(workspace: Path) -> set[str]:
    return {path.stem for path in (workspace / STORIES_FOLDER).glob("*.md")}


def board_entries(workspace: Path) -> list[str]:
    _, _, entries = (workspace / BOARD).read_text("utf-8").partition("development_status:\n")
    return [line.split(":")[0].strip() for line in entries.splitlines() if line]


def protected_files(workspace: Path) -> dict[str, bytes]:
    paths = [*(workspace / "tests").iterdir(), *(workspace / "acceptance").iterdir(), workspace / "check.py"]
    return {path.name: path.read_bytes() for path in paths}


def test_it_is_a_git_repository_with_one_commit_on_main_and_nothing_uncommitted(workspace: Path) -> None:
    repository = pygit2.Repository(str(workspace))
    assert repository.head.shorthand == "main"
    assert len(list(repository.walk(repository.head.target))) == 1
    assert repository.status() == {}
    repository.free()


def test_the_same_workspace_is_the_same_commit(workspace: Path, tmp_path: Path) -> None:
    commits = {
        str(pygit2.Repository(str(path)).head.target)
        for path in (workspace, make_workspace(tmp_path / "other", stories=len(DEMO)))
    }
    assert len(commits) == 1


def test_it_holds_the_demos_stories_and_their_board(workspace: Path) -> None:
    assert story_keys(workspace) == set(DEMO)
    assert [entry for entry in board_entries(workspace) if not entry.startswith("epic-")] == list(DEMO)


def test_its_stories_are_read_without_a_problem_and_foretell_the_files_they_change(workspace: Path) -> None:
    stories = read_catalogue(scan_folder(workspace, workspace / STORIES_FOLDER)).stories
    assert [Path(story.path).stem for story in stories] == list(DEMO)
    for story in stories:
        plan = read_plan(story.text)
        assert story.is_ready
        assert story.problems == ()
        assert set(story.footprint) == {step.path for step in plan.draft}
        assert [task.number for task in story.tasks] == plan.open_tasks


def test_the_first_stories_are_kept_with_what_belongs_to_them(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, stories=4)
    assert story_keys(workspace) == set(DEMO[:4])
    assert board_entries(workspace) == [
        "epic-1",
        *DEMO[:3],
        "epic-1-retrospective",
        "epic-2",
        DEMO[3],
        "epic-2-retrospective",
    ]
    assert {path.name for path in (workspace / "acceptance").glob("test_*")} == {
        "test_1_1.py",
        "test_1_2.py",
        "test_1_3.py",
        "test_2_1.py",
    }


def test_plain_stories_are_added_when_more_are_wanted(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, stories=len(DEMO) + 2)
    plain = [PLAIN, "4-2-plan-the-dinners-of-week-2"]
    assert story_keys(workspace) == {*DEMO, *plain}
    assert board_entries(workspace)[-4:] == ["epic-4", *plain, "epic-4-retrospective"]


@pytest.mark.parametrize("stories", [0, -1])
def test_a_workspace_without_stories_is_refused(tmp_path: Path, stories: int) -> None:
    for make in (make_workspace, make_plain_workspace):
        with pytest.raises(InvalidOption, match="at least one"):
            make(tmp_path, stories)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DirectoryNotEmpty, match="not empty"):
        make_workspace(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_git_settings_of_the_machine_play_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[core]\n\tautocrlf = true\n[user]\n\tname = Somebody\n[init]\n\tdefaultBranch = x\n"
    )
    monkeypatch.setenv("HOME", str(home))
    here, there = make_workspace(tmp_path / "here"), tmp_path / "there"
    monkeypatch.delenv("HOME")
    make_workspace(there)
    assert pygit2.Repository(str(here)).head.target == pygit2.Repository(str(there)).head.target


@pytest.mark.parametrize("key", [*DEMO, PLAIN])
def test_a_story_fails_its_acceptance_test_before_and_passes_it_after(tmp_path: Path, key: str) -> None:
    workspace = make_workspace(tmp_path, stories=len(DEMO) + 1)
    before = run_check(workspace, story_id_of(key))
    assert before.returncode == 1
    assert "FAILED" in before.stdout
    protected = protected_files(workspace)
    turns = play(workspace, key)
    assert run_check(workspace, story_id_of(key)).returncode == 0
    assert protected_files(workspace) == protected
    assert len(turns) == (5 if key == MENDED else 4)


def test_the_first_version_of_the_mended_story_fails_its_checks(workspace: Path) -> None:
    turns = play(workspace, MENDED)
    assert turns[2][-1] == "run_checks"
    assert turns[3] == ["edit_file larder/text.py"]


def test_exactly_one_story_is_mended_and_one_meets_a_429(workspace: Path) -> None:
    texts = {key: (workspace / STORIES_FOLDER / f"{key}.md").read_text("utf-8") for key in DEMO}
    assert [key for key, text in texts.items() if "### If the checks fail" in text] == [MENDED]
    assert [key for key, text in texts.items() if "<!-- simulator: 429 -->" in text] == [DEMO[3]]


@pytest.mark.parametrize(("one", "other"), [DEMO[0:2], DEMO[6:8]])
def test_two_stories_of_one_file_apply_in_either_order(tmp_path: Path, one: str, other: str) -> None:
    for name, order in (("there", (one, other)), ("back", (other, one))):
        workspace = make_workspace(tmp_path / name)
        touched = [{call for turn in play(workspace, key) for call in turn if "edit_file" in call} for key in order]
        assert touched[0] & touched[1]
        assert run_check(workspace, story_id_of(one)).returncode == 0
        assert run_check(workspace, story_id_of(other)).returncode == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_all_stories_together_pass_all_tests(tmp_path: Path, backwards: bool) -> None:
    workspace = make_workspace(tmp_path / "workspace", stories=len(DEMO) + 1)
    assert run_acceptance(workspace).returncode == 1
    for key in sorted([*DEMO, PLAIN], reverse=backwards):
        play(workspace, key)
    # The integrated result is checked in a plain directory, without git.
    plain = shutil.copytree(workspace, tmp_path / "plain", ignore=shutil.ignore_patterns(".git"))
    result = run_acceptance(plain)
    assert result.returncode == 0, result.stdout
    assert "OK" in result.stdout
    assert not list(plain.rglob("*.pyc"))


def test_a_plain_workspace_holds_stories_that_share_no_file(tmp_path: Path) -> None:
    workspace = make_plain_workspace(tmp_path, 3)
    keys = sorted(story_keys(workspace))
    assert keys == [PLAIN, "4-2-plan-the-dinners-of-week-2", "4-3-plan-the-dinners-of-week-3"]
    written = [turn for key in keys for turn in play(workspace, key)[1]]
    assert len(written) == len(set(written)) == 3
    assert run_acceptance(workspace).returncode == 0


def test_the_check_command_runs_the_package_s_tests_in_this_interpreter(workspace: Path) -> None:
    assert CHECK_COMMAND.endswith(" check.py")
    checked = run_check(workspace, "")
    assert checked.returncode == 0
    assert "Ran 19 tests" in checked.stdout
