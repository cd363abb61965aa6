"""Says whether an execution really ran in parallel (NFR-1), from the times of its nodes. Pure.

Work time leaves out waiting for locks and for the limiter. Nodes that ran one after another have a makespan of at
least the sum of their work, so with n of them the ratio is n or more and the verdict cannot be true.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Chain:
    """Stories of which each waited for the one before it, and how many seconds they worked altogether."""

    stories: tuple[str, ...]
    work_s: float


def longest_chain(works_s: Mapping[str, float], depends_on: Mapping[str, Sequence[str]]) -> Chain:
    """The chain of dependencies with the most work in it: no order of the same stories takes less time.

    `works_s` are seconds by story, each behind what it depends on; what is not among them does not count.
    """
    total_s: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for story, work_s in works_s.items():
        done_before = [dependency for dependency in depends_on.get(story, ()) if dependency in total_s]
        before[story] = max(done_before, key=total_s.__getitem__, default=None)
        total_s[story] = work_s + max((total_s[dependency] for dependency in done_before), default=0.0)
    last = max(total_s, key=total_s.__getitem__, default=None)
    length_s = total_s[last] if last is not None else 0.0
    stories: list[str] = []
    while last is not None:
        stories.append(last)
        last = before[last]
    return Chain(tuple(reversed(stories)), length_s)


def measure(
    completed: Sequence[NodeTime],
    *,
    stories: int,
    developers: int,
    was_reopened: bool,
    was_paused: bool = False,
    chain: Chain | None = None,
) -> Parallelism:
    """Compare the makespan of the completed nodes with the mean work of one.

    `verified` is None, with a `reason`, where the comparison says nothing. `chain` is the longest one where
    dependencies put an order on the stories, None where all could run at once.
    """
    # The monotonic clock that measured the work may run a little faster than the wall's.
    works_s = [min(node.work_s, (node.finished_at - node.started_at).total_seconds()) for node in completed]
    total_s = sum(works_s)
    reason = _reason_for_silence(len(completed), total_s, stories, developers, was_reopened, was_paused, chain)
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
    completed: int,
    total_s: float,
    stories: int,
    developers: int,
    was_reopened: bool,
    was_paused: bool,
    chain: Chain | None,
) -> str | None:
    if completed < 2:
        return "Fewer than two stories were completed."
    if developers < stories:
        return f"{developers} developers for {stories} stories: some had to wait for a free developer."
    if was_reopened:
        return "Nodes were retried after the execution had ended."
    if was_paused:
        return "The execution was paused for a time."
    if total_s <= 0:
        return "No work was measured."
    if chain is not None:
        return (
            "Dependencies put the stories in an order. The longest chain of them, "
            f"{' → '.join(chain.stories)}, took {chain.work_s:.1f} s of work."
        )
    return None
