"""A run planned over the JSON API, and dependencies given to the one that is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarm.models import Execution, Node
from swarm.workspace.repository import Repository
from tests.api.client import ApiClient, problem
from tests.api.conftest import story_file

pytestmark = pytest.mark.usefixtures("workspace", "still")


def test_all_ready_stories_are_planned_if_none_is_named(reader: ApiClient) -> None:
    response = reader.get("/api/swarm/plan")

    assert response.status_code == 200
    plan = response.json()
    assert (plan["developers"], plan["starts_at_once"], plan["likely_conflicts"]) == (2, ["1.1", "1.2"], [])
    assert plan["stories"][0] == {
        "story": {"id": "1.1", "title": "Soup", "path": "stories/1-1-soup.md"},
        "wave": 1,
        "waits_for": [],
        "why": None,
        "files": [],
        "suggested_dependencies": [],
    }


def test_named_stories_are_planned_with_the_dependencies_and_developers_given(reader: ApiClient) -> None:
    plan = reader.get("/api/swarm/plan", stories="1.2, 1.1,1.10", depends_on=["1.2:1.1", "1.10:1.2"], developers=2)

    told = [(it["story"]["id"], it["wave"], it["why"]) for it in plan.json()["stories"]]
    assert told == [
        ("1.1", 1, None),
        ("1.2", 2, "Waits for 1.1 to be done."),
        ("1.10", 3, "Waits for 1.2 to be done."),
    ]


def test_nothing_is_started_by_a_plan(reader: ApiClient) -> None:
    reader.get("/api/swarm/plan")

    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ({"stories": "1.1,7.7"}, "unknown_story", "7.7"),
        ({"stories": "a\0b"}, "invalid_request", "stories"),
        ({"stories": "1.1,1.1"}, "unusable_request", "more than once"),
        ({"depends_on": ["1.1:1.2", "1.2:1.1"]}, "unusable_dependencies", "1.1 → 1.2 → 1.1"),
        ({"depends_on": "1.1:7.7"}, "unusable_dependencies", "does not exist"),
        ({"depends_on": "1.1"}, "unusable_dependencies", "write 1.2:1.1"),
        ({"developers": 0}, "invalid_request", "developers"),
    ],
)
def test_what_cannot_be_planned_is_a_problem(query: dict[str, Any], code: str, says: str, reader: ApiClient) -> None:
    assert says in problem(reader.get("/api/swarm/plan", **query), 422, code)["detail"]


def test_who_is_not_signed_in_gets_no_plan(anyone: ApiClient) -> None:
    problem(anyone.get("/api/swarm/plan"), 401, "not_signed_in")


def test_no_ready_story_is_said(reader: ApiClient, workspace: Repository) -> None:
    for path in Path(workspace.root).glob("stories/1-[12]-*.md"):
        path.write_bytes(story_file("1.1", "Soup").replace(b"ready-for-dev", b"done"))

    assert "No story" in problem(reader.get("/api/swarm/plan"), 422, "unusable_request")["detail"]


def test_an_execution_is_started_with_dependencies(writer: ApiClient) -> None:
    body = {"stories": ["1.2", "1.1"], "depends_on": {"1.2": ["1.1", "1.10"]}}

    execution = writer.post("/api/swarm/execute", body).json()

    nodes = {node["story"]["id"]: node for node in execution["nodes"]}
    assert (nodes["1.1"]["name"], nodes["1.1"]["depends_on"], nodes["1.1"]["detail"]) == ("developer-1", [], "")
    assert (nodes["1.2"]["name"], nodes["1.2"]["depends_on"]) == ("developer-2", ["1.1"])
    assert nodes["1.2"]["detail"] == "waits for 1.1 to be done"
    assert writer.get(f"/api/swarm/nodes/{nodes['1.2']['id']}").json()["detail"] == "waits for 1.1 to be done"


@pytest.mark.parametrize(
    ("depends_on", "code"),
    [
        ({"1.1": ["1.2"], "1.2": ["1.1"]}, "unusable_dependencies"),
        ({"1.1": "1.2"}, "invalid_request"),
        ({"1.1": ["a\0b"]}, "invalid_request"),
        (["1.1"], "invalid_request"),
    ],
)
def test_dependencies_that_cannot_be_kept_start_nothing(depends_on: object, code: str, writer: ApiClient) -> None:
    problem(writer.post("/api/swarm/execute", {"stories": ["1.1", "1.2"], "depends_on": depends_on}), 422, code)

    assert not Node.objects.exists()
