"""Cancelling and retrying one node, pausing and resuming over the JSON API; nodes stay as they were started."""

from __future__ import annotations

import uuid

import pytest
from django.utils.timezone import now

from swarm.engine.stopping import Order, end_cancelled
from swarm.events.record import recording
from swarm.models import Node
from tests.api.client import ApiClient, invalid_fields, problem
from tests.factories import make_execution, make_node

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("still")]

VERBS = ["pause/{execution}", "resume/{execution}", "nodes/{node}/cancel", "nodes/{node}/retry"]


def test_a_pause_is_accepted_with_who_and_why_and_again_and_ended_by_a_resume(writer: ApiClient) -> None:
    execution = make_execution()
    make_node(execution)
    path = f"/api/swarm/pause/{execution.pk}"

    first = writer.post(path, {"reason": "Lunch.", "claims": "release"})
    again = writer.post(path)

    assert (first.status_code, again.status_code) == (202, 202)
    paused = again.json()["paused"]
    assert {name: paused[name] for name in ("by", "reason", "code", "claims")} == {
        "by": "operator", "reason": "Lunch.", "code": "", "claims": "release",
    }  # fmt: skip
    resumed = writer.post(f"/api/swarm/resume/{execution.pk}")
    assert (resumed.status_code, resumed.json()["paused"]) == (202, None)
    problem(writer.post(f"/api/swarm/resume/{execution.pk}"), 409, "wrong_status")


def test_one_node_is_cancelled_with_who_and_why_and_again_and_refused_after_its_end(writer: ApiClient) -> None:
    execution = make_execution()
    running, ended = make_node(execution), make_node(execution, status="completed")
    path = f"/api/swarm/nodes/{running.pk}/cancel"

    first = writer.post(path, {"reason": "Not now."})
    again = writer.post(path, {"reason": "Other."})

    assert (first.status_code, again.status_code) == (202, 202)
    cancelled = again.json()["cancelled"]
    assert (cancelled["by"], cancelled["reason"]) == ("operator", "Not now.")
    assert again.json()["stopped"] is None
    problem(writer.post(f"/api/swarm/nodes/{ended.pk}/cancel"), 409, "wrong_status")


def test_a_cancelled_node_shows_what_it_proved(reader: ApiClient) -> None:
    node = make_node(make_execution())
    make_node(node.execution)
    with recording(node.execution_id) as record:
        end_cancelled(record, node, Order(now(), "ada", "No."), {"noticed": 0.1, "activity": "thinking", "ended": 0.2})

    shown = reader.get(f"/api/swarm/nodes/{node.pk}").json()

    assert (shown["cancelled"]["by"], shown["cancelled"]["reason"]) == ("ada", "No.")
    assert (shown["stopped"]["activity"], shown["stopped"]["ended"], shown["stopped"]["claims"]) == ("thinking", 0.2, 0)
    assert shown["stopped"]["claims_released"] >= 0


@pytest.mark.parametrize("status", ["running", "partial"])
def test_one_failed_node_is_retried_while_others_run_and_after_the_end(writer: ApiClient, status: str) -> None:
    execution = make_execution(status=status)
    failed = make_node(execution, status="failed", error_code="x", cancelled_by="ada")
    make_node(execution, status="completed")

    answer = writer.post(f"/api/swarm/nodes/{failed.pk}/retry")

    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (202, "pending", None)
    problem(writer.post(f"/api/swarm/nodes/{failed.pk}/retry"), 409, "wrong_status")


def test_nothing_is_retried_while_the_execution_is_being_cancelled(writer: ApiClient) -> None:
    execution = make_execution(cancel_requested_at=now())
    failed = make_node(execution, status="failed")
    make_node(execution)
    problem(writer.post(f"/api/swarm/nodes/{failed.pk}/retry"), 409, "wrong_status")
    problem(writer.post(f"/api/swarm/pause/{execution.pk}"), 409, "wrong_status")


@pytest.mark.parametrize("path", VERBS)
def test_who_may_only_look_is_refused_and_what_is_not_there_is_not_found(
    reader: ApiClient, writer: ApiClient, path: str
) -> None:
    node = make_node(make_execution())
    problem(reader.post(f"/api/swarm/{path.format(execution=node.execution_id, node=node.pk)}"), 403, "not_permitted")
    problem(writer.post(f"/api/swarm/{path.format(execution=uuid.uuid4(), node=uuid.uuid4())}"), 404, "not_found")
    assert Node.objects.get().status == "running"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("pause/{execution}", {"claims": "drop"}, "claims"),
        ("pause/{execution}", {"reason": "x" * 501}, "reason"),
        ("pause/{execution}", {"why": "x"}, "why"),
        ("cancel/{execution}", {"reason": "a\0b"}, "reason"),
        ("nodes/{node}/cancel", {"reason": 7}, "reason"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_by_the_name_of_its_field(
    writer: ApiClient, path: str, body: dict[str, object], field: str
) -> None:
    node = make_node(make_execution())
    answer = writer.post(f"/api/swarm/{path.format(execution=node.execution_id, node=node.pk)}", body)
    assert ("body", field) in invalid_fields(problem(answer, 422, "invalid_request"))
