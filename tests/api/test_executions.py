"""Starting, watching, cancelling and retrying over the JSON API; nodes stay as they were started."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from swarm.events.record import recording
from swarm.models import Activity, ApiToken, Execution, Node, Period
from swarm.workspace.repository import Repository
from tests.api.client import ApiClient, problem
from tests.factories import make_execution, make_node, make_turn

NOWHERE = uuid.UUID(int=1)


@pytest.mark.usefixtures("still")
def test_an_execution_is_started_and_can_be_watched_where_it_says(
    writer: ApiClient, reader: ApiClient, workspace: Repository
) -> None:
    budgets = {"token_budget": 1000, "node_token_budget": 600}
    response = writer.post("/api/swarm/execute", {"stories": ["1.2", "1.1"], "developers": 1, **budgets})

    execution = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"/api/swarm/status/{execution['id']}"
    assert execution["status"] == "pending"
    assert execution["base_commit"] == workspace.head_commit()
    assert workspace.branch_head(execution["branch"]) == workspace.head_commit()
    assert execution["options"] == {
        "developers": 1, "max_attempts": 3, "on_conflict": "wait", "recheck": True, "node_timeout": 3600.0,
        **budgets,
    }  # fmt: skip
    assert [node["story"] for node in execution["nodes"]] == [
        {"id": "1.2", "title": "Bread", "path": "stories/1-2-bread.md"},
        {"id": "1.1", "title": "Soup", "path": "stories/1-1-soup.md"},
    ]
    assert reader.get(response["Location"]).json() == execution


@pytest.mark.usefixtures("workspace", "still")
def test_checking_again_can_be_switched_off(writer: ApiClient) -> None:
    started = writer.post("/api/swarm/execute", {"stories": ["1.1"], "recheck": False}).json()

    assert started["options"]["recheck"] is False


@pytest.mark.usefixtures("workspace", "still")
def test_who_started_an_execution_is_kept(writer: ApiClient, operator: User) -> None:
    started = writer.post("/api/swarm/execute", {"stories": ["1.1"]}).json()

    assert Execution.objects.get(pk=started["id"]).created_by == operator


@pytest.mark.usefixtures("workspace", "still")
@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"stories": ["1.1", "7.7"]}, "unknown_story", "7.7"),
        ({"stories": []}, "unusable_request", "No story"),
        ({"stories": ["1.1", "1.1"]}, "unusable_request", "1.1"),
    ],
)
def test_stories_that_cannot_be_run_are_named_and_nothing_is_started(
    body: object, code: str, says: str, writer: ApiClient
) -> None:
    document = problem(writer.post("/api/swarm/execute", body), 422, code)

    assert says in document["detail"]
    assert not Execution.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stories": "1.1"},
        {"stories": ["1.1"], "developers": 2**31},
        {"stories": ["1.1"], "max_attempts": 0},
        {"stories": ["1.1"], "node_timeout": 0},
        {"stories": ["1.1"], "token_budget": 1.5},
        {"stories": ["1.1"], "node_token_budget": 0},
        {"stories": ["a\0b"]},
    ],
)
def test_options_that_cannot_work_are_refused(body: object, writer: ApiClient) -> None:
    problem(writer.post("/api/swarm/execute", body), 422, "invalid_request")


@pytest.mark.usefixtures("workspace", "still")
def test_the_same_idempotency_key_of_the_same_user_gives_the_same_execution(writer: ApiClient, admin_user: Any) -> None:
    def start(api: ApiClient, key: str) -> Any:
        return api.post("/api/swarm/execute", {"stories": ["1.1"]}, headers={"Idempotency-Key": key})

    first, again, other_key = start(writer, "a"), start(writer, "a"), start(writer, "b")
    other_user = start(ApiClient(ApiToken.issue(admin_user)), "a")

    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert len({response.json()["id"] for response in (first, other_key, other_user)}) == 3


@pytest.mark.parametrize("key", ["", "k" * 201, "clé"])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(key: str, writer: ApiClient) -> None:
    response = writer.post("/api/swarm/execute", {"stories": ["1.1"]}, headers={"Idempotency-Key": key})

    problem(response, 422, "invalid_request")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "status"), ("get", "events"), ("post", "cancel"), ("post", "retry")],
)
def test_an_unknown_execution_is_not_found(method: str, path: str, writer: ApiClient) -> None:
    response = getattr(writer, method)(f"/api/swarm/{path}/{NOWHERE}")

    assert problem(response, 404, "not_found")["detail"] == "There is no such execution."


@pytest.mark.django_db
def test_executions_are_listed_newest_first_without_their_nodes(reader: ApiClient) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [make_execution(created_at=start + timedelta(seconds=seconds)) for seconds in (0, 2, 1)]
    make_node(rows[0], status=Node.Status.FAILED, calls=2, prompt_tokens=30, completion_tokens=4)
    make_node(rows[0], status=Node.Status.COMPLETED, calls=1, prompt_tokens=10, completion_tokens=1)

    items = reader.get("/api/swarm/executions").json()["items"]

    assert [item["id"] for item in items] == [str(rows[number].pk) for number in (1, 2, 0)]
    whole = reader.get(f"/api/swarm/status/{rows[0].pk}").json()
    assert whole["progress"] == {"completed": 1, "failed": 1, "cancelled": 0, "total": 2}
    del whole["nodes"]
    assert items[2] == whole


@pytest.mark.django_db
def test_executions_are_filtered_by_status(reader: ApiClient) -> None:
    make_execution()
    failed = make_execution(status=Execution.Status.FAILED)

    items = reader.get("/api/swarm/executions", status="failed").json()["items"]

    assert [item["id"] for item in items] == [str(failed.pk)]
    problem(reader.get("/api/swarm/executions", status="lost"), 422, "invalid_request")


@pytest.mark.django_db
def test_pages_of_executions_of_one_moment_show_each_once_though_new_ones_come(reader: ApiClient) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    ids = {str(make_execution(created_at=moment).pk) for _ in range(5)}

    first = reader.get("/api/swarm/executions", limit=2).json()
    make_execution(created_at=moment + timedelta(seconds=1))
    second = reader.get("/api/swarm/executions", limit=2, cursor=first["next"]).json()
    third = reader.get("/api/swarm/executions", limit=2, cursor=second["next"]).json()

    shown = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert len(shown) == 5
    assert set(shown) == ids
    assert third["next"] is None


@pytest.mark.django_db
def test_a_cursor_of_another_list_is_refused(reader: ApiClient) -> None:
    make_execution()
    make_execution()
    cursor = reader.get("/api/swarm/executions", limit=1).json()["next"]

    problem(reader.get("/api/swarm/conflicts", cursor=cursor), 422, "invalid_request")


@pytest.mark.parametrize("rows", [1, 3])
def test_the_list_takes_the_same_queries_however_many_executions(
    rows: int, reader: ApiClient, django_assert_num_queries: Any
) -> None:
    for _ in range(rows):
        node = make_node(make_execution(), started_at=datetime.now(UTC))
        Period.objects.create(node=node, attempt=1, activity=Activity.THINKING, started_at=datetime.now(UTC), seconds=1)

    with django_assert_num_queries(4):  # the token, executions, nodes, periods
        assert len(reader.get("/api/swarm/executions").json()["items"]) == rows


@pytest.mark.parametrize("rows", [1, 3])
def test_one_execution_takes_the_same_queries_however_many_nodes(
    rows: int, reader: ApiClient, django_assert_num_queries: Any
) -> None:
    execution = make_execution()
    for _ in range(rows):
        make_node(execution)

    with django_assert_num_queries(4):  # the token, the execution, nodes, periods
        assert len(reader.get(f"/api/swarm/status/{execution.pk}").json()["nodes"]) == rows


@pytest.mark.usefixtures("workspace", "still")
def test_cancelling_is_accepted_and_again_and_refused_after_the_end(writer: ApiClient) -> None:
    started = writer.post("/api/swarm/execute", {"stories": ["1.1", "1.2"]}).json()
    Node.objects.filter(execution=started["id"], number=1).update(status=Node.Status.RUNNING)
    path = f"/api/swarm/cancel/{started['id']}"

    first, again = writer.post(path), writer.post(path)

    assert (first.status_code, again.status_code) == (202, 202)
    assert [node["status"] for node in again.json()["nodes"]] == ["running", "cancelled"]
    Execution.objects.filter(pk=started["id"]).update(status=Execution.Status.COMPLETED)
    assert "completed" in problem(writer.post(path), 409, "wrong_status")["detail"]


@pytest.mark.usefixtures("still")
def test_failed_nodes_are_queued_again(writer: ApiClient) -> None:
    execution = make_execution(status=Execution.Status.PARTIAL)
    make_node(execution, status=Node.Status.COMPLETED)
    make_node(execution, status=Node.Status.FAILED, error_code="no_progress")

    response = writer.post(f"/api/swarm/retry/{execution.pk}")

    assert response.status_code == 202
    assert response.json()["status"] == "running"
    assert [node["status"] for node in response.json()["nodes"]] == ["completed", "pending"]


@pytest.mark.usefixtures("still")
def test_named_nodes_are_queued_again_and_no_others(writer: ApiClient) -> None:
    execution = make_execution(status=Execution.Status.FAILED)
    first, second = (make_node(execution, status=Node.Status.FAILED) for _ in range(2))

    response = writer.post(f"/api/swarm/retry/{execution.pk}", {"nodes": [str(second.pk)]})

    assert response.status_code == 202
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == (Node.Status.FAILED, Node.Status.PENDING)


@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("path", ["retry/{execution}", "nodes/{node}/retry"])
@pytest.mark.parametrize(("start", "conversation", "left_out"), [("start", 0, []), ("last_turn", 1, [2])])
def test_a_retry_begins_anew_or_goes_on_behind_the_last_good_turn(
    writer: ApiClient, path: str, start: str, conversation: int, left_out: list[int]
) -> None:
    execution = make_execution(status=Execution.Status.FAILED)
    node = make_node(execution, status=Node.Status.FAILED, conversation=1)
    make_turn(node, 1)
    make_turn(node, 2, "Error: not_finished.")
    path = f"/api/swarm/{path}".format(execution=execution.pk, node=node.pk)

    problem(writer.post(path, {"from": "the middle"}), 422, "invalid_request")
    assert writer.post(path, {"from": start}).status_code == 202

    node.refresh_from_db()
    assert (node.status, node.conversation) == (Node.Status.PENDING, conversation)
    transcript = writer.get(f"/api/swarm/nodes/{node.pk}/transcript").json()["items"]
    assert [turn["number"] for turn in transcript if turn["set_aside"]] == left_out


@pytest.mark.usefixtures("still")
def test_nothing_to_retry_is_a_conflict(writer: ApiClient) -> None:
    execution = make_execution(status=Execution.Status.COMPLETED)
    make_node(execution, status=Node.Status.COMPLETED)

    problem(writer.post(f"/api/swarm/retry/{execution.pk}"), 409, "nothing_to_retry")
    problem(writer.post(f"/api/swarm/retry/{execution.pk}", {"nodes": [str(NOWHERE)]}), 409, "nothing_to_retry")
    problem(writer.post(f"/api/swarm/retry/{execution.pk}", {"nodes": ["one"]}), 422, "invalid_request")


@pytest.mark.django_db(transaction=True)
def test_events_come_in_order_from_behind_a_number(reader: ApiClient) -> None:
    execution = make_execution()
    node = make_node(execution)
    with recording(execution.pk) as record:
        for number in range(1, 6):
            record("swarm:progress", node if number == 4 else None, number=number)
    path = f"/api/swarm/events/{execution.pk}"

    assert [[event["seq"] for event in page] for page in reader.pages(path, after=1, limit=2)] == [[2, 3], [4, 5]]
    frame = reader.get(path, after=3, limit=1).json()["items"][0]
    assert datetime.fromisoformat(frame.pop("at")).tzinfo == UTC
    assert frame == {
        "type": "swarm:progress", "execution": str(execution.pk), "seq": 4, "node": str(node.pk), "data": {"number": 4},
    }  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("after", ["-1", "x", "1.5"])
def test_events_behind_nonsense_are_refused(after: str, reader: ApiClient) -> None:
    problem(reader.get(f"/api/swarm/events/{make_execution().pk}", after=after), 422, "invalid_request")


@pytest.mark.django_db
def test_events_behind_a_number_beyond_the_database_are_none(reader: ApiClient) -> None:
    assert reader.get(f"/api/swarm/events/{make_execution().pk}", after=2**70).json() == {"items": [], "next": None}
