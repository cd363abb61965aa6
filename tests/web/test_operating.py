"""Starting, cancelling and retrying from the pages: who may, what is refused and how that is said."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now
from pytest_django.fixtures import Settings

from swarm.engine import lifecycle
from swarm.models import Execution
from swarm.simulator.workspace import make_workspace
from tests.factories import make_execution, make_node, make_turn

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Executions are recorded, but nobody works on them."""
    monkeypatch.setattr(lifecycle, "dispatch", lambda execution_id: None)


@pytest.fixture
def workspace(tmp_path: Path, settings: Settings) -> Path:
    settings.SWARM_WORKSPACE = str(make_workspace(tmp_path / "workspace", 3))
    settings.SWARM_STORIES = ""
    settings.SWARM_CHAT_MODEL = "some-model"
    return tmp_path / "workspace"


@pytest.fixture
def page(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def typed(**changes: Any) -> dict[str, Any]:
    """A filled-in form."""
    form = {"stories": ["1.1", "1.2"], "on_conflict": "wait", "max_attempts": "3", "timeout_min": "60"}
    return form | {"form_id": str(uuid.uuid4())} | changes


def start(page: Client, **changes: Any) -> str:
    """Send the form; returns the page that it leads to, which must be the form again."""
    response = page.post("/executions/new/", typed(**changes))
    assert response.status_code == 200
    return response.content.decode()


# The form


@pytest.mark.usefixtures("workspace")
def test_ready_stories_are_ticked_and_others_are_not(page: Client, settings: Settings) -> None:
    story = next(Path(settings.SWARM_WORKSPACE).rglob("1-2-*.md"))
    story.write_text(story.read_text().replace("Status: ready-for-dev", "Status: done"))
    html = page.get("/executions/new/").content.decode()
    assert 'value="1.1" id="story-1" checked' in html
    assert 'value="1.2" id="story-2">' in html
    assert "Uncommitted changes are left alone" in html


@pytest.mark.usefixtures("workspace")
def test_starting_leads_to_the_execution_as_it_was_asked_for(page: Client, operator: User) -> None:
    response = page.post(
        "/executions/new/",
        typed(on_conflict="notify", developers="1", max_attempts="5", timeout_min="1.5")
        | {"token_budget": "1000", "node_token_budget": "600"},
    )
    execution = Execution.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/executions/{execution.pk}/")
    assert [node.story_id for node in execution.nodes.all()] == ["1.1", "1.2"]
    assert execution.created_by == operator
    assert (execution.on_conflict, execution.developers, execution.max_attempts) == ("notify", 1, 5)
    assert (execution.node_timeout_s, execution.token_budget, execution.node_token_budget) == (90, 1000, 600)
    assert "<dt>Token budget per story</dt><dd>600</dd>" in page.get(response["Location"]).content.decode()
    assert execution.recheck is False  # a box that was not ticked is not sent


@pytest.mark.usefixtures("workspace")
def test_checking_again_is_proposed_and_asked_for_by_its_tick(page: Client) -> None:
    html = page.get("/executions/new/").content.decode()
    assert 'name="recheck" id="recheck" checked' in html
    page.post("/executions/new/", typed(recheck="on"))
    assert Execution.objects.get().recheck is True
    assert 'name="recheck" id="recheck">' in start(page, stories=[])


@pytest.mark.usefixtures("workspace")
def test_a_second_click_starts_nothing_more(page: Client) -> None:
    form = typed()
    assert page.post("/executions/new/", form)["Location"] == page.post("/executions/new/", form)["Location"]
    assert Execution.objects.count() == 1


@pytest.mark.usefixtures("workspace")
def test_the_same_form_with_other_stories_starts_another_execution(page: Client) -> None:
    form = typed()
    page.post("/executions/new/", form)
    page.post("/executions/new/", form | {"stories": ["1.3"]})
    assert Execution.objects.count() == 2


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stories": []}, "Tick at least one story."),
        ({"stories": ["9.9"]}, "Story 9.9 is not in the backlog any more"),
        ({"developers": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"developers": "many"}, "Enter a whole number."),
        ({"developers": "99999999999"}, "Ensure this value is less than or equal to 2147483647."),
        ({"on_conflict": "fight"}, "Select a valid choice."),
        ({"max_attempts": ""}, "This field is required."),
        ({"timeout_min": "nan"}, "Enter a number."),
        ({"timeout_min": "0"}, "Ensure this value is greater than or equal to 0.1."),
        ({"token_budget": "-5"}, "Ensure this value is greater than or equal to 1."),
        ({"node_token_budget": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"form_id": "x"}, "Enter a valid UUID."),
    ],
)
def test_bad_input_is_said_and_starts_nothing(page: Client, changes: dict[str, Any], sentence: str) -> None:
    html = start(page, **changes)
    assert sentence in html
    assert "Nothing was started." in html
    assert not Execution.objects.exists()


@pytest.mark.usefixtures("workspace")
def test_everything_typed_is_kept_on_an_error(page: Client) -> None:
    html = start(page, stories=["1.3"], developers="0", on_conflict="notify", token_budget="777", timeout_min="2.5")
    assert 'value="1.3" id="story-3" checked' in html
    assert 'value="1.1" id="story-1">' in html
    assert 'value="notify" id="on-conflict-notify" checked' in html
    for value in ("0", "777", "2.5"):
        assert f'value="{value}"' in html


