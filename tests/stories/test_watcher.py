"""The watcher on real files: what it tells, and that it tells it whatever happens to the folder."""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.stories.catalogue import read_catalogue
from swarm.stories.story import StoryStatus
from swarm.stories.watcher import ChangeKind, Known, StoryChange, StoryWatcher, compare, known_stories

PATIENCE_S = 30.0
CREATED, UPDATED, DELETED = ChangeKind.CREATED, ChangeKind.UPDATED, ChangeKind.DELETED
BOARD = "development_status:\n  1-1-tea: ready-for-dev\n"


def story(story_id: str, title: str = "Tea", status: str = "ready-for-dev") -> str:
    return f"# Story {story_id}: {title}\n\nStatus: {status}\n\n## Acceptance Criteria\n\n1. It is hot.\n"


class Listener:
    """A subscriber that keeps what it hears, and of which thread."""

    def __init__(self) -> None:
        self._heard: queue.Queue[StoryChange] = queue.Queue()
        self.threads: set[str] = set()

    def __call__(self, change: StoryChange) -> None:
        self.threads.add(threading.current_thread().name)
        self._heard.put(change)

    def next(self) -> StoryChange:
        return self._heard.get(timeout=PATIENCE_S)

    def facts(self, count: int = 1) -> list[tuple[ChangeKind, str, str]]:
        """Kind, id and title of the next changes."""
        return [(change.kind, change.story_id, change.title) for change in (self.next() for _ in range(count))]

    def until(self, kind: ChangeKind, story_id: str) -> list[StoryChange]:
        """What is heard before a certain change."""
        changes: list[StoryChange] = []
        while (change := self.next()).kind is not kind or change.story_id != story_id:
            changes.append(change)
        return changes


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace" / "stories").mkdir(parents=True)
    return tmp_path / "workspace"


@pytest.fixture
def folder(workspace: Path) -> Path:
    (workspace / "stories" / "1-1-tea.md").write_text(story("1.1"))
    (workspace / "stories" / "9-9-last.md").write_text(story("9.9", "Last"))
    return workspace / "stories"


@pytest.fixture
def watcher(workspace: Path) -> Iterator[StoryWatcher]:
    watcher = StoryWatcher(workspace, None)
    yield watcher
    watcher.stop()


@pytest.fixture
def listener(folder: Path, watcher: StoryWatcher) -> Listener:
    """Listens to a running watcher of `folder`, which holds the stories 1.1 and 9.9."""
    listener = Listener()
    watcher.subscribe(listener)
    watcher.start()
    return listener


# What is told


def test_a_new_story_is_told_with_its_path_title_and_status(folder: Path, listener: Listener) -> None:
    (folder / "1-2-milk.md").write_text(story("1.2", "Milk", "in-progress"))
    assert listener.next() == StoryChange(CREATED, "1.2", "stories/1-2-milk.md", "Milk", StoryStatus.IN_PROGRESS)


def test_an_edited_story_is_told_as_it_is_now(folder: Path, listener: Listener) -> None:
    (folder / "1-1-tea.md").write_text(story("1.1", "Green tea", "done"))
    assert listener.next() == StoryChange(UPDATED, "1.1", "stories/1-1-tea.md", "Green tea", StoryStatus.DONE)


def test_a_removed_story_is_told_as_it_was_last(folder: Path, listener: Listener) -> None:
    (folder / "1-1-tea.md").unlink()
    assert listener.next() == StoryChange(DELETED, "1.1", "stories/1-1-tea.md", "Tea", StoryStatus.READY)


def test_a_change_of_the_board_is_an_update_of_the_story_it_is_about(folder: Path, listener: Listener) -> None:
    (folder / "sprint-status.yaml").write_text(BOARD)
    assert listener.facts() == [(UPDATED, "1.1", "Tea")]


