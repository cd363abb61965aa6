"""Start orders on the pages: files foreseen, dependencies to confirm, the plan of what is ticked, what is refused."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from swarm.engine import lifecycle
from swarm.models import Execution
from tests.factories import make_execution, make_node
from tests.workspace.repositories import make_repository

pytestmark = pytest.mark.django_db

STORY = """# Story {id}: Dish {id}

Status: {status}

## Acceptance Criteria

1. It tastes.

## Tasks / Subtasks

- [ ] Cook with `{path}`

## Dev Notes

- Depends on: {needs}
"""


def story(story_id: str, *, path: str = "a.py", status: str = "ready-for-dev", needs: str = "nothing") -> bytes:
    return STORY.format(id=story_id, path=path, status=status, needs=needs).encode()


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four stories; executions are recorded, but nobody works on them."""
    settings.SWARM_WORKSPACE = str(tmp_path / "workspace")
    settings.SWARM_STORIES = ""
    settings.SWARM_CHAT_MODEL = "some-model"
    monkeypatch.setattr(lifecycle, "dispatch", lambda execution_id: None)
    make_repository(
        tmp_path / "workspace",
        {
            "stories/1-1-one.md": story("1.1", needs="Story 1.2"),
            "stories/1-2-two.md": story("1.2", needs="Story 1.1"),
            "stories/1-3-three.md": story("1.3", path="b.py", needs="Story 1.4, Story 9.9"),
            "stories/1-4-four.md": story("1.4", status="done"),
        },
    )


@pytest.fixture
def page(client: Client, operator: Any) -> Client:
    client.force_login(operator)
    return client


def words_of(response: Any) -> str:
    """The text of a page without its tags."""
    assert response.status_code == 200
    return " ".join(re.sub("<[^>]+>", " ", response.content.decode()).split())


def typed(**changes: Any) -> dict[str, Any]:
    form = {"stories": ["1.1", "1.2"], "on_conflict": "wait", "max_attempts": "3", "timeout_min": "60"}
    return form | {"form_id": str(uuid.uuid4())} | changes


def test_each_story_tells_what_it_will_likely_touch_and_who_else_will(page: Client) -> None:
    words = words_of(page.get("/executions/new/"))

    assert "Likely touches a.py as does 1.2" in words
    assert "Likely touches b.py" in words


def test_suggested_dependencies_are_boxes_and_what_is_done_or_unknown_is_not(page: Client) -> None:
    response = page.get("/executions/new/")

    html = response.content.decode()
    assert re.findall('name="depends_on" value="([^"]+)"', html) == ["1.1:1.2", "1.2:1.1"]
    assert not re.search('name="depends_on"[^>]* checked', html)
    words = words_of(response)
    assert "1.4, named in line 15: Done" in words
    assert "9.9, named in line 15: Not in the backlog" in words


def test_the_plan_of_the_proposed_stories_is_there_without_any_script(page: Client) -> None:
    words = words_of(page.get("/executions/new/"))

    assert "Start order All 3 start at once 1.1, 1.2, 1.3" in words
    assert "1.1, 1.2 a.py named in their files" in words


def test_a_live_refresh_brings_the_plan_of_what_is_ticked(page: Client) -> None:
    query = {"stories": ["1.1", "1.2", "1.3"], "depends_on": ["1.2:1.1", "1.3:1.4"], "developers": "1"}

    response = page.get("/executions/new/", query, headers={"HX-Request": "true"})

    words = words_of(response)
    assert "<html" not in response.content.decode()
    assert 'id="plan"' in response.content.decode()
    assert "1 of 3 start at once 1.1" in words
    assert "1 waits for other stories 1.2 after 1.1" in words
    assert "1 waits for one of the 1 developers 1.3" in words


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({}, "No story was named"),
        ({"stories": ["9.9"]}, "There is no story 9.9"),
        ({"stories": ["1.1", "1.2"], "depends_on": ["1.1:1.2", "1.2:1.1"]}, "1.1 → 1.2 → 1.1"),
        ({"stories": ["1.1"], "depends_on": ["1.1"]}, "is no dependency"),
        ({"stories": ["1.1"], "depends_on": ["1.1:1.2"]}, "not part of the run"),
    ],
)
def test_what_cannot_be_planned_is_said_in_the_plans_place(page: Client, query: dict[str, Any], sentence: str) -> None:
    assert sentence in words_of(page.get("/executions/new/", query, headers={"HX-Request": "true"}))


