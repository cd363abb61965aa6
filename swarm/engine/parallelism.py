"""Says whether an execution really ran in parallel (NFR-1), from the times of its nodes. Pure.

Work time leaves out waiting for locks and for the limiter. Nodes that ran one after another have a makespan of at
least the sum of their work, so with n of them the ratio is n or more and the verdict cannot be true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

NFR_1_LIMIT = 2.0


@dataclass(frozen=True)
class NodeTime:
    """When a completed node ran, and how many seconds of that it worked."""

    started_at: datetime
    finished_at: datetime
    work_s: float


class Parallelism(TypedDict):
    """The contract's `parallelism` object; seconds, and ratios without a unit. None where there is nothing to say."""

    single_story: float | None
    makespan: float | None
    ratio: float | None
    speedup: float | None
    critical_path: float | None
    verified: bool | None
    reason: str | None


def measure(completed: Sequence[NodeTime], *, stories: int, developers: int, was_reopened: bool) -> Parallelism:
    """Compare the makespan of the completed nodes with the mean work of one.

    `verified` is None, with a `reason`, where the comparison says nothing.
    """
    # The monotonic clock that measured the work may run a little faster than the wall's.
    works_s = [min(node.work_s, (node.finished_at - node.started_at).total_seconds()) for node in completed]
    total_s = sum(works_s)
    reason = _reason_for_silence(len(completed), total_s, stories, developers, was_reopened)
    if not completed or total_s <= 0:
        return Parallelism(
            single_story=None, makespan=None, ratio=None, speedup=None, critical_path=None, verified=None, reason=reason
        )
    first, last = min(node.started_at for node in completed), max(node.finished_at for node in completed)
    makespan = (last - first).total_seconds()
    single_story = total_s / len(completed)
    ratio = makespan / single_story
    return Parallelism(
        single_story=single_story,
        makespan=makespan,
        ratio=ratio,
        speedup=total_s / makespan if makespan > 0 else None,
        critical_path=makespan / max(works_s),
        verified=None if reason else ratio < NFR_1_LIMIT and not math.isclose(ratio, NFR_1_LIMIT, rel_tol=1e-6),
        reason=reason,
    )


def _reason_for_silence(
    completed: int, total_s: float, stories: int, developers: int, was_reopened: bool
) -> str | None:
    if completed < 2:
        return "Fewer than two stories were completed."
    if developers < stories:
        return f"{developers} developers for {stories} stories: some had to wait for a free developer."
    if was_reopened:
        return "Nodes were retried after the execution had ended."
    if total_s <= 0:
        return "No work was measured."
    return None