def test_files_that_are_no_stories_and_files_elsewhere_are_not_told(
    workspace: Path, folder: Path, listener: Listener
) -> None:
    (folder / "notes.md").write_text("Buy milk.")
    (folder / "1-3-picture.png").write_bytes(b"png")
    (workspace / "1-4-outside.md").write_text(story("1.4"))
    (workspace / "src").mkdir()
    (workspace / "src" / "1-5-code.md").write_text(story("1.5"))
    (folder / "9-9-last.md").unlink()
    assert listener.until(DELETED, "9.9") == []


def test_subfolders_made_later_are_followed(folder: Path, listener: Listener) -> None:
    deep = folder / "epic-2" / "more"
    deep.mkdir(parents=True)
    (deep / "2-1-jam.md").write_text(story("2.1", "Jam"))
    assert listener.facts() == [(CREATED, "2.1", "Jam")]
    (deep / "2-1-jam.md").write_text(story("2.1", "Plum jam"))
    assert listener.facts() == [(UPDATED, "2.1", "Plum jam")]
    shutil.rmtree(folder / "epic-2")
    assert listener.facts() == [(DELETED, "2.1", "Plum jam")]


# How editors save


def save_over(path: Path, text: str) -> None:
    """Write beside and rename over."""
    path.with_name(".swap").write_text(text)
    path.with_name(".swap").rename(path)


def save_aside(path: Path, text: str) -> None:
    """Move the old file away and write a new one in its place."""
    path.rename(path.with_name(f"{path.name}~"))
    path.write_text(text)
    path.with_name(f"{path.name}~").unlink()


def save_again(path: Path, text: str) -> None:
    """Remove and write."""
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("save", [save_over, save_aside, save_again])
def test_a_save_by_rename_is_an_update_and_no_deletion(folder: Path, listener: Listener, save: Any) -> None:
    for number in range(20):
        save(folder / "1-1-tea.md", story("1.1", f"Tea {number}"))
    (folder / "9-9-last.md").unlink()
    changes = listener.until(DELETED, "9.9")
    assert {change.kind for change in changes} == {UPDATED}
    assert changes[-1].title == "Tea 19"


def test_a_story_that_is_away_for_a_moment_is_not_told_as_deleted(folder: Path) -> None:
    """Look by look: gone once is doubtful, gone twice is gone."""
    watcher, listener = StoryWatcher(folder.parent, None), Listener()
    watcher.subscribe(listener)
    watcher._look()
    listener.facts(2)
    text = (folder / "1-1-tea.md").read_text()
    for content in ("", text + "\nMore.\n"):
        (folder / "1-1-tea.md").write_text(content)
        watcher._look()
    assert listener.facts() == [(UPDATED, "1.1", "Tea")]
    (folder / "1-1-tea.md").write_text("")
    watcher._look()
    watcher._look()
    assert listener.facts() == [(DELETED, "1.1", "Tea")]


def test_a_renamed_file_is_an_update_under_its_new_path(folder: Path, listener: Listener) -> None:
    (folder / "1-1-tea.md").rename(folder / "1-1-black-tea.md")
    (folder / "9-9-last.md").unlink()
    (change,) = listener.until(DELETED, "9.9")
    assert (change.kind, change.path) == (UPDATED, "stories/1-1-black-tea.md")


# Bursts


def test_a_burst_on_one_file_is_merged_and_ends_with_the_last_state(folder: Path, listener: Listener) -> None:
    for number in range(200):
        (folder / "1-1-tea.md").write_text(story("1.1", f"Tea {number}"))
    (folder / "9-9-last.md").unlink()
    changes = listener.until(DELETED, "9.9")
    assert len(changes) < 100
    assert changes[-1].title == "Tea 199"


def test_of_a_burst_over_many_files_each_is_told(folder: Path, listener: Listener) -> None:
    for number in range(200):
        (folder / f"2-{number}-x.md").write_text(story(f"2.{number}"))
    changes = [listener.next() for _ in range(200)]
    assert {change.story_id for change in changes} == {f"2.{number}" for number in range(200)}
    assert {change.kind for change in changes} == {CREATED}