def test_developers_that_are_no_number_do_not_hide_the_plan(page: Client) -> None:
    query = {"stories": ["1.1"], "developers": "many"}
    assert "All 1 start at once" in words_of(page.get("/executions/new/", query, headers={"HX-Request": "true"}))


def test_stories_that_cannot_be_read_are_said_in_the_plans_place(page: Client, settings: Settings) -> None:
    settings.SWARM_STORIES = "nowhere"
    words = words_of(page.get("/executions/new/", headers={"HX-Request": "true"}))
    assert words.startswith("Start order SWARM_STORIES is nowhere")


def test_ticked_dependencies_are_kept_by_the_execution(page: Client) -> None:
    page.post("/executions/new/", typed(depends_on=["1.2:1.1"]))

    nodes = Execution.objects.get().nodes.all()
    assert [(node.story_id, node.depends_on) for node in nodes] == [("1.1", []), ("1.2", ["1.1"])]


def test_a_dependency_of_a_story_that_is_not_ticked_does_not_matter(page: Client) -> None:
    page.post("/executions/new/", typed(stories=["1.1"], depends_on=["1.2:1.1"]))

    assert Execution.objects.get().nodes.get().depends_on == []


def test_a_circle_is_said_beside_the_boxes_and_everything_typed_is_kept(page: Client) -> None:
    circle = ["1.1:1.2", "1.2:1.1"]
    response = page.post("/executions/new/", typed(stories=["1.1", "1.2", "1.3"], depends_on=circle, developers="2"))

    html = response.content.decode()
    assert "Nothing was started." in html
    assert not Execution.objects.exists()
    assert html.count("in a circle: 1.1 → 1.2 → 1.1.") == 4  # the summary, both stories, the plan's place
    for value in circle:
        assert re.search(f'name="depends_on" value="{value}"[^>]* checked aria-invalid="true"', html)
    assert 'name="developers" value="2"' in html
    assert html.count('name="stories" value="1.3" id="story-3" checked') == 1


def test_a_dependency_that_is_not_offered_is_refused(page: Client) -> None:
    response = page.post("/executions/new/", typed(depends_on=["1.1:1.3"]))

    assert "The dependency 1.1:1.3 is not named in the story" in words_of(response)
    assert not Execution.objects.exists()


def test_the_execution_page_shows_the_plan_that_it_was_started_by(page: Client) -> None:
    page.post("/executions/new/", typed(stories=["1.1", "1.2", "1.3"], depends_on=["1.2:1.1"], developers="1"))

    words = words_of(page.get(f"/executions/{Execution.objects.get().pk}/"))

    assert "1 of 3 start at once 1.1" in words
    assert "1.2 after 1.1" in words
    assert "1.1, 1.2 a.py named in their files" in words
    assert "Waits for 1.1 to be done." in words
    assert "Waits for a free developer." in words


def test_an_execution_over_one_story_has_no_order_to_show(page: Client) -> None:
    execution = make_execution()
    make_node(execution)
    assert "Start order" not in words_of(page.get(f"/executions/{execution.pk}/"))


def test_the_node_page_says_whom_it_waits_for(page: Client) -> None:
    execution = make_execution()
    make_node(execution)
    waiting = make_node(execution, status="pending", depends_on=["1.1"])

    words = words_of(page.get(f"/nodes/{waiting.pk}/"))

    assert "Waits for 1.1 to be done." in words
    assert "Depends on 1.1" in words
