"""How long it takes to read a backlog of 1,000 stories, and files made to hurt.

Beside it stands what merely decoding the same bytes and splitting them into lines costs: no reader can undercut that.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Mapping

from swarm.stories.board import set_board_status
from swarm.stories.catalogue import read_catalogue
from swarm.stories.reader import read_story
from swarm.stories.writer import record_completion, set_status, tick_task

STORIES = 1_000
MEBIBYTE = 1024 * 1024
AIM_BACKLOG_S = 2.0
AIM_NONSENSE_S = 1.0


def main() -> int:
    backlog = _backlog()
    size_kib = sum(map(len, backlog.values())) / 1024
    nonsense = random.Random(1).randbytes(10 * MEBIBYTE)
    boxes = b"# Story 1.1: x\n\nStatus: draft\n\n## Tasks\n\n" + b"- [ ] x\n" * 100_000
    path, story = next((path, data) for path, data in backlog.items() if path.endswith(".md"))
    board = backlog["s/sprint-status.yaml"]
    rows: list[tuple[str, Callable[[], object], float | None]] = [
        (f"decode and split {STORIES:,} stories, {size_kib:,.0f} KiB", lambda: _split(backlog), None),
        (f"read {STORIES:,} stories and their board", lambda: read_catalogue(backlog), AIM_BACKLOG_S),
        ("read one story", lambda: read_story(story, path), None),
        ("write one story's status, task and record", lambda: _write(story), None),
        ("write one status on the board", lambda: set_board_status(board, "1-1-x", "done"), None),
        ("read 10 MiB of random bytes", lambda: read_story(nonsense, path, on_board=True), AIM_NONSENSE_S),
        ("read 10 MiB of line ends", lambda: read_story(b"\n" * len(nonsense), path, on_board=True), AIM_NONSENSE_S),
        ("read 100,000 boxes", lambda: read_story(boxes, path, on_board=True), AIM_NONSENSE_S),
    ]
    print(f"{'what':<62} {'least s':>9} {'aim s':>6}")
    failed = False
    for name, work, aim_s in rows:
        taken_s = _least_time(work)
        failed |= aim_s is not None and taken_s > aim_s
        print(f"{name:<62} {taken_s:>9.4f} {'' if aim_s is None else aim_s:>6}")
    return int(failed)


def _least_time(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _backlog() -> dict[str, bytes]:
    files = {f"s/{n // 10 + 1}-{n % 10 + 1}-x.md": _story(n) for n in range(STORIES)}
    keys = "".join(f"  {path[2:-3]}: ready-for-dev\n" for path in files)
    return {**files, "s/sprint-status.yaml": f"development_status:\n{keys}".encode()}


def _story(number: int) -> bytes:
    """A story of the usual size, about 5 KiB: eight criteria, eight tasks with three subtasks, and notes."""
    criterion = "{}. **Given** a pot\n   **When** water is poured in slowly\n   **Then** it is full\n"
    subtask = "  - [ ] Do the next part of it in the way that the dev notes describe\n"
    task = "- [ ] Task {0}: change `shop/pot_{0}.py` (AC: {0})\n" + 3 * subtask
    note = "- Remember that the pot is hot and must be held by its handle at all times.\n"
    return "\n".join(
        [
            f"# Story {number // 10 + 1}.{number % 10 + 1}: Tea\n\nStatus: ready-for-dev\n\n## Story\n",
            "As a guest,\nI want tea,\nso that I drink.\n\n## Acceptance Criteria\n",
            "".join(criterion.format(n) for n in range(1, 9)) + "\n## Tasks / Subtasks\n",
            "".join(task.format(n) for n in range(1, 9)) + "\n## Dev Notes\n",
            30 * note + "\n## Dev Agent Record\n",
            "### Agent Model Used\n\n### Completion Notes List\n\n### File List\n",
        ]
    ).encode()


def _split(files: Mapping[str, bytes]) -> list[list[str]]:
    return [data.decode().splitlines() for data in files.values()]


def _write(story: bytes) -> bytes:
    ticked = set_status(tick_task(story, 1), "review")
    return record_completion(ticked, model="a model", notes="Poured.\nTasted.", files=["shop/pot_1.py"])


if __name__ == "__main__":
    sys.exit(main())