# Subscribers


def test_a_failing_subscriber_stops_neither_the_others_nor_the_watcher(
    folder: Path, watcher: StoryWatcher, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: StoryChange) -> None:
        raise RuntimeError("no")

    behind = Listener()
    watcher.subscribe(fail)
    watcher.subscribe(behind)
    for title in ("Green tea", "Black tea"):
        (folder / "1-1-tea.md").write_text(story("1.1", title))
        assert listener.facts() == behind.facts() == [(UPDATED, "1.1", title)]
    assert "stories.subscriber_failed story=1.1" in caplog.text


def test_all_subscribers_are_served_by_one_thread(folder: Path, watcher: StoryWatcher, listener: Listener) -> None:
    other = Listener()
    watcher.subscribe(other)
    watcher.start()
    (folder / "1-1-tea.md").unlink()
    assert listener.facts() == other.facts()
    assert listener.threads == other.threads == {"swarm-stories"}
    assert [thread.name for thread in threading.enumerate()].count("swarm-stories") == 1


# A folder that comes and goes


def test_the_folder_may_appear_vanish_and_come_back(workspace: Path, watcher: StoryWatcher) -> None:
    listener = Listener()
    watcher.subscribe(listener)
    shutil.rmtree(workspace)
    watcher.start()
    for _ in range(2):
        (workspace / "stories").mkdir(parents=True)
        (workspace / "stories" / "1-1-tea.md").write_text(story("1.1"))
        assert listener.facts() == [(CREATED, "1.1", "Tea")]
        (workspace / "stories" / "1-1-tea.md").write_text(story("1.1", "Mint"))
        assert listener.facts() == [(UPDATED, "1.1", "Mint")]
        shutil.rmtree(workspace)
        assert listener.facts() == [(DELETED, "1.1", "Mint")]


def test_a_folder_that_is_replaced_at_once_is_followed_on(workspace: Path, folder: Path, listener: Listener) -> None:
    shutil.copytree(folder, workspace / "copy")
    shutil.rmtree(folder)
    (workspace / "copy").rename(folder)
    (folder / "1-1-tea.md").write_text(story("1.1", "Mint"))
    assert listener.facts() == [(UPDATED, "1.1", "Mint")]
    (folder / "1-1-tea.md").write_text(story("1.1", "Sage"))
    assert listener.facts() == [(UPDATED, "1.1", "Sage")]


@pytest.mark.usefixtures("folder")
def test_a_folder_that_goes_before_the_one_in_use_takes_its_place(workspace: Path, listener: Listener) -> None:
    (workspace / "docs" / "stories").mkdir(parents=True)
    assert {fact[:2] for fact in listener.facts(2)} == {(DELETED, "1.1"), (DELETED, "9.9")}
    (workspace / "docs" / "stories" / "1-2-milk.md").write_text(story("1.2", "Milk"))
    assert listener.facts() == [(CREATED, "1.2", "Milk")]


def test_a_configured_folder_behind_a_link_is_followed(workspace: Path, folder: Path) -> None:
    (workspace / "link").symlink_to("stories")
    watcher, listener = StoryWatcher(workspace, "link"), Listener()
    watcher.subscribe(listener)
    watcher.start()
    try:
        (folder / "1-1-tea.md").write_text(story("1.1", "Mint"))
        assert listener.facts() == [(UPDATED, "1.1", "Mint")]
    finally:
        watcher.stop()


