from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from tests.api.client import problem


def test_a_living_server_says_so_without_looking_at_anything() -> None:
    response = Client().get("/healthz")

    assert response.json() == {"status": "ok"}
    assert "no-cache" in response["Cache-Control"]


@pytest.mark.django_db
def test_a_server_with_its_database_is_ready() -> None:
    assert Client().get("/readyz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_a_server_without_its_newest_tables_is_not_ready() -> None:
    MigrationRecorder(connection).migration_qs.filter(app="swarm").delete()

    assert "migrate" in problem(Client().get("/readyz"), 503, "not_ready")["detail"]


@pytest.mark.django_db
def test_a_server_without_a_database_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("connection to 10.0.0.7 refused for password hunter2")

    monkeypatch.setattr(connection, "cursor", fail)

    response = Client().get("/readyz")

    assert "DATABASE_URL" in problem(response, 503, "not_ready")["detail"]
    assert b"hunter2" not in response.content
