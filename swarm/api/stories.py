"""The stories as they lie in the workspace, and the repair of what files and board disagree about."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from swarm.api.auth import OPERATORS
from swarm.api.errors import NotFound
from swarm.api.paging import Page, PageQuery, page_of_list
from swarm.api.schemas import Body, StoryDetail, StorySummary, Text
from swarm.engine import drift
from swarm.engine.backlog import read_backlog
from swarm.stories.story import Story, StoryStatus, story_order

router = Router(tags=["stories"])


class DriftEntry(Schema):
    """One disagreement between a story's file and the board; `file_status` is null where there is no file."""

    key: str = Field(description="The entry's key on the board.")
    story: str = Field(validation_alias="story_id")
    file_status: StoryStatus | None
    board_status: StoryStatus
    text: str


class StatusEdit(Schema):
    """The status that a repair changes, in the story's file or under its key on the board."""

    key: str
    on_board: bool
    before: StoryStatus
    after: StoryStatus


class FileEdit(Schema):
    """What a repair changes in one file."""

    path: str
    statuses: list[StatusEdit] = Field(validation_alias="repairs")
    diff: str = Field(description="A unified diff.")

    @staticmethod
    def resolve_diff(edit: drift.FileEdit) -> str:
        return "".join(f"{line}\n" for line in edit.diff)


class DriftReport(Schema):
    """Where files and board disagree, and what a repair would write; `undecided` is left for a person."""

    drift: list[DriftEntry]
    edits: list[FileEdit]
    undecided: list[DriftEntry]
    fingerprint: str = Field(description="Stands for these edits; POST it to /api/stories/repair.")


class RepairBody(Body):
    """`fingerprint` is that of the previewed edits; others are not made."""

    fingerprint: Text


class RepairReport(Schema):
    """What was written."""

    edits: list[FileEdit]


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


@router.get("/drift", response=DriftReport)
def drift_report(request: HttpRequest) -> drift.RepairPreview:
    """Where story files and the board disagree, and the exact edits that would end it."""
    return drift.preview_repair()


@router.post("/repair", auth=OPERATORS, response=RepairReport)
def repair(request: HttpRequest, body: RepairBody) -> dict[str, Any]:
    """Make the previewed edits in the working tree. If a file changed since the preview, nothing is written: 409."""
    return {"edits": drift.repair_drift(body.fingerprint)}


@router.get("/{story_id}", response=StoryDetail)
def story(request: HttpRequest, story_id: str) -> Story:
    """One story, with its file's text."""
    found = read_backlog().catalogue.get(story_id)
    if found is None:
        raise NotFound(f"There is no story {story_id}; /api/stories lists them.")
    return found
