"""Status and task boxes are written in the file's own spelling, with every other byte kept."""

from __future__ import annotations

import pytest

from swarm.stories.errors import StatusNotWritable, UnknownTask
from swarm.stories.reader import read_story
from swarm.stories.writer import set_status, tick_subtasks, tick_task

from .variants import SPEC, V3, V4, V6


def _changed_lines(before: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(old) == len(new)
    return [(one, other) for one, other in zip(old, new, strict=True) if one != other]


@pytest.mark.parametrize(
    ("text", "status", "before", "after"),
    [
        (V3, "review", b"## Status: InProgress\n", b"## Status: Review\n"),
        (V4, "review", b"Approved\n", b"Review\n"),
        (V4, "in-progress", b"Approved\n", b"InProgress\n"),
        (V6, "review", b"Status: ready-for-dev\n", b"Status: review\n"),
        (
            SPEC,
            "done",
            b"status: 'in-review' # draft | ready-for-dev | in-progress | in-review | done\n",
            b"status: 'done' # draft | ready-for-dev | in-progress | in-review | done\n",
        ),
        (SPEC.replace("'in-review'", "in-progress"), "review", b"status: in-progress #", b"status: in-review #"),
        ("# Story 1.1: a\n\n**Status:** ✅ Draft  \n", "done", "✅ Draft  \n".encode(), b"Done  \n"),
        ("# Story 1.1: a\n\n**Status: Draft** | **Epic:** 1\n", "review", b"Draft** |", b"Review** |"),
        ("# Story 1.1: a\n\n| **Status** | `draft` |\n", "review", b"| `draft` |", b"| `review` |"),
        ("# Story 1.1: a\n\nStatus: draft <!-- soon -->\n", "review", b"draft <!-- soon", b"review <!-- soon"),
        ("# Story 1.1: a\n\nStatus:\n", "review", b"Status:\n", b"Status: review\n"),
        ("# Story 1.1: a\n\nStatus: \n", "review", b"Status: \n", b"Status: review\n"),
        ("# Story 1.1: a\n\nStatus: Draft -> Approved (Ann)\n", "review", b"Draft -> Approved (Ann)", b"Review"),
        ("# Story 1.1: a\n\nStatus: simmering\n", "review", b"simmering", b"review"),
    ],
)  # fmt: skip
def test_a_status_is_written_in_the_words_of_the_file(text: str, status: str, before: bytes, after: bytes) -> None:
    data = text.encode()
    written = set_status(data, status)
    assert written == data.replace(before, after, 1)
    assert len(_changed_lines(data, written)) == 1


@pytest.mark.parametrize("text", [V3, V4, V6, SPEC], ids=["v3", "v4", "v6", "spec"])
@pytest.mark.parametrize("status", ["draft", "ready-for-dev", "in-progress", "review", "done", "blocked"])
def test_a_status_that_was_written_is_read_again(text: str, status: str) -> None:
    story = read_story(set_status(text.encode(), status), "s/1-2-x.md")
    assert story is not None
    assert story.status == status


def test_writing_the_status_that_the_file_has_changes_nothing() -> None:
    data = V4.replace("Approved", "Ready for Review").encode()
    assert set_status(data, "review") == data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Story 1.1: a\n\n## Status\n\n## Story\n", "# Story 1.1: a\n\n## Status\n\nReview\n\n## Story\n"),
        ("# Story 1.1: a\n\n## Status\n## Story\n", "# Story 1.1: a\n\n## Status\n\nReview\n\n## Story\n"),
        ("# Story 1.1: a\n\n## Status", "# Story 1.1: a\n\n## Status\n\nReview"),
        ("# Story 1.1: a\n\n## Story\n", "# Story 1.1: a\n\nStatus: review\n\n## Story\n"),
        ("# Story 1.1: a\n## Story\n", "# Story 1.1: a\n\nStatus: review\n\n## Story\n"),
        ("# Story 1.1: a\r\nTea\r\n", "# Story 1.1: a\r\n\r\nStatus: review\r\n\r\nTea\r\n"),
        ("# Story 1.1: a", "# Story 1.1: a\n\nStatus: review"),
        ("---\ntitle: a\n---\n\n## Intent\n", "---\ntitle: a\nstatus: in-review\n---\n\n## Intent\n"),
    ],
)
def test_a_file_without_a_status_gets_one(text: str, expected: str) -> None:
    assert set_status(text.encode(), "review").decode() == expected
    assert set_status(expected.encode(), "review").decode() == expected


