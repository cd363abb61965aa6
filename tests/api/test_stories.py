from __future__ import annotations

import pytest

from swarm.workspace.repository import Repository
from tests.api.client import ApiClient, invalid_fields, problem
from tests.api.conftest import story_file


@pytest.mark.usefixtures("workspace")
def test_a_story_is_listed_with_its_tasks_and_problems(reader: ApiClient) -> None:
    response = reader.get("/api/stories")

    first, _, last = response.json()["items"]
    assert first == {
        "id": "1.1",
        "title": "Soup",
        "path": "stories/1-1-soup.md",
        "status": "ready-for-dev",
        "acceptance_criteria": [{"number": "1", "text": "It works."}],
        "tasks": [
            {"number": 1, "text": "Task 1: Think", "done": True, "subtasks": []},
            {
                "number": 2,
                "text": "Task 2: Write",
                "done": False,
                "subtasks": [
                    {"text": "Subtask 2.1: Begin", "done": True},
                    {"text": "Subtask 2.2: End", "done": False},
                ],
            },
        ],
        "tasks_done": 1,
        "tasks_total": 2,
        "depends_on": [],
        "problems": [],
    }
    assert last["problems"] == ["no tasks were found"]


@pytest.mark.usefixtures("workspace")
def test_stories_come_in_pages_in_the_order_of_their_numbers(reader: ApiClient) -> None:
    pages = reader.pages("/api/stories", limit=2)

    assert [[story["id"] for story in page] for page in pages] == [["1.1", "1.2"], ["1.10"]]


def test_a_story_added_between_two_pages_shifts_nothing(reader: ApiClient, workspace: Repository) -> None:
    first = reader.get("/api/stories", limit=2).json()
    (workspace.root / "stories/1-0-menu.md").write_bytes(story_file("1.0", "Menu"))
    (workspace.root / "stories/1-3-cake.md").write_bytes(story_file("1.3", "Cake"))

    second = reader.get("/api/stories", cursor=first["next"]).json()

    assert [story["id"] for story in second["items"]] == ["1.3", "1.10"]


def test_one_story_comes_with_the_text_of_its_file(reader: ApiClient, workspace: Repository) -> None:
    story = reader.get("/api/stories/1.1").json()

    assert story["text"] == (workspace.root / "stories/1-1-soup.md").read_text()
    assert story["dev_notes"] == "Mind the salt."


@pytest.mark.usefixtures("workspace")
def test_an_unknown_story_is_not_found(reader: ApiClient) -> None:
    assert "9.9" in problem(reader.get("/api/stories/9.9"), 404, "not_found")["detail"]


def test_a_story_id_that_two_files_have_is_a_conflict_that_names_them(reader: ApiClient, workspace: Repository) -> None:
    (workspace.root / "stories/soup-again.md").write_bytes(story_file("1.1", "Soup again"))

    assert "soup-again.md" in problem(reader.get("/api/stories/1.1"), 409, "ambiguous_story")["detail"]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 501}, {"limit": "many"}, {"cursor": "é"}, {"cursor": "x"}])
def test_a_page_that_cannot_be_is_refused(query: dict[str, object], reader: ApiClient) -> None:
    document = problem(reader.get("/api/stories", **query), 422, "invalid_request")

    assert invalid_fields(document) == {("query", next(iter(query)))}
