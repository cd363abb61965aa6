"""Who may call what: 401, 403, CSRF, and the pace of writes."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from swarm.models import ApiToken, FileLock
from tests.api.client import ApiClient, problem

SOME_ID = uuid.UUID(int=1)
READS = [
    "/api/stories",
    "/api/stories/1.1",
    "/api/swarm/executions",
    f"/api/swarm/status/{SOME_ID}",
    f"/api/swarm/events/{SOME_ID}",
    f"/api/swarm/nodes/{SOME_ID}",
    f"/api/swarm/nodes/{SOME_ID}/diff",
    f"/api/swarm/nodes/{SOME_ID}/transcript",
    "/api/swarm/conflicts",
    "/api/swarm/limiter",
    "/api/files/locks",
]
WRITES = [
    "/api/swarm/execute",
    f"/api/swarm/cancel/{SOME_ID}",
    f"/api/swarm/retry/{SOME_ID}",
    "/api/files/lock",
    "/api/files/unlock",
    "/api/chat",
]


@pytest.mark.django_db
@pytest.mark.parametrize("path", READS)
def test_reading_without_signing_in_is_refused(path: str, anyone: ApiClient) -> None:
    response = anyone.get(path)

    problem(response, 401, "not_signed_in")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.django_db
@pytest.mark.parametrize("path", WRITES)
def test_writing_without_signing_in_is_refused(path: str, anyone: ApiClient) -> None:
    problem(anyone.post(path, {}), 401, "not_signed_in")


@pytest.mark.parametrize("path", WRITES)
def test_somebody_who_may_only_look_may_not_write_whatever_the_body(path: str, reader: ApiClient) -> None:
    problem(reader.post(path, {}), 403, "not_permitted")


def test_an_unknown_token_is_refused_even_beside_a_valid_session(operator: User) -> None:
    client = Client()
    client.force_login(operator)

    problem(ApiClient("swarm_wrong", client).get("/api/files/locks"), 401, "not_signed_in")


def test_the_token_of_somebody_who_was_locked_out_is_refused(operator: User) -> None:
    token = ApiToken.issue(operator)
    User.objects.filter(pk=operator.pk).update(is_active=False)

    problem(ApiClient(token).get("/api/files/locks"), 401, "not_signed_in")


def test_a_session_may_read(viewer: User) -> None:
    client = Client()
    client.force_login(viewer)

    assert client.get("/api/files/locks").json() == {"items": [], "next": None}


def test_a_session_may_write_only_with_the_csrf_token(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    api = ApiClient(client=client)
    client.cookies["csrftoken"] = "c" * 32

    problem(api.post("/api/files/lock", {"path": "a.py"}), 403, "csrf_failed")
    assert not FileLock.objects.exists()
    response = api.post("/api/files/lock", {"path": "a.py"}, headers={"X-CSRFToken": "c" * 32})
    assert response.status_code == 200


def test_a_token_needs_no_csrf_token(operator: User) -> None:
    api = ApiClient(ApiToken.issue(operator), Client(enforce_csrf_checks=True))

    assert api.post("/api/files/lock", {"path": "a.py"}).status_code == 200


@pytest.fixture
def two_writes_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.api.auth.WRITE_RATE", "2/m")
    monkeypatch.setattr("django_ratelimit.core.time", SimpleNamespace(time=lambda: 1_000_000_000))


@pytest.mark.usefixtures("two_writes_a_minute")
def test_who_writes_too_fast_is_told_when_to_go_on_and_may_still_read(writer: ApiClient) -> None:
    for path in ("a.py", "b.py"):
        assert writer.post("/api/files/lock", {"path": path}).status_code == 200

    response = writer.post("/api/files/unlock", {"path": "a.py"})

    problem(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert len(writer.get("/api/files/locks").json()["items"]) == 2


@pytest.mark.usefixtures("two_writes_a_minute")
def test_one_users_pace_does_not_slow_another(writer: ApiClient, admin_user: Any) -> None:
    for _ in range(3):
        response = writer.post("/api/files/lock", {"path": "a.py"})
    assert response.status_code == 429

    assert ApiClient(ApiToken.issue(admin_user)).post("/api/files/lock", {"path": "b.py"}).status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("two_writes_a_minute")
def test_the_tries_of_strangers_are_counted_by_address(anyone: ApiClient) -> None:
    for _ in range(2):
        problem(anyone.post("/api/files/lock", {"path": "a.py"}), 401, "not_signed_in")

    problem(anyone.post("/api/files/lock", {"path": "a.py"}), 429, "too_many_requests")
