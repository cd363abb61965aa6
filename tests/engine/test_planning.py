"""What a run is planned from: the committed stories, the dependencies given, and the conflicts of earlier runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarm.engine.backlog import read_backlog
from swarm.engine.errors import UnknownStory, UnusableDependencies, UnusableRequest
from swarm.engine.lifecycle import StartRequest, start
from swarm.engine.plan_report import PlanReport, report_plan, report_run
from swarm.engine.planning import forecast, plan_run, read_dependencies
from swarm.models import Conflict, Execution, FileLock
from swarm.stories.plan import PredictedFile, Reason
from tests.factories import make_execution, make_node
from tests.main_job import MainJob
from tests.workspace.repositories import make_repository

pytestmark = pytest.mark.django_db


def story(story_id: str, *, status: str = "ready-for-dev", task: str = "Do it", needs: str = "") -> bytes:
    needed = f"- Depends on: {needs}\n" if needs else ""
    return (
        f"# Story {story_id}: Title of {story_id}\n\nStatus: {status}\n\n## Acceptance Criteria\n\n1. It works.\n\n"
        f"## Tasks / Subtasks\n\n- [ ] {task}\n\n## Dev Notes\n\n{needed}"
    ).encode()


STORIES = {
    "stories/1-1-one.md": story("1.1", task="Change `src/a.py` and `src/b.py`"),
    "stories/1-2-two.md": story("1.2", task="Change `src/a.py`", needs="Story 1.1"),
    "stories/1-3-three.md": story("1.3", task="Change `src/c.py`"),
    "stories/1-4-four.md": story("1.4", status="done", task="Change `src/a.py`"),
    "stories/1-5-five.md": story("1.5", status="in-progress"),
}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, settings: Any) -> Path:
    settings.SWARM_WORKSPACE = str(tmp_path / "planned")
    settings.SWARM_STORIES = ""
    settings.SWARM_CHAT_MODEL = "test-model"
    make_repository(tmp_path / "planned", STORIES)
    return tmp_path / "planned"


def plan(*stories: str, depends_on: dict[str, list[str]] | None = None, developers: int | None = None) -> PlanReport:
    run = plan_run(read_backlog(), stories, depends_on=depends_on or {}, developers=developers)
    return report_run(run)


def remember_conflict(workspace: Path, path: str, *, wanted_by: str, held_by: str) -> None:
    """As an earlier run of `workspace` left it behind."""
    execution = make_execution(workspace=str(workspace), status=Execution.Status.COMPLETED)
    holder = make_node(execution, story_id=held_by)
    lock, _ = FileLock.objects.get_or_create(key=path, defaults={"path": path})
    Conflict.objects.create(
        lock=lock, path=path, execution=execution, node=make_node(execution, story_id=wanted_by),
        held_by=str(holder), policy="wait", outcome=Conflict.Outcome.GRANTED,
    )  # fmt: skip


# Plans


def test_a_plan_tells_when_each_story_starts_why_and_on_which_files() -> None:
    told = plan("1.2", "1.3", "1.1", depends_on={"1.2": ["1.1"]})

    assert told["developers"] == 3
    assert told["starts_at_once"] == ["1.3", "1.1"]
    assert [(it["story"]["id"], it["wave"], it["waits_for"], it["why"]) for it in told["stories"]] == [
        ("1.3", 1, [], None),
        ("1.1", 1, [], None),
        ("1.2", 2, ["1.1"], "Waits for 1.1 to be done."),
    ]
    assert told["stories"][2]["story"] == {"id": "1.2", "title": "Title of 1.2", "path": "stories/1-2-two.md"}
    assert told["stories"][2]["files"] == [{"path": "src/a.py", "reason": "footprint"}]
    assert told["stories"][2]["suggested_dependencies"] == ["1.1"]
    assert told["likely_conflicts"] == [{"path": "src/a.py", "stories": ["1.2", "1.1"], "reason": "footprint"}]


def test_a_suggestion_in_a_storys_text_makes_nobody_wait_until_it_is_confirmed() -> None:
    assert plan("1.1", "1.2")["starts_at_once"] == ["1.1", "1.2"]


def test_who_waits_for_a_developer_is_told_so_and_likely_conflicts_start_apart() -> None:
    told = plan("1.1", "1.2", "1.3", developers=2)

    assert told["starts_at_once"] == ["1.1", "1.3"]
    assert told["stories"][2]["why"] == "Waits for one of the 2 developers to be free."


def test_no_more_developers_are_planned_with_than_the_process_has(settings: Any) -> None:
    settings.SWARM_MAX_DEVELOPERS = 2

    assert plan("1.1", "1.2", "1.3")["developers"] == 2


def test_where_stories_met_before_they_are_expected_to_meet_again(workspace: Path) -> None:
    remember_conflict(workspace, "src/z.py", wanted_by="1.3", held_by="1.1")
    remember_conflict(workspace / "another", "src/y.py", wanted_by="1.3", held_by="1.1")

    told = plan("1.1", "1.3")

    assert told["likely_conflicts"] == [{"path": "src/z.py", "stories": ["1.1", "1.3"], "reason": "past_conflict"}]
    assert told["stories"][1]["files"] == [
        {"path": "src/c.py", "reason": "footprint"},
        {"path": "src/z.py", "reason": "past_conflict"},
    ]


def test_a_path_that_a_person_held_counts_for_the_story_that_wanted_it(workspace: Path) -> None:
    remember_conflict(workspace, "src/z.py", wanted_by="1.3", held_by="1.1")
    Conflict.objects.update(held_by="ann")

    assert plan("1.1", "1.3")["likely_conflicts"] == []


def test_the_forecast_is_about_all_stories_that_are_to_be_done(workspace: Path) -> None:
    (workspace / "stories" / "1-6-six.md").write_bytes(story("1.6", task="Change `src/c.py`"))

    told = forecast(read_backlog().catalogue)

    assert set(told.files) == {"1.1", "1.2", "1.3", "1.5", "1.6"}
    assert told.files["1.2"] == (PredictedFile("src/a.py", Reason.FOOTPRINT),)
    assert [it.stories for it in told.likely_conflicts] == [("1.1", "1.2"), ("1.3", "1.6")]


# An execution keeps its plan


def test_an_execution_can_tell_the_plan_that_it_was_started_by(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.engine.lifecycle.dispatch", lambda execution_id: None)
    remember_conflict(workspace, "src/z.py", wanted_by="1.3", held_by="1.1")
    depends_on = {"1.2": ["1.1"]}
    told = plan("1.2", "1.3", "1.1", depends_on=depends_on, developers=2)

    request = StartRequest(stories=["1.2", "1.3", "1.1"], depends_on=depends_on, developers=2)
    execution = start(request, user=None)

    for planned in told["stories"]:
        planned["suggested_dependencies"] = []
    again = report_plan(execution)
    for report in (told, again):
        report["likely_conflicts"].sort(key=lambda shared: shared["path"])
        for shared in report["likely_conflicts"]:
            shared["stories"].sort()
    assert again == told


def test_a_conflict_of_a_real_run_is_foreseen_in_the_next_one(main_job: MainJob) -> None:
    main_job.run("1.1", "1.2")
    assert Conflict.objects.get().path == "larder/units.py"

    told = plan("1.1", "1.2")

    assert told["likely_conflicts"] == [
        {"path": "larder/units.py", "stories": ["1.1", "1.2"], "reason": "past_conflict"}
    ]


# What is refused


@pytest.mark.parametrize(
    ("stories", "depends_on", "error", "sentence"),
    [
        ([], {}, UnusableRequest, "No story was named"),
        (["1.1", "1.1"], {}, UnusableRequest, "Stories named more than once: 1.1."),
        (["1.1", "7.7"], {}, UnknownStory, "There is no story 7.7."),
        (["1.1"], {"1.1": ["1.1"]}, UnusableDependencies, "Story 1.1 cannot wait for itself."),
        (["1.1"], {"1.1": ["7.7"]}, UnusableDependencies, "which does not exist"),
        (["1.1"], {"1.1": ["1.5"]}, UnusableDependencies, r"not done \(in-progress\)"),
        (["1.1"], {"1.2": ["1.1"]}, UnusableDependencies, "given for story 1.2, which is not part of the run"),
        (["1.1", "1.2"], {"1.1": ["1.2"], "1.2": ["1.1"]}, UnusableDependencies, "1.1 → 1.2 → 1.1"),
    ],
)
def test_what_cannot_run_is_refused_with_a_sentence_and_nothing_is_started(
    stories: list[str], depends_on: dict[str, list[str]], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        plan(*stories, depends_on=depends_on)
    with pytest.raises(error, match=sentence):
        start(StartRequest(stories=stories, depends_on=depends_on), user=None)
    assert not Execution.objects.exists()


def test_a_dependency_that_is_done_is_kept_already() -> None:
    assert plan("1.1", depends_on={"1.1": ["1.4"]})["stories"][0]["waits_for"] == []


def test_fewer_developers_than_one_are_refused() -> None:
    with pytest.raises(UnusableRequest, match="developers is 0"):
        plan("1.1", developers=0)


def test_a_story_that_is_not_committed_cannot_be_planned(workspace: Path) -> None:
    (workspace / "stories" / "1-6-six.md").write_bytes(story("1.6"))

    with pytest.raises(UnusableRequest, match=r"Not committed yet: 1\.6"):
        plan("1.6")


# Dependencies as they are typed


def test_typed_dependencies_are_read_by_story() -> None:
    assert read_dependencies(["1.2:1.1", "1.3: 1.1", "1.2:1.4"]) == {"1.2": ["1.1", "1.4"], "1.3": ["1.1"]}


@pytest.mark.parametrize("text", ["", "1.2", "1.2:", ":1.1", " : "])
def test_a_dependency_that_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UnusableDependencies, match=r"write 1\.2:1\.1"):
        read_dependencies([text])