@pytest.mark.usefixtures("workspace")
def test_what_the_engine_refuses_is_said_on_the_form(page: Client, settings: Settings) -> None:
    settings.SWARM_CHAT_MODEL = ""
    assert "SWARM_CHAT_MODEL is not set" in start(page)


@pytest.mark.parametrize("path", ["/executions/new/", "/stories/"])
def test_an_unusable_workspace_is_said_in_a_sentence(
    page: Client, path: str, settings: Settings, tmp_path: Path
) -> None:
    settings.SWARM_WORKSPACE = ""
    assert "SWARM_WORKSPACE is not set" in page.get(path).content.decode()
    settings.SWARM_WORKSPACE = str(tmp_path)
    assert "The stories cannot be read." in page.get(path).content.decode()
    assert "The stories cannot be read." in page.post("/executions/new/", typed()).content.decode()


@pytest.mark.usefixtures("workspace")
def test_the_stories_page_lists_every_story(page: Client) -> None:
    html = page.get("/stories/").content.decode()
    assert html.count("Ready for dev") == 3


# Who may


@pytest.mark.usefixtures("workspace")
def test_who_may_only_look_sees_the_form_but_cannot_start(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert "starting needs the permission to operate" in client.get("/executions/new/").content.decode()
    response = client.post("/executions/new/", typed())
    assert response.status_code == 403
    assert "You may look, but not change anything here" in response.content.decode()
    assert not Execution.objects.exists()


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_who_may_only_look_can_neither_cancel_nor_retry(client: Client, viewer: User, action: str) -> None:
    execution = make_execution(status="running", started_at=now())
    make_node(execution, status="failed", error_code="x")
    client.force_login(viewer)
    html = client.get(f"/executions/{execution.pk}/").content.decode()
    assert "You may watch; cancelling needs the permission to operate." in html
    assert "<form" not in html.split("</header>")[1]
    assert client.post(f"/executions/{execution.pk}/{action}/").status_code == 403


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_actions_take_a_post_with_a_token_of_this_site(operator: User, action: str) -> None:
    execution = make_execution(status="running", started_at=now())
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.get(f"/executions/{execution.pk}/{action}/").status_code == 405
    response = client.post(f"/executions/{execution.pk}/{action}/")
    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()


# Cancel and retry


def test_cancelling_is_recorded_and_said(page: Client) -> None:
    execution = make_execution(status="running", started_at=now())
    make_node(execution, status="running", started_at=now())
    html = page.post(f"/executions/{execution.pk}/cancel/", follow=True).content.decode()
    execution.refresh_from_db()
    assert execution.cancel_requested_at is not None
    assert "Cancelling: every story stops now and leaves nothing behind." in html
    assert "Cancelling…" in html


def test_cancelling_what_has_ended_is_refused_in_a_sentence(page: Client) -> None:
    execution = make_execution(status="completed", finished_at=now())
    html = page.post(f"/executions/{execution.pk}/cancel/", follow=True).content.decode()
    assert f"Execution {execution.short_id} is completed" in html


def test_retrying_runs_the_failed_stories_again(page: Client) -> None:
    execution = make_execution(status="partial", started_at=now(), finished_at=now())
    make_node(execution, status="completed", commit="c" * 40)
    failed = make_node(execution, status="failed", error_code="x", error_message="y")
    assert "Retry 1 failed" in page.get(f"/executions/{execution.pk}/").content.decode()
    html = page.post(f"/executions/{execution.pk}/retry/", follow=True).content.decode()
    failed.refresh_from_db()
    assert failed.status == "pending"
    assert "The failed stories run again." in html


@pytest.mark.parametrize("path", ["/executions/{execution}/retry/", "/nodes/{node}/retry/"])
def test_a_retry_can_go_on_behind_the_last_good_turn(page: Client, path: str) -> None:
    execution = make_execution(status="failed", started_at=now(), finished_at=now())
    node = make_node(execution, status="failed", error_code="x", error_message="y", conversation=1)
    make_turn(node, 1, added=[{"role": "user", "content": "Mind the salt."}])
    make_turn(node, 2, "Error: not_finished.")
    assert "From the last good turn" in page.get(f"/executions/{execution.pk}/").content.decode()
    assert "From its last good turn" in page.get(f"/nodes/{node.pk}/").content.decode()
    page.post(path.format(execution=execution.pk, node=node.pk), {"from": "last_turn"})
    node.refresh_from_db()
    assert (node.status, node.conversation) == ("pending", 1)
    html = page.get(f"/nodes/{node.pk}/").content.decode()
    assert html.count("set aside") == 1
    assert "Mind the salt." in html


def test_retrying_where_nothing_failed_is_refused_in_a_sentence(page: Client) -> None:
    execution = make_execution(status="completed", finished_at=now())
    html = page.post(f"/executions/{execution.pk}/retry/", follow=True).content.decode()
    assert "No failed node is there to retry." in html


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_an_unknown_execution_is_not_found(page: Client, action: str) -> None:
    assert page.post(f"/executions/{uuid.uuid4()}/{action}/").status_code == 404
