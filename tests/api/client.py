"""A client that speaks JSON to the API as a script would, and what every answer of it must look like."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client


@dataclass
class ApiClient:
    """`token` is sent as a bearer token if it is not empty."""

    token: str = ""
    client: Client = field(default_factory=Client)

    def get(self, path: str, /, **query: Any) -> Any:
        return self.client.get(path, query, headers=self._headers())

    def post(self, path: str, body: object = None, *, headers: dict[str, str] | None = None) -> Any:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.generic(
            "POST", path, data, content_type="application/json", headers=self._headers() | (headers or {})
        )

    def pages(self, path: str, /, **query: Any) -> list[list[Any]]:
        """The items of all pages of a list, page by page."""
        found: list[list[Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **cursor).json()
            found.append(page["items"])
            if page["next"] is None:
                return found
            cursor = {"cursor": page["next"]}

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """The problem that a response must be (RFC 9457)."""
    assert response["Content-Type"] == "application/problem+json", response.content
    document = json.loads(response.content)
    assert (response.status_code, document["code"]) == (status, code), document
    assert document["status"] == status
    assert document["type"] == f"urn:swarm:problem:{code}"
    assert document["title"]
    assert document["detail"]
    return dict(document)


def invalid_fields(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(field["place"], field["field"]) for field in document["errors"]}
