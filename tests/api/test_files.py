from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils.timezone import now

from swarm.models import ApiToken, Conflict, Event, FileLock
from tests.api.client import ApiClient, problem
from tests.factories import make_execution, make_node


def held(path: str, **holder: Any) -> FileLock:
    at = now()
    return FileLock.objects.create(key=path, path=path, locked_at=at, expires_at=at + timedelta(hours=1), **holder)


def test_a_person_locks_a_path_until_a_time_and_gives_it_up(writer: ApiClient, operator: User) -> None:
    before = now()

    response = writer.post("/api/files/lock", {"path": "./src//a.py", "reason": "by hand", "ttl": 60})

    lock = response.json()
    assert response.status_code == 200
    until = datetime.fromisoformat(lock.pop("expires_at"))
    assert before + timedelta(seconds=59) < until < now() + timedelta(seconds=61)
    assert datetime.fromisoformat(lock.pop("locked_at")) >= before - timedelta(seconds=1)
    assert lock == {
        "path": "src/a.py", "holder": "operator", "user": "operator", "node": None, "execution": None,
        "reason": "by hand",
    }  # fmt: skip
    assert [row["path"] for row in writer.get("/api/files/locks").json()["items"]] == ["src/a.py"]

    assert writer.post("/api/files/unlock", {"path": "src/a.py"}).status_code == 204
    assert writer.get("/api/files/locks").json()["items"] == []
    assert list(Event.objects.values_list("type", flat=True)) == ["file:locked", "file:unlocked"]


def test_without_a_ttl_a_lock_lasts_as_long_as_a_nodes(writer: ApiClient, settings: Any) -> None:
    settings.SWARM_LOCK_TTL = 1000
    until = datetime.fromisoformat(writer.post("/api/files/lock", {"path": "a.py"}).json()["expires_at"])

    assert timedelta(seconds=990) < until - now() < timedelta(seconds=1001)


def test_a_path_that_somebody_holds_can_be_neither_locked_nor_unlocked(writer: ApiClient, admin_user: User) -> None:
    held("a.py", user=admin_user)
    held("b.py", node=make_node(make_execution()))

    assert "admin" in problem(writer.post("/api/files/lock", {"path": "a.py"}), 409, "path_held")["detail"]
    assert "admin" in problem(writer.post("/api/files/unlock", {"path": "a.py"}), 409, "not_the_holder")["detail"]
    assert "developer-1" in problem(writer.post("/api/files/lock", {"path": "b.py"}), 409, "path_held")["detail"]
    problem(writer.post("/api/files/unlock", {"path": "free.py"}), 409, "not_the_holder")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("../a.py", "path_outside_workspace"),
        ("/etc/passwd", "path_outside_workspace"),
        (".git/config", "path_outside_workspace"),
        ("", "bad_path"),
        ("a" * 300, "bad_path"),
        ("a\x01b", "bad_path"),
    ],
)
def test_a_path_that_no_workspace_has_is_refused(path: str, code: str, writer: ApiClient) -> None:
    for verb in ("lock", "unlock"):
        problem(writer.post(f"/api/files/{verb}", {"path": path}), 422, code)


@pytest.mark.parametrize(
    "body",
    [
        {"path": "a.py", "ttl": 0},
        {"path": "a.py", "ttl": 1e12},
        {"path": "a.py", "reason": "r" * 501},
        {"path": "a.py", "reason": "\0"},
        {"path": "a.py", "reason": "\ud800"},
        {"path": None},
        {"paths": ["a.py"]},
    ],
)
def test_a_lock_that_cannot_be_is_refused(body: object, writer: ApiClient) -> None:
    problem(writer.post("/api/files/lock", body), 422, "invalid_request")
    assert not FileLock.objects.exists()


def test_a_lock_of_a_node_names_node_and_execution(reader: ApiClient) -> None:
    node = make_node(make_execution())
    held("a.py", node=node)

    (lock,) = reader.get("/api/files/locks").json()["items"]

    assert lock["holder"] == "developer-1 on story 1.1"
    assert (lock["node"], lock["execution"], lock["user"]) == (str(node.pk), str(node.execution_id), None)


