"""Changes of story files as recorded events."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from swarm.engine import story_watch
from swarm.engine.story_watch import recording_story_changes
from swarm.models import Event
from tests.factories import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

STORY = "# Story 1.1: Tea\n\nStatus: ready-for-dev\n\n## Acceptance Criteria\n\n1. It is hot.\n"


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.SWARM_WORKSPACE, settings.SWARM_STORIES = str(tmp_path), ""
    (tmp_path / "stories").mkdir()
    return tmp_path / "stories"


def recorded() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("type", flat=True))


def test_a_change_is_recorded_outside_all_executions(folder: Path) -> None:
    with recording_story_changes():
        (folder / "1-1-tea.md").write_text(STORY)
        wait_until(lambda: recorded() == ["story:created"])
        (folder / "1-1-tea.md").write_text(STORY.replace("ready-for-dev", "done"))
        wait_until(lambda: recorded() == ["story:created", "story:updated"])
        (folder / "1-1-tea.md").unlink()
        wait_until(lambda: recorded() == ["story:created", "story:updated", "story:deleted"])
    facts = {"story": "1.1", "title": "Tea", "path": "stories/1-1-tea.md"}
    assert list(Event.objects.order_by("pk").values_list("execution", "seq", "data")) == [
        (None, None, facts | {"status": "ready-for-dev"}),
        (None, None, facts | {"status": "done"}),
        (None, None, facts | {"status": "done"}),
    ]


def test_a_change_that_could_not_be_recorded_does_not_end_the_recording(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    has_failed = threading.Event()

    def fail(kind: str, **data: object) -> None:
        has_failed.set()
        raise OSError("the database is gone")

    with recording_story_changes():
        with monkeypatch.context() as patched:
            patched.setattr(story_watch, "record_outside_executions", fail)
            (folder / "1-1-tea.md").write_text(STORY)
            assert has_failed.wait(30)
        (folder / "1-1-tea.md").write_text(STORY.replace("ready-for-dev", "done"))
        wait_until(lambda: recorded() == ["story:updated"])
    assert "the database is gone" in caplog.text


@pytest.mark.usefixtures("folder")
def test_the_watcher_lives_as_long_as_the_recording() -> None:
    with recording_story_changes():
        assert "swarm-stories" in [thread.name for thread in threading.enumerate()]
    assert "swarm-stories" not in [thread.name for thread in threading.enumerate()]


def test_without_a_workspace_nothing_is_watched(settings: Settings) -> None:
    settings.SWARM_WORKSPACE = ""
    with recording_story_changes():
        assert "swarm-stories" not in [thread.name for thread in threading.enumerate()]
