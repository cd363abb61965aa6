"""What the form that starts an execution says about each story, and what the panel of a plan shows."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from swarm.engine.plan_report import PlanReport
from swarm.engine.planning import forecast
from swarm.stories.catalogue import Catalogue
from swarm.stories.plan import SATISFIED, DependencyProblem, PredictedFile
from swarm.stories.story import Dependency, Story, StoryStatus
from swarm.web.forms import dependency_value


@dataclass(frozen=True)
class Suggestion:
    """A dependency that a story's file names on `line`; with a `remark` there is nothing to confirm."""

    value: str
    story_id: str
    line: int
    remark: str
    is_ticked: bool


@dataclass(frozen=True)
class StoryChoice:
    """A story to tick, the paths that it will likely touch, and the other stories that likely share one of them."""

    story: Story
    files: tuple[PredictedFile, ...]
    rivals: list[str]
    suggestions: list[Suggestion]
    problems: list[str]


def story_choices(
    catalogue: Catalogue, ticked_dependencies: Container[str], problems: Sequence[DependencyProblem]
) -> list[StoryChoice]:
    """Every story in its order; dependencies by `dependency_value`. Raises the errors of the workspace."""
    plan = forecast(catalogue)
    statuses = {story.id: story.status for story in catalogue.stories}
    rivals: dict[str, dict[str, None]] = {}
    for conflict in plan.likely_conflicts:
        for story in conflict.stories:
            rivals.setdefault(story, {}).update(dict.fromkeys(conflict.stories))
    return [
        StoryChoice(
            story=story,
            files=plan.files.get(story.id, ()),
            rivals=[other for other in rivals.get(story.id, ()) if other != story.id],
            suggestions=[
                _suggestion(story, it, statuses.get(it.story_id), ticked_dependencies) for it in story.dependencies
            ],
            problems=[problem.text for problem in problems if story.id in problem.stories],
        )
        for story in catalogue.stories
    ]


def plan_context(plan: PlanReport) -> dict[str, object]:
    """What the panel of a plan needs: the plan, who waits for another story, and who for a free developer."""
    waiting = [start for start in plan["stories"] if start["waits_for"]]
    queued = [start["story"]["id"] for start in plan["stories"] if start["why"] and not start["waits_for"]]
    return {"plan": plan, "waiting": waiting, "queued": queued}


def _suggestion(story: Story, dependency: Dependency, status: StoryStatus | None, ticked: Container[str]) -> Suggestion:
    remark = "not in the backlog" if status is None else status if status in SATISFIED else ""
    value = dependency_value(story.id, dependency.story_id)
    return Suggestion(value, dependency.story_id, dependency.line, remark, value in ticked)
