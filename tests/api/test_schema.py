"""What the API says of itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

CONTRACT = {
    "get /api/stories",
    "get /api/stories/{story_id}",
    "post /api/swarm/execute",
    "get /api/swarm/plan",
    "get /api/swarm/executions",
    "get /api/swarm/status/{execution_id}",
    "post /api/swarm/cancel/{execution_id}",
    "post /api/swarm/retry/{execution_id}",
    "get /api/swarm/events/{execution_id}",
    "get /api/swarm/nodes/{node_id}",
    "get /api/swarm/nodes/{node_id}/diff",
    "get /api/swarm/nodes/{node_id}/transcript",
    "get /api/swarm/nodes/{node_id}/patch",
    "post /api/swarm/nodes/{node_id}/approve",
    "post /api/swarm/nodes/{node_id}/reject",
    "post /api/swarm/nodes/{node_id}/revert",
    "get /api/swarm/branch/{execution_id}",
    "get /api/swarm/patch/{execution_id}",
    "post /api/swarm/merge/{execution_id}",
    "get /api/swarm/conflicts",
    "get /api/swarm/limiter",
    "get /api/files/locks",
    "post /api/files/lock",
    "post /api/files/unlock",
    "post /api/chat",
}


@pytest.fixture
def schema() -> dict[str, Any]:
    response = Client().get("/api/openapi.json")
    assert response.status_code == 200
    return dict(response.json())


def test_every_call_is_described_with_its_answer_its_errors_and_who_may_call_it(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    calls = {f"{method} {path}": call for path, methods in schema["paths"].items() for method, call in methods.items()}
    assert set(calls) >= CONTRACT
    for name, call in calls.items():
        assert call["description"], name
        assert call["security"] == [{"BearerToken": []}, {"SessionCookie": []}], name
        assert "application/problem+json" in call["responses"]["default"]["content"], name


def test_every_schema_that_is_named_is_there(schema: dict[str, Any]) -> None:
    named = set(re.findall(r"'#/components/schemas/([^']+)'", str(schema)))

    assert named >= {"Problem", "ExecutionReport", "NodeReport", "InvalidField"}
    assert named <= set(schema["components"]["schemas"])


def test_the_page_for_reading_it_needs_nothing_from_elsewhere() -> None:
    page = Client().get("/api/docs").content.decode()

    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any(address.endswith("swagger-ui-bundle.js") for address in addresses)
    for address in addresses:
        assert address.startswith("/static/"), address
        assert finders.find(address.removeprefix("/static/")), address
