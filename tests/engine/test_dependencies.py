"""Stories that wait for stories: they start on what the others committed, end with them, and are never stuck."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.utils.timezone import now

from swarm.engine.executor import executor
from swarm.engine.lifecycle import cancel, retry, shut_down
from swarm.engine.recovery import dispatch_orphans, put_back_lost_nodes
from swarm.models import Event, Execution, Node
from tests.chat.server import Exchange
from tests.engine.test_cancelling import wait_until
from tests.main_job import MainJob, call_tools, node_of, play, report_of

AFTER = {"2.3": ["1.1"]}
"""Two stories that have no file in common."""
CHAIN = {"1.2": ["1.1"], "2.3": ["1.2"]}


def refuse(exchange: Exchange) -> None:
    exchange.send(400, {"error": {"message": "no"}})


def statuses(execution: Execution) -> dict[str, str]:
    return {node["story"]["id"]: node["status"] for node in report_of(execution)["nodes"]}


# Starting


def test_a_story_starts_after_the_commit_that_it_waits_for_and_sees_its_files(main_job: MainJob) -> None:
    seen: list[str] = []

    def look_first(exchange: Exchange) -> None:
        messages = exchange.request.body["messages"]
        if len(messages) == 2:
            call_tools(exchange, ("read_file", json.dumps({"path": "larder/units.py"})))
            return
        seen.append(messages[3]["content"])
        exchange.request.body["messages"] = messages[:2] + messages[4:]
        play(exchange)

    main_job.behaviours["2.3"] = look_first
    execution = main_job.run("2.3", "1.1", depends_on=AFTER)

    assert execution["progress"]["completed"] == 2
    first, second = main_job.commits(execution)
    assert str(first.id) == node_of(execution, "1.1")["commit"]
    assert second.parents[0].id == first.id
    assert '"oz"' not in (main_job.workspace / "larder/units.py").read_text()
    assert '"oz"' in seen[0]
    ended, started = node_of(execution, "1.1")["finished_at"], node_of(execution, "2.3")["started_at"]
    assert ended is not None
    assert started is not None
    assert started >= ended


def test_nodes_are_numbered_in_the_order_in_which_they_can_start(main_job: MainJob) -> None:
    execution = main_job.run("2.3", "1.2", "1.1", depends_on=CHAIN)

    assert [(node["name"], node["story"]["id"], node["depends_on"]) for node in execution["nodes"]] == [
        ("developer-1", "1.1", []),
        ("developer-2", "1.2", ["1.1"]),
        ("developer-3", "2.3", ["1.2"]),
    ]
    assert Event.objects.get(type="swarm:started").data["stories"] == ["1.1", "1.2", "2.3"]


def test_stories_that_depend_on_nothing_do_not_wait(main_job: MainJob) -> None:
    everybody = threading.Barrier(3)

    def wait_for_everybody(exchange: Exchange) -> None:
        if len(exchange.request.body["messages"]) == 2:
            everybody.wait(timeout=60)
        play(exchange)

    main_job.behaviours = dict.fromkeys(("1.1", "3.3", "3.4"), wait_for_everybody)

    execution = main_job.run("1.1", "1.2", "3.3", "3.4", depends_on={"1.2": ["1.1"]})

    assert execution["progress"]["completed"] == 4


@pytest.mark.parametrize("developers", [1, 2])
def test_few_developers_and_dependencies_together_bring_every_story_to_its_end(
    main_job: MainJob, developers: int
) -> None:
    depends_on = {"1.1": ["3.4"], "2.3": ["1.1", "3.3"]}

    execution = main_job.run("2.3", "1.1", "3.3", "3.4", depends_on=depends_on, developers=developers)

    assert execution["progress"]["completed"] == 4


def test_a_story_that_waits_says_for_whom_until_that_one_is_done(main_job: MainJob) -> None:
    may_go_on = threading.Event()
    main_job.behaviours["1.1"] = lambda exchange: may_go_on.wait(60) and play(exchange)
    execution = main_job.start("1.1", "2.3", depends_on=AFTER)
    wait_until(lambda: main_job.model.in_flight == 1)

    waiting = node_of(report_of(execution), "2.3")
    may_go_on.set()
    executor.drain()

    assert (waiting["status"], waiting["detail"]) == (Node.Status.PENDING, "waits for 1.1 to be done")
    assert waiting["started_at"] is None
    done = node_of(report_of(execution), "2.3")
    assert (done["status"], done["detail"]) == (Node.Status.COMPLETED, "")


def test_a_dependency_that_is_done_in_the_backlog_is_no_reason_to_wait(main_job: MainJob) -> None:
    main_job.commit_status("1.1", "done")

    execution = main_job.run("2.3", depends_on=AFTER)

    node = node_of(execution, "2.3")
    assert (node["status"], node["depends_on"]) == (Node.Status.COMPLETED, [])


# Failing


def test_what_waits_for_a_story_that_fails_fails_too_and_names_it(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = refuse

    execution = main_job.run("1.1", "1.2", "2.3", "3.3", depends_on=CHAIN)

    errors = {node["story"]["id"]: node["error"] for node in execution["nodes"]}
    assert errors["3.3"] is None
    assert errors["1.2"] == {
        "code": "dependency_failed",
        "message": "It waited for story 1.1, which is failed; a retry runs both.",
        "retryable": False,
    }
    assert errors["2.3"] is not None
    assert errors["2.3"]["message"].startswith("It waited for story 1.2")
    assert node_of(execution, "1.2")["started_at"] is None
    assert execution["status"] == Execution.Status.PARTIAL
    kinds = list(Event.objects.after(execution["id"], 0).values_list("type", flat=True))
    assert (kinds.count("swarm:node-failed"), kinds.count("swarm:completed"), kinds[-1]) == (3, 1, "swarm:completed")


def test_a_retry_runs_a_story_and_what_had_failed_because_of_it(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = refuse
    first = main_job.run("1.1", "1.2", "2.3", depends_on=CHAIN)
    assert first["status"] == Execution.Status.FAILED
    del main_job.behaviours["1.1"]

    execution = retry(first["id"])
    executor.drain()

    second = report_of(execution)
    assert second["status"] == Execution.Status.COMPLETED
    stories = [commit.message.split()[0] for commit in main_job.commits(second)]
    assert stories == ["1.1", "1.2", "2.3"]


def test_a_retry_of_the_last_in_a_chain_runs_what_it_waits_for_too(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = refuse
    first = main_job.run("1.1", "1.2", "2.3", "3.3", depends_on=CHAIN)
    del main_job.behaviours["1.1"]

    execution = retry(first["id"], [node_of(first, "2.3")["id"]])
    executor.drain()

    assert report_of(execution)["status"] == Execution.Status.COMPLETED
    assert Event.objects.filter(type="swarm:started").latest("seq").data["stories"] == ["1.1", "1.2", "2.3"]


def test_a_retry_of_the_first_in_a_chain_leaves_the_others_as_they_are(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = refuse
    first = main_job.run("1.1", "2.3", depends_on=AFTER)
    del main_job.behaviours["1.1"]

    execution = retry(first["id"], [node_of(first, "1.1")["id"]])
    executor.drain()
    assert statuses(execution) == {"1.1": "completed", "2.3": "failed"}

    retry(first["id"])
    executor.drain()
    assert statuses(execution) == {"1.1": "completed", "2.3": "completed"}


# Cancelling, stopping, dying


def test_a_cancel_ends_what_waits_as_cancelled_and_a_retry_completes_all(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = lambda exchange: main_job.model.is_closing.wait(120) and exchange.hang_up()
    execution = main_job.start("1.1", "1.2", "2.3", depends_on=CHAIN)
    wait_until(lambda: main_job.model.in_flight == 1)

    cancel(execution.pk)
    executor.drain()

    assert set(statuses(execution).values()) == {"cancelled"}
    assert report_of(execution)["status"] == Execution.Status.CANCELLED
    del main_job.behaviours["1.1"]
    retry(execution.pk, [Node.objects.get(story_id="2.3").pk])
    executor.drain()
    assert report_of(execution)["status"] == Execution.Status.COMPLETED


def test_a_cancel_before_anything_started_ends_everything(main_job: MainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "submit", lambda run, node_id: None)
    execution = main_job.start("1.1", "1.2", "2.3", depends_on=CHAIN)

    cancel(execution.pk)

    assert set(statuses(execution).values()) == {"cancelled"}


def test_a_process_that_stops_leaves_a_chain_that_the_next_one_finishes(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = lambda exchange: main_job.model.is_closing.wait(120) and exchange.hang_up()
    execution = main_job.start("1.1", "2.3", depends_on=AFTER)
    wait_until(lambda: main_job.model.in_flight == 1)

    shut_down()

    assert statuses(execution) == {"1.1": "pending", "2.3": "pending"}
    del main_job.behaviours["1.1"]
    executor.open()
    dispatch_orphans()
    executor.drain()
    assert report_of(execution)["status"] == Execution.Status.COMPLETED


def test_a_process_that_died_between_two_stories_of_a_chain_leaves_nothing_stuck(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("swarm.engine.lifecycle.dispatch", lambda execution_id: None)
        execution = main_job.start("1.1", "2.3", depends_on=AFTER)
    Execution.objects.update(status=Execution.Status.RUNNING)
    Node.objects.filter(story_id="1.1").update(
        status=Node.Status.RUNNING, attempt=1, started_at=now(), lease_expires_at=now() - timedelta(seconds=1)
    )

    assert put_back_lost_nodes() == 1
    dispatch_orphans()
    executor.drain()

    assert statuses(execution) == {"1.1": "completed", "2.3": "completed"}


# The verdict


def test_a_run_with_dependencies_has_no_verdict_but_names_its_longest_chain(main_job: MainJob) -> None:
    parallelism = main_job.run("1.1", "1.2", "2.3", "3.3", depends_on={"1.2": ["1.1"]})["parallelism"]

    assert parallelism["verified"] is None
    assert str(parallelism["reason"]).startswith(
        "Dependencies put the stories in an order. The longest chain of them, 1.1 → 1.2, took "
    )
    assert parallelism["ratio"] is not None
    assert parallelism["critical_path"] is not None
