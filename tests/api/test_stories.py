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


# Drift


@pytest.fixture
def drifted(workspace: Repository) -> Repository:
    """The board is behind on 1.10, and knows a story without a file."""
    board = "development_status:\n  1-1-soup: ready-for-dev\n  1-10-salad: review\n  1-11-pie: review\n"
    (workspace.root / "stories/sprint-status.yaml").write_text(board)
    return workspace


PIE = {
    "key": "1-11-pie",
    "story": "1.11",
    "file_status": None,
    "board_status": "review",
    "text": "the board has 1-11-pie as review, but there is no file for it",
}


@pytest.mark.usefixtures("drifted")
def test_drift_comes_with_the_exact_edits_that_would_end_it(reader: ApiClient) -> None:
    report = reader.get("/api/stories/drift").json()

    assert len(report.pop("fingerprint")) == 64
    assert report == {
        "drift": [
            {
                "key": "1-10-salad",
                "story": "1.10",
                "file_status": "done",
                "board_status": "review",
                "text": "the file says done, the board review",
            },
            PIE,
        ],
        "edits": [
            {
                "path": "stories/sprint-status.yaml",
                "statuses": [{"key": "1-10-salad", "on_board": True, "before": "review", "after": "done"}],
                "diff": "--- stories/sprint-status.yaml\n+++ stories/sprint-status.yaml\n@@ -2,3 +2,3 @@\n"
                "   1-1-soup: ready-for-dev\n-  1-10-salad: review\n+  1-10-salad: done\n   1-11-pie: review\n",
            }
        ],
        "undecided": [PIE],
    }


def test_a_repair_writes_the_previewed_edits_and_says_which(writer: ApiClient, drifted: Repository) -> None:
    preview = writer.get("/api/stories/drift").json()
    response = writer.post("/api/stories/repair", {"fingerprint": preview["fingerprint"]})

    assert response.json() == {"edits": preview["edits"]}
    assert "1-10-salad: done" in (drifted.root / "stories/sprint-status.yaml").read_text()
    assert writer.get("/api/stories/drift").json()["drift"] == [PIE]


def test_a_repair_whose_preview_is_outdated_writes_nothing(writer: ApiClient, drifted: Repository) -> None:
    preview = writer.get("/api/stories/drift").json()
    board = drifted.root / "stories/sprint-status.yaml"
    board.write_text(changed := board.read_text() + "# mine\n")

    problem(writer.post("/api/stories/repair", {"fingerprint": preview["fingerprint"]}), 409, "preview_outdated")
    assert board.read_text() == changed


def test_who_may_only_look_cannot_repair(reader: ApiClient, drifted: Repository) -> None:
    preview = reader.get("/api/stories/drift").json()
    problem(reader.post("/api/stories/repair", {"fingerprint": preview["fingerprint"]}), 403, "not_permitted")
    assert "1-10-salad: review" in (drifted.root / "stories/sprint-status.yaml").read_text()


@pytest.mark.usefixtures("drifted")
def test_a_repair_without_a_fingerprint_is_refused(writer: ApiClient) -> None:
    document = problem(writer.post("/api/stories/repair", {}), 422, "invalid_request")
    assert invalid_fields(document) == {("body", "fingerprint")}
