"""Whatever goes wrong under /api/ is answered with a problem (RFC 9457)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from swarm import errors
from swarm.engine import backlog
from tests.api.client import ApiClient, invalid_fields, problem


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/swarm/status/not-an-id", "/api/stories/1.1/x"])
def test_an_unknown_path_is_a_problem(path: str, method: str) -> None:
    problem(Client(enforce_csrf_checks=True).generic(method, path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/api/swarm/execute", "POST"), ("DELETE", "/api/stories", "GET"), ("PUT", "/api/chat", "POST")],
)
def test_a_wrong_method_is_a_problem_that_names_the_right_one(method: str, path: str, allowed: str) -> None:
    response = Client().generic(method, path)

    assert allowed in problem(response, 405, "method_not_allowed")["detail"]
    assert response["Allow"] == allowed


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b'{"path": NaN}', b"[" * 100_000, b'{"path": Infinity}'],
    ids=["cut off", "not UTF-8", "NaN", "nested", "Infinity"],
)
def test_a_malformed_body_is_a_problem(body: bytes, writer: ApiClient) -> None:
    problem(writer.post("/api/files/lock", body), 400, "malformed_body")


@pytest.mark.parametrize("body", [[], "text", 1, None, {}])
def test_a_body_of_another_shape_is_a_problem(body: object, writer: ApiClient) -> None:
    problem(writer.post("/api/files/lock", body), 422, "invalid_request")


def test_every_invalid_field_is_named(writer: ApiClient) -> None:
    body = {"stories": ["1.1", 2], "developers": 0, "on_conflict": "fight", "speed": 9, "node_timeout": -1}

    document = problem(writer.post("/api/swarm/execute", body), 422, "invalid_request")

    names = {"stories.1", "developers", "on_conflict", "speed", "node_timeout"}
    assert invalid_fields(document) == {("body", name) for name in names}


def test_a_form_is_refused(operator: Any, writer: ApiClient) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)

    for response in (
        client.post("/api/files/lock", {"path": "a.py"}),
        client.post("/api/files/lock", {"path": "a.py"}, headers={"Authorization": f"Bearer {writer.token}"}),
    ):
        problem(response, 415, "unsupported_media_type")


def test_a_body_that_is_too_large_is_refused(writer: ApiClient, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100

    problem(writer.post("/api/files/lock", {"path": "a" * 200}), 413, "body_too_large")


def test_a_defect_is_a_problem_that_tells_the_client_nothing(
    reader: ApiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("the secret")

    monkeypatch.setattr("swarm.api.stories.read_backlog", fail)

    response = reader.get("/api/stories")

    problem(response, 500, "internal_error")
    assert b"secret" not in response.content
    assert "the secret" in caplog.text


@pytest.mark.parametrize(
    ("setting", "value", "status", "code", "says"),
    [
        ("SWARM_WORKSPACE", "", 503, "misconfigured", "SWARM_WORKSPACE is not set"),
        ("SWARM_WORKSPACE", "/nowhere/at/all", 503, "not_a_repository", "/nowhere/at/all"),
        ("SWARM_STORIES", "tales", 503, "stories_folder_missing", "tales"),
        ("SWARM_CHAT_MODEL", "", 503, "misconfigured", "SWARM_CHAT_MODEL is not set"),
    ],
)
@pytest.mark.usefixtures("workspace", "still")
def test_a_setting_that_cannot_work_is_said_in_words(
    setting: str, value: str, status: int, code: str, says: str, writer: ApiClient, settings: Any
) -> None:
    setattr(settings, setting, value)

    response = writer.post("/api/swarm/execute", {"stories": ["1.1"]})

    assert says in problem(response, status, code)["detail"]


@pytest.mark.usefixtures("workspace")
def test_reading_stories_needs_a_workspace_but_no_model(reader: ApiClient, settings: Any) -> None:
    settings.SWARM_CHAT_MODEL = ""
    assert reader.get("/api/stories").status_code == 200

    settings.SWARM_WORKSPACE = ""
    with pytest.raises(errors.Misconfigured):
        backlog.open_workspace()
    problem(reader.get("/api/stories"), 503, "misconfigured")
