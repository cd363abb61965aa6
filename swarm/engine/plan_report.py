"""What a plan looks like from outside, before a run and on its page: for page, JSON API and terminal."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import TypedDict  # pydantic reads no other before Python 3.12

from swarm.engine.planning import PlannedRun
from swarm.engine.report import StoryReference
from swarm.models import Execution, Node
from swarm.stories.plan import Candidate, Plan, Reason, make_plan


class PredictedPath(TypedDict):
    """A path that a story will likely touch."""

    path: str
    reason: Reason


class PlannedStart(TypedDict):
    """When one story of a run starts; `why` it does not at once, in words. Waves count from 1."""

    story: StoryReference
    wave: int
    waits_for: list[str]
    why: str | None
    files: list[PredictedPath]
    suggested_dependencies: list[str]


class SharedPath(TypedDict):
    """A path that several stories will likely touch."""

    path: str
    stories: list[str]
    reason: Reason


class PlanReport(TypedDict):
    """A plan for page, JSON API and terminal; its stories are in the order of their start."""

    developers: int
    starts_at_once: list[str]
    stories: list[PlannedStart]
    likely_conflicts: list[SharedPath]


def report_run(run: PlannedRun) -> PlanReport:
    """Describe a plan before its run."""
    stories = {story.id: StoryReference(id=story.id, title=story.title, path=story.path) for story in run.stories}
    suggested = {story.id: [it.story_id for it in story.dependencies] for story in run.stories}
    return _report(run.plan, run.developers, stories, suggested)


def report_plan(execution: Execution) -> PlanReport:
    """Describe the plan by which an execution was started."""
    nodes = execution.nodes.all()
    stories = {it.story_id: StoryReference(id=it.story_id, title=it.story_title, path=it.story_path) for it in nodes}
    plan = make_plan(
        [_candidate_of(node) for node in nodes],
        developers=execution.developers,
        depends_on={node.story_id: node.depends_on for node in nodes},
        statuses={},
    )
    return _report(plan, execution.developers, stories, {})


def _candidate_of(node: Node) -> Candidate:
    paths: dict[str, list[str]] = {reason: [] for reason in Reason}
    for path, reason in node.predicted_files:
        paths[reason].append(path)
    return Candidate(node.story_id, tuple(paths[Reason.FOOTPRINT]), tuple(paths[Reason.PAST_CONFLICT]))


def _report(
    plan: Plan, developers: int, stories: Mapping[str, StoryReference], suggested: Mapping[str, list[str]]
) -> PlanReport:
    return PlanReport(
        developers=developers,
        starts_at_once=list(plan.waves[0]) if plan.waves else [],
        stories=[
            PlannedStart(
                story=stories[story],
                wave=number,
                waits_for=list(plan.waits_for[story]),
                why=_why(plan, story, number, developers),
                files=[PredictedPath(path=file.path, reason=file.reason) for file in plan.files[story]],
                suggested_dependencies=suggested.get(story, []),
            )
            for number, wave in enumerate(plan.waves, start=1)
            for story in wave
        ],
        likely_conflicts=[
            SharedPath(path=it.path, stories=list(it.stories), reason=it.reason) for it in plan.likely_conflicts
        ],
    )


def _why(plan: Plan, story: str, wave: int, developers: int) -> str | None:
    if dependencies := plan.waits_for[story]:
        return f"Waits for {' and '.join(dependencies)} to be done."
    return None if wave == 1 else f"Waits for one of the {developers} developers to be free."
