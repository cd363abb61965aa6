"""Chooses the stories of a run and plans how they start, from the backlog and from the conflicts of earlier runs.

`lifecycle.start` makes its nodes from such a plan, so that what is shown before a run is what the run then does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from swarm.engine.backlog import Backlog, open_workspace
from swarm.engine.errors import UnknownStory, UnusableDependencies, UnusableRequest
from swarm.models import Conflict
from swarm.stories.catalogue import Catalogue, read_catalogue
from swarm.stories.plan import SATISFIED, Candidate, Plan, make_plan
from swarm.stories.story import Story
from swarm.workspace.repository import Repository

REMEMBERED_CONFLICTS = 2000
"""How many of the latest conflicts in a workspace are looked at."""


@dataclass(frozen=True)
class PlannedRun:
    """The stories of a run as they are in commit `head`, in the order of their start, and the plan of that."""

    repository: Repository
    head: str
    board_path: str
    stories: list[Story]
    developers: int
    plan: Plan


def plan_run(
    backlog: Backlog, stories: Sequence[str], *, depends_on: Mapping[str, Iterable[str]], developers: int | None
) -> PlannedRun:
    """Plan a run over the committed stories with these ids.

    Raises `UnknownStory`, `UnusableRequest`, `UnusableDependencies`, which names all that is wrong with `depends_on`,
    and the errors of the workspace.
    """
    _refuse_unusable(stories, developers)
    repository = open_workspace()
    head = repository.head_commit()
    committed = read_catalogue(repository.read_files(head, backlog.folder))
    chosen = _choose(stories, in_tree=backlog.catalogue, committed=committed)
    workers = min(developers or len(chosen), settings.SWARM_MAX_DEVELOPERS)
    plan = make_plan(
        _candidates(chosen, repository),
        developers=workers,
        depends_on=depends_on,
        statuses={story.id: story.status for story in committed.stories},
    )
    if plan.problems:
        raise UnusableDependencies(" ".join(problem.text for problem in plan.problems), plan.problems)
    stories_by_id = {story.id: story for story in chosen}
    ordered = [stories_by_id[story] for story in plan.order]
    return PlannedRun(repository, head, committed.board_path, ordered, workers, plan)


def read_dependencies(pairs: Iterable[str]) -> dict[str, list[str]]:
    """Dependencies from pairs such as `1.2:1.1`, story 1.2 waits for 1.1. Raises `UnusableDependencies`."""
    depends_on: dict[str, list[str]] = {}
    for pair in pairs:
        story, _, dependency = (part.strip() for part in pair.partition(":"))
        if not story or not dependency:
            raise UnusableDependencies(f"{pair!r} is no dependency; write 1.2:1.1 for: story 1.2 waits for story 1.1.")
        depends_on.setdefault(story, []).append(dependency)
    return depends_on


def forecast(catalogue: Catalogue) -> Plan:
    """What all stories that are still to be done will likely touch, whoever may run together."""
    open_stories = {story.id: story for story in catalogue.stories if story.status not in SATISFIED}
    candidates = _candidates(list(open_stories.values()), open_workspace())
    return make_plan(candidates, developers=max(1, len(candidates)), depends_on={}, statuses={})


def _refuse_unusable(stories: Sequence[str], developers: int | None) -> None:
    if not stories:
        raise UnusableRequest("No story was named; name at least one.")
    repeated = [story for story, count in Counter(stories).items() if count > 1]
    if repeated:
        raise UnusableRequest(f"Stories named more than once: {', '.join(repeated)}.")
    if developers is not None and developers < 1:
        raise UnusableRequest(f"developers is {developers}; it must be greater than 0.")


def _choose(ids: Sequence[str], *, in_tree: Catalogue, committed: Catalogue) -> list[Story]:
    """The committed stories with these ids, in the order asked for; what is not committed cannot be run."""
    unknown = [story for story in ids if in_tree.get(story) is None and committed.get(story) is None]
    if unknown:
        known = ", ".join(story.id for story in in_tree.stories[:20]) or "none"
        raise UnknownStory(f"There is no story {', '.join(unknown)}. Known stories: {known}.")
    uncommitted = [story for story in ids if committed.get(story) is None]
    if uncommitted:
        raise UnusableRequest(
            f"Not committed yet: {', '.join(uncommitted)}. Developers work on what git has: commit the story files."
        )
    stories = [story for it in ids if (story := committed.get(it))]
    if fileless := [story.id for story in stories if not story.has_own_file]:
        raise UnusableRequest(
            f"Planned only, without a file of their own: {', '.join(fileless)}. Write the story files."
        )
    return stories


def _candidates(stories: Sequence[Story], repository: Repository) -> list[Candidate]:
    met = _past_conflicts(str(repository.root))
    return [Candidate(story.id, story.footprint, tuple(met.get(story.id, ()))) for story in stories]


def _past_conflicts(workspace: str) -> dict[str, dict[str, None]]:
    """The paths at which each story met another developer lately, whether it wanted the path or held it."""
    conflicts = Conflict.objects.filter(execution__workspace=workspace)[:REMEMBERED_CONFLICTS]
    met: dict[str, dict[str, None]] = defaultdict(dict)
    for path, wanted_by, held_by in conflicts.values_list("path", "node__story_id", "held_by"):
        met[wanted_by][path] = None
        # The log names a node as people read it; a person who held the path has no story.
        _, _, holder = held_by.partition(" on story ")
        if holder:
            met[holder][path] = None
    return met
