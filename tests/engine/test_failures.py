"""One node's error, of any kind, stays its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from swarm.engine import developer, tools
from swarm.engine.executor import executor
from swarm.engine.lifecycle import retry
from swarm.models import Event, Execution, FileLock, Node
from tests.chat.server import Exchange, completion
from tests.main_job import MainJob, call_tools, node_of, play, report_of

pytestmark = pytest.mark.usefixtures("each_way")

OTHERS = ("2.3", "3.3")


def refuse(status: int, body: object) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.send(status, body)


FATAL = {
    "the key is refused": (refuse(401, {"error": {"message": "bad key"}}), "bad_credentials"),
    "the request is refused": (refuse(400, {"error": {"message": "no such parameter"}}), "bad_request"),
    "the model does not exist": (refuse(404, {"error": {"message": "no model"}}), "model_not_found"),
    "a page comes instead of a reply": (
        lambda exchange: exchange.send(200, b"<html>hello</html>", {"Content-Type": "text/html"}),
        "malformed_reply",
    ),
    "the model only talks": (refuse(200, completion("I would rather not.")), "no_progress"),
}


@pytest.mark.parametrize("kind", FATAL)
def test_a_story_that_fails_names_its_error_and_the_others_are_completed(main_job: MainJob, kind: str) -> None:
    main_job.behaviours["1.1"], code = FATAL[kind]

    execution = main_job.run("1.1", *OTHERS, max_attempts=1)

    failed = node_of(execution, "1.1")
    assert failed["status"] == Node.Status.FAILED
    assert failed["error"] is not None
    assert failed["error"]["code"] == code
    assert execution["progress"] == {"completed": 2, "failed": 1, "cancelled": 0, "total": 3}
    assert execution["status"] == Execution.Status.PARTIAL


def test_a_defect_in_our_own_code_ends_that_node_and_no_other(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(work: object, name: str, arguments: dict[str, str]) -> str:
        if arguments.get("path") == "larder/units.py":
            raise ZeroDivisionError
        return tools.call_tool(work, name, arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(developer, "call_tool", broken)

    execution = main_job.run("1.1", *OTHERS)

    error = node_of(execution, "1.1")["error"]
    assert error is not None
    assert (error["code"], error["retryable"]) == ("internal_error", False)
    assert "ZeroDivisionError" in error["message"]
    assert "node.crashed" in caplog.text
    assert execution["progress"]["completed"] == 2


def test_a_failed_node_leaves_nothing_on_the_branch_and_holds_no_lock(main_job: MainJob) -> None:
    def write_then_fail(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            exchange.send(400, {"error": {"message": "no"}})
        else:
            call_tools(exchange, ("write_file", json.dumps({"path": "left.py", "content": "x = 1\n"})))

    main_job.behaviours["1.1"] = write_then_fail

    execution = main_job.run("1.1")

    assert execution["status"] == Execution.Status.FAILED
    assert execution["head_commit"] == execution["base_commit"]
    assert main_job.commits(execution) == []
    assert FileLock.objects.get(path="left.py").holder == ""


def test_a_retryable_error_is_tried_again_with_the_reason_told(main_job: MainJob, no_backoff: None) -> None:
    first = threading.Event()

    def talk_at_first(exchange: Exchange) -> None:
        if "Earlier attempts" in str(exchange.request.body):
            first.set()
            play(exchange)
        else:
            exchange.send(200, completion("Let me think."))

    main_job.behaviours["1.1"] = talk_at_first

    execution = main_job.run("1.1")

    node = node_of(execution, "1.1")
    assert first.is_set()
    assert (node["status"], node["attempt"], node["error"]) == (Node.Status.COMPLETED, 2, None)
    assert Event.objects.get(type="swarm:node-retrying").data["error"]["code"] == "no_progress"


def test_attempts_end_when_they_are_used_up(main_job: MainJob, no_backoff: None) -> None:
    main_job.behaviours["1.1"] = refuse(200, completion("I would rather not."))

    node = node_of(main_job.run("1.1", max_attempts=2), "1.1")

    assert (node["status"], node["attempt"]) == (Node.Status.FAILED, 2)


def test_a_failed_node_can_be_retried_and_its_success_joins_the_branch(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = refuse(400, {"error": {"message": "no"}})
    first = main_job.run("1.1", "2.3")
    assert first["status"] == Execution.Status.PARTIAL
    del main_job.behaviours["1.1"]

    execution = retry(first["id"])
    executor.drain()

    second = report_of(execution)
    assert second["status"] == Execution.Status.COMPLETED
    assert len(main_job.commits(second)) == 2
    assert second["parallelism"]["verified"] is None
    assert "retried" in str(second["parallelism"]["reason"])


def test_finish_is_refused_while_tasks_are_open_or_nothing_was_changed(main_job: MainJob) -> None:
    answers: list[str] = []

    def finish_at_once(exchange: Exchange) -> None:
        last = exchange.request.body["messages"][-1]
        if last["role"] == "tool":
            answers.append(last["content"])
        if len(answers) == 2:
            exchange.send(400, {"error": {"message": "enough"}})
        elif len(answers) == 1:
            call_tools(
                exchange,
                ("write_file", json.dumps({"path": "a.py", "content": "a = 1\n"})),
                ("finish", json.dumps({"summary": "done"})),
            )
        else:
            call_tools(exchange, ("finish", json.dumps({"summary": "done"})))

    main_job.behaviours["1.1"] = finish_at_once
    main_job.run("1.1", max_attempts=1)

    assert answers[0].startswith("Error: not_finished. Nothing has been changed yet")
    assert answers[1].startswith("Error: not_finished. Open tasks: 1, 2")


def test_a_model_that_goes_on_calling_badly_is_given_up(main_job: MainJob) -> None:
    main_job.behaviours["1.1"] = lambda exchange: call_tools(exchange, ("format_disk", "{}"))

    error = node_of(main_job.run("1.1", max_attempts=1), "1.1")["error"]

    assert error is not None
    assert error["code"] == "unusable_calls"
    assert "There is no tool 'format_disk'" in error["message"]
    assert len(main_job.model.received) == developer.MAX_UNUSABLE_TURNS


BAD_CALLS = {
    "no JSON": ("read_file", "{", "Error: bad_arguments."),
    "no object": ("read_file", "[1]", "Error: bad_arguments."),
    "an argument is missing": ("read_file", "{}", "Error: bad_arguments. path:"),
    "an argument is unknown": ("list_files", '{"folder": "x"}', "Error: bad_arguments. folder:"),
    "an argument has the wrong type": ("complete_task", '{"number": "one"}', "Error: bad_arguments. number:"),
    "there is no such tool": ("format_disk", "{}", "Error: unknown_tool. There is no tool 'format_disk'"),
    "there is no such task": ("complete_task", '{"number": 99}', "Error: no_such_task."),
    "the path leaves the workspace": ("read_file", '{"path": "../secret"}', "Error: path_outside_workspace."),
    "the path is git's": ("write_file", '{"path": ".git/config", "content": ""}', "Error: path_outside_workspace."),
    "the path is a story": (
        "write_file",
        '{"path": "_bmad-output/implementation-artifacts/sprint-status.yaml", "content": ""}',
        "Error: reserved_path.",
    ),
    "there is no such file": ("read_file", '{"path": "nothing.py"}', "Error: no_such_file."),
    "the passage is not there": (
        "edit_file",
        '{"path": "larder/units.py", "old_text": "certainly not there", "new_text": "x"}',
        "Error: edit_not_unique.",
    ),
}


@pytest.mark.parametrize("kind", BAD_CALLS)
def test_a_bad_call_is_answered_so_that_the_model_can_mend_it(main_job: MainJob, kind: str) -> None:
    name, arguments, expected = BAD_CALLS[kind]
    answers: list[str] = []

    def call_badly_once(exchange: Exchange) -> None:
        messages = exchange.request.body["messages"]
        if len(messages) == 2:
            call_tools(exchange, (name, arguments))
            return
        answers.append(messages[3]["content"])
        exchange.request.body["messages"] = messages[:2] + messages[4:]
        play(exchange)

    main_job.behaviours["1.1"] = call_badly_once
    execution = main_job.run("1.1")

    assert answers[0].startswith(expected)
    assert node_of(execution, "1.1")["status"] == Node.Status.COMPLETED
