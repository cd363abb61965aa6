"""An execution in which all of the first nodes fail for one reason outside it is paused, and mended by a resume."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.chat.errors import BadCredentials
from swarm.engine.breaker import nodes_to_mend
from swarm.engine.closing import fail_node
from swarm.engine.errors import NodeTimedOut, TokenBudgetExhausted
from swarm.engine.executor import executor
from swarm.engine.lifecycle import cancel, resume
from swarm.errors import Misconfigured, SwarmError
from swarm.events.record import recording
from swarm.models import Event, Execution, Node
from tests.chat.server import Exchange
from tests.factories import make_execution, make_node
from tests.main_job import MainJob, report_of
from tests.ports import free_port

BAD_KEY = BadCredentials("The key is wrong.")


def bad_key(exchange: Exchange) -> None:
    exchange.send(401, {"error": {"message": "bad key"}})


def fail(node: Node, error: SwarmError = BAD_KEY) -> None:
    with recording(node.execution_id) as record:
        fail_node(record, node, error)


def is_paused(execution: Execution) -> bool:
    execution.refresh_from_db()
    return execution.paused_at is not None


@pytest.mark.usefixtures("each_way")
def test_a_wrong_key_stops_an_execution_after_three_stories_and_a_resume_mends_it(main_job: MainJob) -> None:
    stories = ["1.1", "1.2", "2.3", "3.1", "3.3"]
    main_job.behaviours = dict.fromkeys(stories, bad_key)
    execution = main_job.start(*stories, developers=1)
    executor.drain()

    stopped = report_of(execution)
    assert stopped["status"] == Execution.Status.RUNNING
    assert stopped["paused"] is not None
    assert (stopped["paused"]["by"], stopped["paused"]["code"]) == ("Swarm", "bad_credentials")
    assert "All of the first 3 stories failed for a reason that lies outside" in stopped["paused"]["reason"]
    assert stopped["progress"] == {"completed": 0, "failed": 3, "cancelled": 0, "total": 5}
    assert len(main_job.model.received) == 3, "nobody else is tried"
    assert Event.objects.filter(type="swarm:paused").count() == 1

    main_job.behaviours.clear()
    resume(execution.pk)
    executor.drain()
    assert report_of(execution)["status"] == Execution.Status.COMPLETED


def test_an_endpoint_that_has_never_answered_stops_an_execution(
    main_job: MainJob, settings: Any, no_backoff: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.chat.retries.RetryPolicy.decide", lambda *_, **__: None)
    settings.SWARM_CHAT_BASE_URL = f"http://127.0.0.1:{free_port()}/v1"

    stopped = main_job.run("1.1", "1.2", "2.3", "3.1", developers=1, max_attempts=2)

    assert stopped["paused"] is not None
    assert stopped["paused"]["code"] == "upstream_unavailable"
    assert "SWARM_CHAT_BASE_URL" in stopped["paused"]["reason"]
    assert [node["attempt"] for node in stopped["nodes"]] == [2, 2, 2, 0]


def test_all_nodes_are_enough_where_there_are_fewer_than_three(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = bad_key
    execution = main_job.start("1.1")
    executor.drain()

    paused = report_of(execution)["paused"]
    assert paused is not None
    assert paused["reason"].startswith("The first story failed")


@pytest.mark.django_db
def test_nodes_that_run_on_and_fail_likewise_after_the_stop_are_mended_too_and_told_once() -> None:
    execution = make_execution()
    nodes = [make_node(execution) for _ in range(5)]
    for node in nodes:
        fail(node)

    assert is_paused(execution)
    assert nodes_to_mend(execution) == nodes
    assert execution.events.filter(type="swarm:paused").count() == 1


@pytest.mark.django_db
def test_what_depends_on_the_failed_ones_does_not_hide_the_reason_and_is_mended_with_them() -> None:
    execution = make_execution()
    first = make_node(execution)
    behind = make_node(execution, status="pending", depends_on=[first.story_id])
    fail(first)

    assert is_paused(execution)
    behind.refresh_from_db()
    assert behind.error_code == "dependency_failed"
    assert nodes_to_mend(execution) == [first, behind]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "errors",
    [
        [BAD_KEY, Misconfigured("No model."), BAD_KEY],
        [NodeTimedOut("Too slow.")] * 3,
        [TokenBudgetExhausted("All used up.")] * 3,
        [BAD_KEY] * 2,
    ],
    ids=["different reasons", "the work's own fault", "its own budget", "too few to tell"],
)
def test_nothing_is_stopped_by(errors: list[SwarmError]) -> None:
    execution = make_execution()
    nodes = [make_node(execution) for _ in range(4)]
    for node, error in zip(nodes, errors, strict=False):
        fail(node, error)
    assert not is_paused(execution)


@pytest.mark.django_db
def test_a_single_success_shows_that_the_reason_is_not_the_same_for_all() -> None:
    execution = make_execution()
    make_node(execution, status="completed")
    for node in [make_node(execution) for _ in range(5)][:4]:
        fail(node)
    assert execution.events.filter(type="swarm:paused").count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_stopped_execution_with_nothing_left_to_run_is_ended_by_a_cancel() -> None:
    execution = make_execution()
    fail(make_node(execution))
    assert is_paused(execution)

    assert cancel(execution.pk).status == Execution.Status.FAILED
