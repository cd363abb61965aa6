"""What holds for every file, however broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import SwarmError
from swarm.stories.board import read_board, set_board_status
from swarm.stories.catalogue import apply_repairs, read_catalogue
from swarm.stories.document import Document
from swarm.stories.errors import NotOnBoard
from swarm.stories.planned import read_planned
from swarm.stories.reader import read_story
from swarm.stories.story import Story, StoryStatus
from swarm.stories.writer import record_completion, set_status, tick_task

from .strategies import board_files, model_texts, paths, plan_files, story_files

STATUSES = st.sampled_from([status for status in StoryStatus if status is not StoryStatus.UNKNOWN])


def _read(data: bytes, path: str = "s/1-2-brew.md") -> Story:
    story = read_story(data, path, on_board=True)
    assert story is not None
    return story


def _difference(before: bytes, after: bytes) -> tuple[bytes, bytes]:
    """What is left of two byte strings without their common beginning and end."""
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    before, after = before[start:], after[start:]
    pairs = zip(reversed(before), reversed(after), strict=False)
    end = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
    return before[: len(before) - end], after[: len(after) - end]


@given(story_files, paths, st.booleans())
def test_no_bytes_make_the_reader_raise(data: bytes, path: str, on_board: bool) -> None:
    story = read_story(data, path, on_board=on_board)
    if story is None:
        return
    assert story.text == data.decode(errors="replace")
    lines = data.count(b"\n") + data.count(b"\r") + 1
    assert all(problem.line is None or 1 <= problem.line <= lines for problem in story.problems)
    assert [task.number for task in story.tasks] == list(range(1, len(story.tasks) + 1))
    assert 0 <= story.tasks_done <= story.tasks_total


@given(story_files)
def test_writing_nothing_gives_identical_bytes(data: bytes) -> None:
    text = data.decode(errors="surrogateescape")
    assert "".join(Document(text).lines).encode(errors="surrogateescape") == data
    status = _read(data).status
    if status is not StoryStatus.UNKNOWN:
        assert set_status(data, status) == data


@given(story_files)
def test_ticking_a_task_changes_exactly_one_character(data: bytes) -> None:
    story = _read(data)
    for task in story.tasks:
        boxes = [subtask for subtask in task.subtasks if not subtask.done]
        written = tick_task(data, task.number)
        ticked = _read(written)
        if task.done or written == data:
            assert written == data
            continue
        if Document(data.decode(errors="replace")).section_at(task.line - 1) is None:
            gone, come = _difference(data, written)
            assert come == b"x"
            assert len(gone.decode(errors="replace")) <= 1
        else:
            assert len(boxes) > 0
        assert ticked.tasks[task.number - 1].done
        others = [other.done for other in story.tasks if other is not task]
        assert [other.done for other in ticked.tasks if other.number != task.number] == others


@given(story_files, STATUSES)
def test_a_change_of_status_touches_one_line_and_is_read_again(data: bytes, status: StoryStatus) -> None:
    if not _read(data).status_as_written:
        return
    written = set_status(data, status)
    before, after = data.splitlines(keepends=True), written.splitlines(keepends=True)
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1
    assert _read(written).status is status


@given(story_files, STATUSES)
def test_a_file_without_a_status_gets_one_that_is_read_again_or_refuses(data: bytes, status: StoryStatus) -> None:
    try:
        written = set_status(data, status)
    except SwarmError:
        return
    assert _read(written).status is status
    assert set_status(written, status) == written


@given(story_files, model_texts, model_texts, st.lists(model_texts, max_size=3))
def test_recording_loses_no_line_and_changes_no_task(data: bytes, model: str, notes: str, files: list[str]) -> None:
    written = record_completion(data, model=model, notes=notes, files=files)
    assert [task.done for task in _read(written).tasks] == [task.done for task in _read(data).tasks]
    assert _read(written).status is _read(data).status or _read(data).status is StoryStatus.UNKNOWN


@given(board_files)
def test_no_bytes_make_the_board_reader_raise(data: bytes) -> None:
    lines = data.splitlines()
    for entry in read_board(data).entries:
        assert 1 <= entry.line <= len(lines)
        text = lines[entry.line - 1].decode(errors="replace").replace("\0", "\ufffd")
        assert text[entry.start : entry.end] == entry.status_as_written


@given(board_files, STATUSES, st.booleans())
def test_writing_the_board_touches_only_the_key_and_never_goes_back(
    data: bytes, status: StoryStatus, repair: bool
) -> None:
    before = read_board(data)
    for entry in before.entries:
        try:
            written = set_board_status(data, entry.key, status, repair=repair)
        except NotOnBoard:
            assert repair or "\ufffd" in entry.key
            continue
        after = read_board(written)
        assert len(written.splitlines()) == len(data.splitlines())
        for old, new in zip(before.entries, after.entries, strict=True):
            if old.key != entry.key:
                assert (old.key, old.status, old.status_as_written) == (new.key, new.status, new.status_as_written)
            elif repair:
                assert new.status is status
            elif old.status.rank is not None and new.status.rank is not None:
                assert new.status.rank >= old.status.rank


@given(plan_files)
def test_no_bytes_make_the_plan_reader_raise(data: bytes) -> None:
    planned, _ = read_planned(data)
    assert len({plan.id for plan in planned}) == len(planned)


@given(st.dictionaries(paths, story_files, max_size=4), board_files, plan_files)
def test_no_files_make_the_catalogue_raise(stories: dict[str, bytes], board: bytes, plan: bytes) -> None:
    files = {**stories, "s/sprint-status.yaml": board, "s/stories.yaml": plan}
    catalogue = read_catalogue(files)
    assert len({(story.path, story.id) for story in catalogue.stories}) == len(catalogue.stories)
    assert set(catalogue.ready()) <= set(catalogue.stories)
    repaired = read_catalogue({**files, **apply_repairs(files, catalogue.repairs())})
    assert repaired.repairs() == []


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_nesting_is_read_like_anything_else(depth: int) -> None:
    boxes = "".join(f"{' ' * min(i, 200)}- [ ] x\n" for i in range(depth // 200))
    assert [task.line for task in _read(f"## Tasks\n\n{boxes}".encode()).tasks] == [3, 4]
    assert _read(b"## Tasks\n\n- [ ] x\n" + b">" * depth + b"[" * depth).tasks_total == 1
    assert read_board(b"development_status:\n  1-1-a: " + b"{" * depth).entries[0].status is StoryStatus.UNKNOWN
    assert read_planned(b"[" * depth)[1] != []
