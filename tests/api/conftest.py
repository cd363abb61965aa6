from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from swarm.engine import lifecycle
from swarm.models import ApiToken
from swarm.workspace.repository import Repository
from tests.api.client import ApiClient
from tests.workspace.repositories import make_repository

STORY = """# Story {id}: {title}

Status: ready-for-dev

## Story

As a cook, I want {title}, so that dinner is served.

## Acceptance Criteria

1. It works.

## Tasks / Subtasks

- [x] Task 1: Think
- [ ] Task 2: Write
  - [x] Subtask 2.1: Begin
  - [ ] Subtask 2.2: End

## Dev Notes

Mind the salt.
"""


def story_file(story_id: str, title: str) -> bytes:
    return STORY.format(id=story_id, title=title).encode()


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    """Rates are counted in the cache, which outlives a test."""
    cache.clear()


@pytest.fixture
def anyone() -> ApiClient:
    """Somebody who has not signed in."""
    return ApiClient()


@pytest.fixture
def reader(viewer: User) -> ApiClient:
    return ApiClient(ApiToken.issue(viewer))


@pytest.fixture
def writer(operator: User) -> ApiClient:
    return ApiClient(ApiToken.issue(operator))


@pytest.fixture
def workspace(tmp_path: Path, settings: Any) -> Repository:
    """A git repository with three stories, one of which has no tasks, and a model to run them with."""
    settings.SWARM_WORKSPACE = str(tmp_path / "workspace")
    settings.SWARM_STORIES = ""
    settings.SWARM_CHAT_MODEL = "test-model"
    return make_repository(
        tmp_path / "workspace",
        {
            "stories/1-1-soup.md": story_file("1.1", "Soup"),
            "stories/1-2-bread.md": story_file("1.2", "Bread"),
            "stories/1-10-salad.md": b"# Story 1.10: Salad\n\nStatus: done\n\n## Acceptance Criteria\n\n1. Green.\n",
            "kitchen.py": b"salt = 0\n",
        },
    )


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Executions that stay as they were started: no node is handed to a thread."""
    monkeypatch.setattr(lifecycle, "dispatch", lambda execution_id: None)
