"""Cancelling one story, pausing and resuming from the pages: what is shown, who may, and what is said."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now

from swarm.engine import lifecycle
from swarm.engine.stopping import Order, end_cancelled
from swarm.events.record import recording
from swarm.models import Execution, Node
from swarm.web.sentences import sentence
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_developers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Executions are recorded, but nobody works on them."""
    monkeypatch.setattr(lifecycle, "dispatch", lambda execution_id: None)


@pytest.fixture
def page(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def html_of(page: Client, path: str) -> str:
    return page.get(path).content.decode()


def test_pausing_shows_who_stopped_it_and_why_until_it_is_resumed(page: Client) -> None:
    execution = make_execution(started_at=now())
    make_node(execution, status="pending")
    path = f"/executions/{execution.pk}/"

    paused = page.post(f"{path}pause/", {"reason": "Lunch.", "claims": "release"}, follow=True).content.decode()
    assert "Pausing: each story stops after the turn that it is in." in paused
    assert "<b>Paused</b> by operator" in paused
    assert "Lunch." in paused
    assert "Its stories have given up their files." in paused
    assert "Rests, because the execution is paused." in paused
    assert "Pause…" not in paused

    resumed = page.post(f"{path}resume/", follow=True).content.decode()
    assert "The execution goes on." in resumed
    assert "Paused" not in resumed.partition("What happened")[0]
    assert "Pause…" in resumed


def test_a_live_page_takes_in_the_pause(page: Client) -> None:
    execution = make_execution()
    make_node(execution)
    lifecycle.pause(execution.pk, by="ada", reason="Lunch.")
    html = page.get(f"/executions/{execution.pk}/changes/?after=0", headers={"HX-Request": "true"}).content.decode()
    assert 'id="execution-pause" hx-swap-oob="true"' in html
    assert "<b>Paused</b> by ada" in html


def test_one_story_is_cancelled_from_its_page_with_a_reason(page: Client) -> None:
    node = make_node(make_execution())
    html = page.post(f"/nodes/{node.pk}/cancel/", {"reason": "Not now."}, follow=True).content.decode()
    assert "The story stops now. The others go on." in html
    assert "Cancelling…" in html
    node.refresh_from_db()
    assert (node.cancelled_by, node.cancel_reason) == ("operator", "Not now.")


def test_a_cancelled_story_shows_when_what_of_it_ended_and_can_be_retried(page: Client) -> None:
    node = make_node(make_execution())
    make_node(node.execution)
    with recording(node.execution_id) as record:
        end_cancelled(record, node, Order(now(), "ada", "No."), {"noticed": 0.1, "activity": "thinking", "ended": 0.25})
    html = html_of(page, f"/nodes/{node.pk}/")
    assert "Stopped by ada; nothing of it is on the branch. No." in html
    assert "Thinking ended 0.2 s after the cancel (noticed after 0.1 s)" in html
    assert "0 claims free after" in html

    again = page.post(f"/nodes/{node.pk}/retry/", follow=True).content.decode()
    assert "The story runs again." in again
    assert Node.objects.get(pk=node.pk).status == "pending"


def test_a_story_that_was_cancelled_before_it_began_has_nothing_to_prove(page: Client) -> None:
    execution = make_execution()
    node = make_node(execution, status="pending")
    make_node(execution)
    lifecycle.cancel_node(node.pk, by="ada")
    html = html_of(page, f"/nodes/{node.pk}/")
    assert "Stopped by ada" in html
    assert "after the cancel" not in html


def test_what_cannot_be_done_is_said_in_a_sentence(page: Client) -> None:
    execution = make_execution(status="completed", finished_at=now())
    node = make_node(execution, status="completed")
    for path in (f"/executions/{execution.pk}/pause/", f"/executions/{execution.pk}/resume/"):
        assert f"Execution {execution.short_id} is completed" in page.post(path, follow=True).content.decode()
    for action in ("cancel", "retry"):
        html = page.post(f"/nodes/{node.pk}/{action}/", follow=True).content.decode()
        assert "developer-1 is completed" in html


@pytest.mark.parametrize(
    "path",
    ["executions/{execution}/pause", "executions/{execution}/resume", "nodes/{node}/cancel", "nodes/{node}/retry"],
)
def test_who_may_only_look_can_do_none_of_it_and_a_get_does_nothing(
    client: Client, viewer: User, operator: User, path: str
) -> None:
    node = make_node(make_execution())
    known = f"/{path.format(execution=node.execution_id, node=node.pk)}/"
    client.force_login(viewer)
    assert client.post(known).status_code == 403
    assert "<form" not in html_of(client, f"/nodes/{node.pk}/").split("</header>")[1]
    client.force_login(operator)
    assert client.get(known).status_code == 405
    assert client.post(f"/{path.format(execution=uuid.uuid4(), node=uuid.uuid4())}/").status_code == 404
    assert Execution.objects.get().paused_at is None


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("swarm:paused", {"by": "ada", "reason": "Lunch."}, "Paused by ada: Lunch."),
        ("swarm:paused", {"by": "", "reason": ""}, "Paused."),
        ("swarm:resumed", {"by": "ada"}, "Resumed by ada."),
        (
            "swarm:node-cancelled",
            {"story": "1.1", "by": "ada", "reason": "No."},
            "Was stopped at story 1.1 by ada: No.",
        ),
        ("swarm:node-cancelled", {"story": "1.1"}, "Was stopped at story 1.1."),
    ],
)
def test_events_say_by_whom_and_why(kind: str, data: dict[str, str], words: str) -> None:
    assert sentence(kind, data) == words