def test_locks_that_ran_out_or_were_given_up_are_not_listed(reader: ApiClient, operator: User) -> None:
    expired = held("a.py", user=operator)
    FileLock.objects.filter(pk=expired.pk).update(expires_at=now() - timedelta(seconds=1))
    FileLock.objects.create(key="b.py", path="b.py")

    assert reader.get("/api/files/locks").json() == {"items": [], "next": None}


def test_locks_come_in_pages_by_path(reader: ApiClient, operator: User) -> None:
    for path in ("c.py", "a.py", "b.py"):
        held(path, user=operator)

    pages = reader.pages("/api/files/locks", limit=2)

    assert [[lock["path"] for lock in page] for page in pages] == [["a.py", "b.py"], ["c.py"]]


@pytest.mark.parametrize("rows", [1, 3])
def test_the_lock_table_takes_the_same_queries_however_many(
    rows: int, reader: ApiClient, operator: User, django_assert_num_queries: Any
) -> None:
    node = make_node(make_execution())
    for number in range(rows):
        held(f"{number}.py", node=node)
        held(f"{number}.txt", user=operator)

    with django_assert_num_queries(3):  # the token, locks with their holders, those in line
        assert len(reader.get("/api/files/locks").json()["items"]) == 2 * rows


def test_an_extended_lock_is_still_one(writer: ApiClient, operator: User) -> None:
    first = writer.post("/api/files/lock", {"path": "a.py", "ttl": 10}).json()
    second = ApiClient(ApiToken.issue(operator)).post("/api/files/lock", {"path": "a.py", "ttl": 100}).json()

    assert second["locked_at"] == first["locked_at"]
    assert second["expires_at"] > first["expires_at"]


def test_a_lock_tells_who_waits_for_it_in_order(reader: ApiClient) -> None:
    execution = make_execution()
    nodes = [make_node(execution) for _ in range(3)]
    lock = held("a.py", node=nodes[0])
    for node in (nodes[2], nodes[1]):
        Conflict.objects.create(lock=lock, path="a.py", execution=execution, node=node, held_by="x", policy="wait")

    (shown,) = reader.get("/api/files/locks").json()["items"]

    assert [(it["name"], it["node"]) for it in shown["waiting"]] == [
        ("developer-3", str(nodes[2].pk)),
        ("developer-2", str(nodes[1].pk)),
    ]
    assert datetime.fromisoformat(shown["waiting"][0]["since"]) <= now()


def test_a_lock_is_broken_with_a_reason_by_who_may(operator: User, viewer: User) -> None:
    node = make_node(make_execution())
    held("a.py", node=node)
    body = {"path": "a.py", "force": True, "reason": "hotfix"}
    refused = problem(ApiClient(ApiToken.issue(operator)).post("/api/files/unlock", body), 403, "not_permitted")
    assert "permission to break locks" in refused["detail"]
    assert FileLock.objects.get().node == node

    operator.user_permissions.add(Permission.objects.get(codename="break_lock"))
    breaker = ApiClient(ApiToken.issue(operator))
    problem(breaker.post("/api/files/unlock", body | {"reason": ""}), 422, "reason_missing")
    assert breaker.post("/api/files/unlock", body).status_code == 204
    problem(breaker.post("/api/files/unlock", body), 409, "lock_moved")

    assert FileLock.objects.get().node is None
    event = Event.objects.get(type="file:unlocked")
    assert (event.node, event.data["broken_by"], event.data["reason"]) == (node, "operator", "hotfix")


def test_the_permission_to_break_locks_alone_is_not_enough(viewer: User) -> None:
    viewer.user_permissions.add(Permission.objects.get(codename="break_lock"))
    held("a.py", node=make_node(make_execution()))

    body = {"path": "a.py", "force": True, "reason": "hotfix"}
    problem(ApiClient(ApiToken.issue(viewer)).post("/api/files/unlock", body), 403, "not_permitted")
