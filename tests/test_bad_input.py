"""What cannot work is refused in a sentence that says what to do: on the page, in the API and on the command line."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygit2
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from swarm.models import Execution, Node
from tests.chat.server import refuse
from tests.main_job import MainJob, node_of
from tests.ports import free_port

Break = Callable[[Any, Path], str]
"""Break a setting or a folder; the story to ask for then."""


def no_workspace(settings: Any, folder: Path) -> str:
    settings.SWARM_WORKSPACE = ""
    return "1.1"


def not_a_repository(settings: Any, folder: Path) -> str:
    settings.SWARM_WORKSPACE = str(folder)
    return "1.1"


def no_commits(settings: Any, folder: Path) -> str:
    pygit2.init_repository(str(folder))
    settings.SWARM_WORKSPACE = str(folder)
    return "1.1"


def stories_folder_missing(settings: Any, folder: Path) -> str:
    settings.SWARM_STORIES = "docs/nowhere"
    return "1.1"


def stories_folder_empty(settings: Any, folder: Path) -> str:
    settings.SWARM_STORIES = "larder"
    return "1.1"


def unknown_story(settings: Any, folder: Path) -> str:
    return "9.9"


def no_model(settings: Any, folder: Path) -> str:
    settings.SWARM_CHAT_MODEL = ""
    return "1.1"


BROKEN: dict[Break, str] = {
    no_workspace: "SWARM_WORKSPACE is not set: set it to the folder",
    not_a_repository: "is not a git repository: run `git init` there",
    no_commits: "has no commits: make a first one",
    stories_folder_missing: "SWARM_STORIES is docs/nowhere, but",
    stories_folder_empty: "No stories in larder. A story is a markdown file such as",
    unknown_story: "9.9",
    no_model: "SWARM_CHAT_MODEL is not set: set it to the name of the model",
}


@pytest.fixture(params=BROKEN, ids=lambda broken: broken.__name__)
def broken(request: pytest.FixtureRequest, main_job: MainJob, settings: Any, tmp_path: Path) -> tuple[str, str]:
    """Something that cannot work: the story to ask for, and a part of the sentence that is due."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return request.param(settings, folder), BROKEN[request.param]


def test_the_api_says_it_as_a_problem(broken: tuple[str, str], client: Client, operator: User) -> None:
    story, sentence = broken
    client.force_login(operator)

    response = client.post("/api/swarm/execute", json.dumps({"stories": [story]}), content_type="application/json")

    assert 400 <= response.status_code < 600
    assert response.headers["Content-Type"] == "application/problem+json"
    assert sentence in response.json()["detail"]
    assert not Execution.objects.exists()


def test_the_command_line_says_it_and_exits_with_2(broken: tuple[str, str]) -> None:
    story, sentence = broken

    with pytest.raises(CommandError) as refusal:
        call_command("swarm", "execute", story)

    assert sentence in str(refusal.value)
    assert refusal.value.returncode == 2
    assert not Execution.objects.exists()


def test_the_page_says_it(broken: tuple[str, str], client: Client, operator: User) -> None:
    story, sentence = broken
    client.force_login(operator)

    response = client.post(
        "/executions/new/", {"stories": [story], "on_conflict": "wait", "max_attempts": 1, "timeout_min": 5}
    )

    assert response.status_code == 200
    assert sentence in html.unescape(response.content.decode())
    assert not Execution.objects.exists()


def test_uncommitted_changes_are_left_alone_and_said(
    main_job: MainJob, client: Client, operator: User, capsys: pytest.CaptureFixture[str]
) -> None:
    (main_job.workspace / "larder" / "units.py").write_text("# half done\n")
    client.force_login(operator)

    page = html.unescape(client.get("/executions/new/").content.decode())
    call_command("swarm", "execute", "2.3", "--json")
    printed = capsys.readouterr()
    execution = client.get(f"/api/swarm/status/{Execution.objects.get().pk}").json()

    for text in (page, printed.err, *execution["warnings"]):
        assert "Uncommitted changes are left alone and not seen by a run (larder/units.py)" in text
    assert json.loads(printed.out)["status"] == "completed"
    assert (main_job.workspace / "larder" / "units.py").read_text() == "# half done\n"


def test_a_story_that_is_not_committed_is_refused(main_job: MainJob) -> None:
    folder = main_job.workspace / "_bmad-output" / "implementation-artifacts"
    (folder / "9-1-new.md").write_text("# Story 9.1: New\n\nStatus: ready-for-dev\n\n## Tasks\n\n- [ ] One\n")

    with pytest.raises(CommandError, match=r"Not committed yet: 9\.1"):
        call_command("swarm", "execute", "9.1")


def test_a_refused_key_fails_the_node_with_what_to_do(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = refuse(401, "Incorrect API key provided")

    error = node_of(main_job.run("1.1"), "1.1")["error"]

    assert error is not None
    assert (error["code"], error["retryable"]) == ("bad_credentials", False)
    assert "SWARM_CHAT_API_KEY" in error["message"]


def test_an_endpoint_that_does_not_answer_fails_the_node_with_what_to_do(
    main_job: MainJob, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.chat.retries.RetryPolicy.decide", lambda *_, **__: None)
    settings.SWARM_CHAT_BASE_URL = f"http://127.0.0.1:{free_port()}/v1"

    node = node_of(main_job.run("1.1", max_attempts=1), "1.1")

    assert node["status"] == Node.Status.FAILED
    assert node["error"] is not None
    assert node["error"]["code"] == "upstream_unavailable"
    assert "SWARM_CHAT_BASE_URL" in node["error"]["message"]
