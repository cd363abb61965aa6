"""The stories as they lie in the workspace."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router

from swarm.api.errors import NotFound
from swarm.api.paging import Page, PageQuery, page_of_list
from swarm.api.schemas import StoryDetail, StorySummary
from swarm.engine.backlog import read_backlog
from swarm.stories.story import Story, story_order

router = Router(tags=["stories"])


@router.get("", response=Page[StorySummary])
def stories(request: HttpRequest, query: Query[PageQuery]) -> Any:
    """Every story, by epic and number."""
    return page_of_list(
        read_backlog().catalogue.stories,
        query,
        order="stories",
        place=lambda story: [story.id, story.path],
        key=lambda place: (story_order(place[0]), place[1]),
    )


@router.get("/{story_id}", response=StoryDetail)
def story(request: HttpRequest, story_id: str) -> Story:
    """One story, with its file's text."""
    found = read_backlog().catalogue.get(story_id)
    if found is None:
        raise NotFound(f"There is no story {story_id}; /api/stories lists them.")
    return found