def test_a_file_that_is_no_story_gets_no_status() -> None:
    with pytest.raises(StatusNotWritable, match="neither a status nor a title"):
        set_status(b"just text\n", "review")


@pytest.mark.parametrize("word", ["unknown", "Review", "shipped", ""])
def test_only_words_of_the_method_can_be_written(word: str) -> None:
    with pytest.raises(StatusNotWritable, match="backlog, draft, ready-for-dev"):
        set_status(V6.encode(), word)


def test_ticking_a_task_changes_one_character() -> None:
    data = V6.encode()
    assert _changed_lines(data, tick_task(data, 1)) == [
        (b"- [ ] Task 1: Pour (AC: 1, 2)\n", b"- [x] Task 1: Pour (AC: 1, 2)\n")
    ]


def test_ticking_a_ticked_task_changes_nothing() -> None:
    data = V3.encode()
    assert tick_task(data, 1) == data


def test_ticking_a_heading_ticks_the_boxes_below_it() -> None:
    text = "# Story 1.1: a\n\n## Tasks\n\n### Task 1: b\n\n- [x] c\n- [ ] d\n  - [ ] e\n\n### Task 2: f\n\n- [ ] g\n"
    assert tick_task(text.encode(), 1).decode() == text.replace("[ ] d", "[x] d").replace("[ ] e", "[x] e")


def test_a_task_without_a_box_cannot_be_ticked_in_the_file() -> None:
    data = SPEC.replace("- [x] `kit", "- `kit").replace("- [ ] `tests", "- `tests").encode()
    assert tick_task(data, 2) == data


@pytest.mark.parametrize(
    ("box", "ticked"), [("[ ]", "[x]"), ("[~]", "[x]"), ("[]", "[x]"), ("[  ]", "[x ]"), ("[☐]", "[x]")]
)
def test_odd_boxes_are_ticked_too(box: str, ticked: str) -> None:
    text = f"# Story 1.1: a\n\n## Tasks\n\n- {box} b\n"
    written = tick_task(text.encode(), 1)
    assert written.decode() == text.replace(box, ticked)
    story = read_story(written, "1.1.md")
    assert story is not None
    assert story.tasks[0].done


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_task_that_is_not_there_cannot_be_ticked(number: int) -> None:
    with pytest.raises(UnknownTask, match="numbered 1 to 2"):
        tick_task(V6.encode(), number)


def test_a_story_without_tasks_says_so() -> None:
    with pytest.raises(UnknownTask, match="has no tasks"):
        tick_task(b"# Story 1.1: a\n", 1)


def test_line_ends_byte_order_mark_blanks_and_broken_bytes_stay() -> None:
    data = b"\xef\xbb\xbf" + V6.encode().replace(b"\n", b"\r\n").replace(b"Keep", b"K\xff\0eep  \t") + b"no end"
    written = set_status(tick_task(data, 2), "review")
    assert written == data.replace(b"- [ ] Task 2", b"- [x] Task 2").replace(b"ready-for-dev", b"review")


def test_the_boxes_below_a_task_are_ticked_and_no_others() -> None:
    text = "# Story 1.1: A\n\n## Tasks\n\n- [ ] a\n  - [ ] b\n    - [x] c\n- [ ] d\n  - [ ] e\n"
    assert tick_subtasks(text.encode(), 1).decode() == text.replace("[ ] b", "[x] b")


def test_the_boxes_below_a_task_that_is_not_there_are_refused() -> None:
    with pytest.raises(UnknownTask, match="no task 2"):
        tick_subtasks(b"# Story 1.1: A\n\n## Tasks\n\n- [ ] a\n", 2)
