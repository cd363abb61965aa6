"""A developer that goes round in circles is told so, then stopped; one that gets on is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.engine.errors import Looping
from swarm.engine.loops import STOPPED_AT, TOLD_AT, Exchange, exchanges_of, warn_of_loop
from swarm.models import Node
from tests.chat.server import Exchange as HttpExchange
from tests.main_job import MainJob, call_tools, node_of, play

READ = Exchange("read_file", '{"path": "a.py"}', "x = 1")
CHECKS = Exchange("run_checks", "{}", "The checks failed.\nE")
REFUSED = Exchange("edit_file", '{"old_text": "y"}', "Error: edit_not_unique. …")
HELD = Exchange("write_file", '{"path": "a.py"}', "Error: path_held. …")


def written(content: object) -> Exchange:
    return Exchange("write_file", json.dumps({"path": "a.py", "content": content}), "a.py is changed in your snapshot.")


@pytest.mark.parametrize("exchange", [READ, CHECKS, REFUSED, written(1)], ids=lambda it: it.tool)
def test_a_repeated_call_is_told_and_then_stopped(exchange: Exchange) -> None:
    for count in range(1, STOPPED_AT):
        warning = warn_of_loop([[exchange]] * count)
        assert bool(warning) is (count >= TOLD_AT)
        assert (f"{exchange.tool} was called {count} times" in warning) is (count >= TOLD_AT)
    with pytest.raises(Looping, match=f"{exchange.tool} was called {STOPPED_AT} times"):
        warn_of_loop([[exchange]] * STOPPED_AT)


def test_two_edits_that_undo_each_other_are_a_loop() -> None:
    with pytest.raises(Looping):
        warn_of_loop([[written(1), CHECKS], [written(2), CHECKS]] * STOPPED_AT)


def test_checks_that_fail_alike_after_ever_new_edits_are_none() -> None:
    assert warn_of_loop([[written(number), READ, CHECKS] for number in range(50)]) == ""


def test_another_answer_is_another_call() -> None:
    assert warn_of_loop([[READ._replace(answer=str(number))] for number in range(50)]) == ""


def test_asking_again_for_a_path_that_another_holds_is_none() -> None:
    assert warn_of_loop([[HELD]] * 50) == ""


def test_a_warning_is_about_the_last_turn_only() -> None:
    assert warn_of_loop([[READ]] * TOLD_AT + [[CHECKS]]) == ""
    assert warn_of_loop([]) == ""


@given(st.lists(st.sampled_from([READ, CHECKS, REFUSED, HELD, written(1), written(2)]), max_size=24))
def test_nobody_is_stopped_who_was_not_told_before(exchanges: list[Exchange]) -> None:
    told = False
    for count in range(1, len(exchanges) + 1):
        try:
            told |= bool(warn_of_loop([[exchange] for exchange in exchanges[:count]]))
        except Looping:
            assert told
            return


def test_calls_and_answers_are_read_from_the_wire_form_as_far_as_they_were_answered() -> None:
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    assert exchanges_of({"tool_calls": calls}, [{"content": "done"}]) == [Exchange("a", "{}", "done")]
    assert exchanges_of({"content": "hello", "tool_calls": None}, []) == []


@pytest.mark.usefixtures("each_way")
def test_a_node_that_loops_is_told_and_fails_with_a_name(main_job: MainJob) -> None:
    last_messages: list[str] = []

    def read_on(exchange: HttpExchange) -> None:
        last_messages.append(str(exchange.request.body["messages"][-1]["content"]))
        call_tools(exchange, ("list_files", "{}"))

    main_job.behaviours["1.1"] = read_on

    error = node_of(main_job.run("1.1", max_attempts=1), "1.1")["error"]

    assert error is not None
    assert (error["code"], error["retryable"]) == ("looping", True)
    assert [("Do something else" in message) for message in last_messages] == [False] * 3 + [True] * 3


def test_a_node_that_heeds_the_warning_completes(main_job: MainJob) -> None:
    def read_until_told(exchange: HttpExchange) -> None:
        messages: list[dict[str, Any]] = exchange.request.body["messages"]
        told = [number for number, it in enumerate(messages) if "Do something else" in str(it["content"])]
        if told:
            exchange.request.body["messages"] = messages[:2] + messages[told[-1] + 1 :]
            play(exchange)
        else:
            call_tools(exchange, ("list_files", "{}"))

    main_job.behaviours["1.1"] = read_until_told

    assert node_of(main_job.run("1.1", max_attempts=1), "1.1")["status"] == Node.Status.COMPLETED
