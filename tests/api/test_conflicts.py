"""The conflict log over the API: the list and its filters, the hottest files, and who had what when."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from swarm.events.record import recording
from swarm.models import Conflict, FileLock, Node
from tests.api.client import ApiClient, invalid_fields, problem
from tests.factories import make_execution, make_node


def conflict_of(node: Node, path: str, **values: Any) -> Conflict:
    lock, _ = FileLock.objects.get_or_create(key=path, defaults={"path": path})
    defaults = {"lock": lock, "path": path, "execution": node.execution, "held_by": "somebody", "policy": "wait"}
    return Conflict.objects.create(node=node, **defaults | values)


@pytest.mark.django_db
def test_conflicts_tell_who_wanted_what_and_how_it_ended(reader: ApiClient) -> None:
    node, other = make_node(make_execution()), make_node(make_execution())
    asked_at = datetime(2026, 1, 1, tzinfo=UTC)
    conflict_of(
        node, "a.py", asked_at=asked_at, ended_at=asked_at + timedelta(seconds=2.5), outcome=Conflict.Outcome.GRANTED
    )
    conflict_of(other, "b.py")

    assert [item["path"] for item in reader.get("/api/swarm/conflicts").json()["items"]] == ["b.py", "a.py"]
    (entry,) = reader.get("/api/swarm/conflicts", execution=node.execution_id).json()["items"]
    assert entry == {
        "path": "a.py",
        "execution": str(node.execution_id),
        "node": str(node.pk),
        "wanted_by": "developer-1 on story 1.1",
        "held_by": "somebody",
        "policy": "wait",
        "asked_at": "2026-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:02.500Z",
        "waited": 2.5,
        "outcome": "granted",
    }


@pytest.mark.parametrize("rows", [1, 3])
def test_conflicts_take_the_same_queries_however_many(
    rows: int, reader: ApiClient, django_assert_num_queries: Any
) -> None:
    node = make_node(make_execution())
    for _ in range(rows):
        conflict_of(node, "a.py")

    with django_assert_num_queries(2):  # the token, conflicts with their nodes
        assert len(reader.get("/api/swarm/conflicts").json()["items"]) == rows


@pytest.mark.django_db
def test_filters_are_all_to_be_met_and_go_on_over_pages(reader: ApiClient) -> None:
    node, other = make_node(make_execution()), make_node(make_execution(), story_id="2.7")
    for path in ("a.py", "b.py", "a.txt"):
        conflict_of(node, path)
        conflict_of(other, path, outcome="notified", policy="notify", ended_at=now())
    conflict_of(other, "a.py", asked_at=now() - timedelta(minutes=1))

    def paths(**query: Any) -> list[list[str]]:
        return [[item["path"] for item in page] for page in reader.pages("/api/swarm/conflicts", **query)]

    assert paths(story="2.7", policy="notify", limit=2) == [["a.txt", "b.py"], ["a.py"]]
    assert paths(node=node.pk, path="a.") == [["a.txt", "a.py"]]
    assert paths(outcome="waiting", longer_than=30) == [["a.py"]]
    assert paths(execution=uuid.uuid4()) == [[]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("execution", "x"),
        ("node", "1"),
        ("outcome", "bogus"),
        ("policy", "fight"),
        ("longer_than", "-1"),
        ("longer_than", "nan"),
        ("longer_than", "1e12"),
        ("path", "\0"),
        ("cursor", "x"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(field: str, value: str, reader: ApiClient) -> None:
    document = problem(reader.get("/api/swarm/conflicts", **{field: value}), 422, "invalid_request")
    assert invalid_fields(document) == {("query", field)}


@pytest.mark.django_db
def test_the_hottest_files_tell_how_long_they_were_waited_for_and_who_has_them(reader: ApiClient, viewer: User) -> None:
    node = make_node(make_execution())
    asked_at = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds in (1, 2.5):
        conflict_of(node, "a.py", asked_at=asked_at, ended_at=asked_at + timedelta(seconds=seconds), outcome="granted")
    conflict_of(node, "b.py", asked_at=asked_at, ended_at=asked_at, outcome="notified")
    FileLock.objects.filter(key="a.py").update(user=viewer, expires_at=now() + timedelta(hours=1))

    assert reader.get("/api/swarm/conflicts/files").json() == {
        "items": [
            {"path": "a.py", "conflicts": 2, "waited": 3.5, "longest": 2.5, "holder": "viewer"},
            {"path": "b.py", "conflicts": 1, "waited": 0.0, "longest": 0.0, "holder": ""},
        ]
    }
    assert reader.get("/api/swarm/conflicts/files", path="c").json() == {"items": []}


@pytest.mark.django_db
def test_the_map_tells_who_held_and_who_waited(reader: ApiClient) -> None:
    execution = make_execution(started_at=now() - timedelta(minutes=1))
    holder, waiter = make_node(execution), make_node(execution)
    conflict_of(waiter, "a.py")
    with recording(execution.pk) as record:
        record("file:locked", holder, path="a.py")
        record("file:unlocked", holder, path="a.py")

    answer = reader.get(f"/api/swarm/conflicts/map/{execution.pk}").json()

    [file] = answer.pop("files")
    assert answer.keys() == {"execution", "begins_at", "ends_at", "more_files"}
    assert (answer["execution"], file["path"]) == (str(execution.pk), "a.py")
    [hold], [wait] = file["holds"], file["waits"]
    assert (hold["holder"], hold["node"]) == ("developer-1 on story 1.1", str(holder.pk))
    assert hold["begins_at"] <= hold["ends_at"]
    assert (wait["node"], wait["outcome"]) == (str(waiter.pk), "waiting")
    problem(reader.get(f"/api/swarm/conflicts/map/{uuid.uuid4()}"), 404, "not_found")


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [1, 3])
def test_hot_files_and_map_take_the_same_queries_however_many(
    rows: int, reader: ApiClient, django_assert_num_queries: Any
) -> None:
    execution = make_execution()
    for number in range(rows):
        node = make_node(execution)
        conflict_of(node, f"{number}.py")
        with recording(execution.pk) as record:
            record("file:locked", node, path=f"{number}.py")
    with django_assert_num_queries(3):  # the token, groups, locks with their holders
        reader.get("/api/swarm/conflicts/files")
    with django_assert_num_queries(5):  # the token, the execution, conflicts, events, their nodes
        reader.get(f"/api/swarm/conflicts/map/{execution.pk}")
