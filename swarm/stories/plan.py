"""In which order the stories of a run start, and which of them will likely touch the same files. Pure.

Dependencies make a story wait. Likely conflicts only order the start where developers are fewer than stories: two
stories that will want the same file then do not start together if another can start instead. They never make a story
wait, for the claim at the first write decides, and a prediction may be wrong.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from swarm.stories.story import StoryStatus
from swarm.workspace.paths import lock_key

SATISFIED = frozenset({StoryStatus.REVIEW, StoryStatus.DONE})
"""A dependency outside the run must have one of these statuses: its work is there to build on."""


class Reason(StrEnum):
    """Why a story is expected to touch a file; the second is the stronger one."""

    FOOTPRINT = "footprint"
    PAST_CONFLICT = "past_conflict"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A story that is to be started: the paths that its text names, and those where it met another developer before."""

    id: str
    footprint: tuple[str, ...] = ()
    past_conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PredictedFile:
    """A path that a story will likely touch."""

    path: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class LikelyConflict:
    """A path that several stories of a run will likely touch."""

    path: str
    stories: tuple[str, ...]
    reason: Reason


@dataclass(frozen=True, slots=True)
class DependencyProblem:
    """Why a dependency cannot be kept, in a sentence, and the stories that it was given for."""

    stories: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How the stories of a run start.

    `files` and `waits_for` (dependencies within the run) are by story. The first of the `waves` starts at once; the
    later ones follow as they would if all stories took equally long, each with no more stories than developers. With
    `problems` there are no waves.
    """

    files: Mapping[str, tuple[PredictedFile, ...]]
    likely_conflicts: tuple[LikelyConflict, ...]
    waits_for: Mapping[str, tuple[str, ...]]
    waves: tuple[tuple[str, ...], ...]
    problems: tuple[DependencyProblem, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """All stories, each behind what it waits for."""
        return tuple(story for wave in self.waves for story in wave)


def make_plan(
    candidates: Sequence[Candidate],
    *,
    developers: int,
    depends_on: Mapping[str, Iterable[str]],
    statuses: Mapping[str, StoryStatus],
) -> Plan:
    """Plan the start of `candidates`, whose ids differ, in the order asked for where nothing speaks against it.

    `statuses` are those of all stories there are, in the run or not. Raises `ValueError` without a developer.
    """
    if developers < 1:
        raise ValueError("A run needs at least one developer.")
    ids = [candidate.id for candidate in candidates]
    given = {story: tuple(dict.fromkeys(depends_on.get(story, ()))) for story in ids}
    waits_for = {story: tuple(it for it in given[story] if it in given and it != story) for story in ids}
    problems = [_stranger(story) for story in depends_on if story not in given]
    problems += [problem for story in ids for it in given[story] if (problem := _problem(story, it, given, statuses))]
    files = {candidate.id: _predict(candidate) for candidate in candidates}
    try:
        waves = _waves(waits_for, {it: {lock_key(file.path) for file in files[it]} for it in ids}, developers)
    except CycleError as error:
        # graphlib names each story before the one that waits for it.
        problems.append(_circle(tuple(reversed(error.args[1]))))
    return Plan(files, _likely_conflicts(files), waits_for, () if problems else waves, tuple(problems))


def _stranger(story: str) -> DependencyProblem:
    return DependencyProblem((story,), f"Dependencies were given for story {story}, which is not part of the run.")


def _circle(stories: tuple[str, ...]) -> DependencyProblem:
    text = f"These stories wait for each other in a circle: {' → '.join(stories)}. Leave one of the dependencies out."
    return DependencyProblem(stories, text)


def _problem(
    story: str, dependency: str, run: Container[str], statuses: Mapping[str, StoryStatus]
) -> DependencyProblem | None:
    if dependency == story:
        return DependencyProblem((story,), f"Story {story} cannot wait for itself.")
    if dependency in run or statuses.get(dependency) in SATISFIED:
        return None
    if dependency not in statuses:
        return DependencyProblem((story,), f"Story {story} is to wait for story {dependency}, which does not exist.")
    text = (
        f"Story {story} is to wait for story {dependency}, which is not part of the run and not done "
        f"({statuses[dependency]}). Run it too, or leave the dependency out."
    )
    return DependencyProblem((story,), text)


def _predict(candidate: Candidate) -> tuple[PredictedFile, ...]:
    paths = dict.fromkeys(candidate.footprint, Reason.FOOTPRINT)
    paths |= dict.fromkeys(candidate.past_conflicts, Reason.PAST_CONFLICT)
    return tuple(PredictedFile(path, reason) for path, reason in paths.items())


def _likely_conflicts(files: Mapping[str, Iterable[PredictedFile]]) -> tuple[LikelyConflict, ...]:
    """By path rather than by pair: a file that a hundred stories name makes one line, not thousands."""
    expected: dict[str, dict[str, PredictedFile]] = {}
    for story, predicted in files.items():
        for file in predicted:
            expected.setdefault(lock_key(file.path), {}).setdefault(story, file)
    return tuple(_likely_conflict(stories) for stories in expected.values() if len(stories) > 1)


def _likely_conflict(files: Mapping[str, PredictedFile]) -> LikelyConflict:
    reasons = {file.reason for file in files.values()}
    reason = Reason.PAST_CONFLICT if Reason.PAST_CONFLICT in reasons else Reason.FOOTPRINT
    return LikelyConflict(next(iter(files.values())).path, tuple(files), reason)


def _waves(
    waits_for: Mapping[str, tuple[str, ...]], keys: Mapping[str, set[str]], developers: int
) -> tuple[tuple[str, ...], ...]:
    """List scheduling in steps of one story; who has the longest chain of dependants behind it goes first.

    Source: T. C. Hu, "Parallel Sequencing and Assembly Line Problems", Operations Research 9(6), 1961.
    """
    sorter = TopologicalSorter(waits_for)
    sorter.prepare()
    position = {story: number for number, story in enumerate(waits_for)}
    chains = _chains(waits_for)
    free: list[str] = []
    waves = []
    while sorter.is_active():
        if freed := sorter.get_ready():
            free = sorted((*free, *freed), key=lambda story: (-chains[story], position[story]))
        wave = _choose(free, keys, developers)
        free = [story for story in free if story not in wave]
        sorter.done(*wave)
        waves.append(tuple(sorted(wave, key=position.__getitem__)))
    return tuple(waves)


def _chains(waits_for: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """How many stories come one after another behind each story."""
    chains = dict.fromkeys(waits_for, 0)
    for story in reversed(tuple(TopologicalSorter(waits_for).static_order())):
        for dependency in waits_for[story]:
            chains[dependency] = max(chains[dependency], chains[story] + 1)
    return chains


def _choose(free: Sequence[str], keys: Mapping[str, set[str]], developers: int) -> set[str]:
    """Who of the free stories starts now: those whose files nobody else has, then others while developers last."""
    chosen: set[str] = set()
    taken: set[str] = set()
    for story in free:
        if len(chosen) == developers:
            break
        if taken.isdisjoint(keys[story]):
            chosen.add(story)
            taken |= keys[story]
    rest = [story for story in free if story not in chosen]
    return chosen | set(rest[: developers - len(chosen)])