def test_what_cannot_be_read_is_said_once_and_counts_as_it_was(
    folder: Path, watcher: StoryWatcher, listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    scans = threading.Semaphore(0)

    def refuse(workspace: Path, folder: Path) -> dict[str, bytes]:
        scans.release()
        raise PermissionError("not yours")

    with monkeypatch.context() as patched:
        patched.setattr("swarm.stories.watcher.scan_folder", refuse)
        (folder / "1-1-tea.md").write_text(story("1.1", "Mint"))
        for _ in range(3):
            assert scans.acquire(timeout=PATIENCE_S)
    assert listener.facts() == [(UPDATED, "1.1", "Mint")]
    assert caplog.text.count("not yours") == 1


def test_a_watch_that_cannot_be_set_up_is_tried_again(
    folder: Path, watcher: StoryWatcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = threading.Event()

    def fail(*places: Path, **options: Any) -> None:
        failed.set()
        raise OSError("the limit of watches is reached")

    monkeypatch.setattr("swarm.stories.watcher.RETRY_S", 0.01)
    listener = Listener()
    watcher.subscribe(listener)
    with caplog.at_level(logging.WARNING), monkeypatch.context() as patched:
        patched.setattr("swarm.stories.watcher.watch", fail)
        watcher.start()
        assert failed.wait(PATIENCE_S)
        (folder / "1-1-tea.md").write_text(story("1.1", "Mint"))
    assert listener.facts() == [(UPDATED, "1.1", "Mint")]
    assert "the limit of watches is reached" in caplog.text


# Starting and stopping


def test_starting_and_stopping_twice_is_no_error_and_leaves_no_thread(folder: Path, watcher: StoryWatcher) -> None:
    watcher.stop()
    watcher.start()
    watcher.start()
    watcher.stop()
    watcher.stop()
    assert "swarm-stories" not in [thread.name for thread in threading.enumerate()]


def test_what_was_there_at_the_start_is_not_told_and_what_changes_while_stopped_neither(
    folder: Path, watcher: StoryWatcher, listener: Listener
) -> None:
    watcher.stop()
    (folder / "1-2-milk.md").write_text(story("1.2", "Milk"))
    watcher.start()
    (folder / "9-9-last.md").unlink()
    assert listener.until(DELETED, "9.9") == []


# Comparing


def known(files: dict[str, str]) -> dict[tuple[str, str], Known]:
    return known_stories(read_catalogue({path: text.encode() for path, text in files.items()}))


def test_two_files_with_one_id_are_two_stories() -> None:
    before = known({"1-1-a.md": story("1.1")})
    after = known({"1-1-a.md": story("1.1"), "1-1-b.md": story("1.1", "Other")})
    changes = compare(before, after).values()
    assert [(change.kind, change.path) for change in changes] == [(UPDATED, "1-1-a.md"), (CREATED, "1-1-b.md")]


def test_a_planned_story_that_gets_its_file_is_updated() -> None:
    plan = '- {id: "3", title: Bread}\n'
    before = known({"stories.yaml": plan})
    after = known({"stories.yaml": plan, "3-bread.md": "---\ntitle: Bread\nstatus: draft\n---\n" + story("3.0")})
    (change,) = compare(before, after).values()
    assert (change.kind, change.story_id, change.path) == (UPDATED, "3", "3-bread.md")


states = st.dictionaries(
    st.sampled_from(["1-1-a.md", "1-1-b.md", "1-2-a.md", "2-1-a.md"]),
    st.builds(story, st.sampled_from(["1.1", "1.2"]), st.sampled_from(["Tea", "Milk"])),
)


@given(states, states)
def test_the_changes_lead_from_what_was_told_to_what_is_there(before: dict[str, str], after: dict[str, str]) -> None:
    told, there = known(before), known(after)
    changes = compare(told, there)
    deleted = {key for key, change in changes.items() if change.kind is DELETED}
    assert set(changes) - deleted == {key for key in there if told.get(key) != there[key]}
    renamed_from = told.keys() - there.keys() - deleted
    renamed_to = {key for key in changes.keys() - told.keys() if changes[key].kind is UPDATED}
    assert sorted(story_id for story_id, _ in renamed_from) == sorted(story_id for story_id, _ in renamed_to)
    assert deleted.isdisjoint(there)
    assert compare(there, there) == {}
