"""Eight times the input takes about eight times as long, whatever it holds: nothing backtracks or starts over.

Compared are the least processor times of several runs of one thread, so that a busy machine does not matter; quadratic
growth would show as 64, and the bound lies between the two.
"""

# ruff: noqa: E501 (patterns, packed)

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from swarm.stories.board import read_board, set_board_status
from swarm.stories.reader import read_story
from swarm.stories.writer import record_completion, set_status, tick_task

FACTOR = 8
LARGE = 64 * 1024
SMALL = LARGE // FACTOR
LINEAR_AT_MOST = 28

HOSTILE = [
    "- [ ] x\n", "  - [ ] x\n", "- [ ] `a/b.py` (AC: 1-3)\n", "### Task 1: x\n- [ ] y\n", "```a\n", "~~~\n", "<!--\n", "<!-- ", "# ", "## x\n",
    "### AC1: x\n", "1. x\n", "1.1.", "| a | b |\n", "**Given** ", "Given a, when b, then c, ", "Given a\n", "(AC: ", "[Source: ", "`", "a/",
    "`a/b.py` ", "├── a/\n", "│   ", "Story 1.1, 1.2, ", "depends on: ", "Status: \n", "status:", "**", "[", "{{", "-", ": ", " ", "\t", "\n",
    "\r", "\0", "é", "\u2028", "x",
]  # fmt: skip

BOARDS = [
    "  1-1-a: done\n",
    "  - id: 1.1\n    status: done\n",
    "    ",
    "- ",
    "a: ",
    "{status: ",
    '"',
    "\t- x:\n",
    "  1-1-a: |\n",
    "#",
]


def _story(pattern: str, size: int) -> bytes:
    """A story with a fifth of `size` bytes of the pattern in each of five sections."""
    body = (pattern * (size // 5 // len(pattern.encode()) + 1)).encode()[: size // 5 - 60].decode(errors="ignore")
    sections = ["Acceptance Criteria", "Tasks", "Dev Notes", "File List", "Dev Agent Record"]
    return ("# Story 1.1: x\n\nStatus: draft\n" + "".join(f"\n\n## {name}\n\n{body}" for name in sections)).encode()


def _growth(work: Callable[[bytes], object], make: Callable[[int], bytes]) -> float:
    """How many times longer the large input takes than the small one."""
    small, large = make(SMALL), make(LARGE)
    return _least_time(work, large) / _least_time(work, small)


def _least_time(work: Callable[[bytes], object], data: bytes) -> float:
    times = []
    for _ in range(3):
        started = time.thread_time()
        work(data)
        times.append(time.thread_time() - started)
    return max(min(times), 1e-4)


@pytest.mark.parametrize("pattern", HOSTILE, ids=ascii)
def test_reading_grows_with_the_input_and_no_faster(pattern: str) -> None:
    read = lambda data: read_story(data, "s/1-1-x.md")  # noqa: E731
    assert _growth(read, lambda size: _story(pattern, size)) < LINEAR_AT_MOST


@pytest.mark.parametrize("pattern", HOSTILE, ids=ascii)
def test_a_file_without_any_structure_is_no_worse(pattern: str) -> None:
    read = lambda data: read_story(data, "s/1-1-x.md", on_board=True)  # noqa: E731
    make = lambda size: (pattern * (size // len(pattern.encode()))).encode()  # noqa: E731
    assert _growth(read, make) < LINEAR_AT_MOST


@pytest.mark.parametrize("pattern", HOSTILE[:8], ids=ascii)
def test_writing_grows_with_the_input_and_no_faster(pattern: str) -> None:
    def write(data: bytes) -> None:
        record_completion(set_status(data, "review"), model="m", notes="n\n" * 10, files=["a.py"] * 10)

    assert _growth(write, lambda size: _story(pattern, size)) < LINEAR_AT_MOST


@pytest.mark.parametrize("pattern", BOARDS, ids=ascii)
def test_boards_grow_with_the_input_and_no_faster(pattern: str) -> None:
    def work(data: bytes) -> None:
        read_board(data)
        set_board_status(data, "9-9-z", "done")

    def make(size: int) -> bytes:
        return ("development_status:\n  9-9-z: draft\n" + pattern * (size // len(pattern))).encode()

    assert _growth(work, make) < LINEAR_AT_MOST


def test_a_hundred_thousand_boxes_are_one_problem_and_no_crash() -> None:
    data = b"# Story 1.1: x\n\nStatus: ready-for-dev\n\n## Tasks\n\n" + b"- [ ] x\n" * 100_000
    story = read_story(data, "s/1-1-x.md")
    assert story is not None
    assert not story.is_ready
    assert story.tasks_total > 30_000
    assert tick_task(data, 100_000) == data[: -len(b"- [ ] x\n")] + b"- [x] x\n"
