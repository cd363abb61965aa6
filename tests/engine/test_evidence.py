"""Evidence, not words: what a developer must show to tick a task and to finish, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from swarm.engine import review
from swarm.models import CheckRun, Execution, Node
from tests.chat.server import Exchange
from tests.main_job import MainJob, call_tools, node_of

Turn = Sequence[tuple[str, str]]

WRITE = ("write_file", '{"path": "a.py", "content": "a = 1\\n"}')
WRITE_MORE = ("write_file", '{"path": "b.py", "content": "b = 1\\n"}')
READ = ("read_file", '{"path": "larder/units.py"}')
RUN = ("run_checks", "{}")
TICK_1, TICK_2 = (("complete_task", json.dumps({"number": number})) for number in (1, 2))
FINISH = ("finish", '{"summary": "Done."}')


def take_turns(turns: Sequence[Turn], exchange: Exchange) -> None:
    """A developer who takes these turns and is then cut off."""
    number = sum(message["role"] == "assistant" for message in exchange.request.body["messages"])
    if number < len(turns):
        call_tools(exchange, *turns[number])
    else:
        exchange.send(400, {"error": {"message": "enough"}})


def answers_to(job: MainJob, name: str, *turns: Turn) -> list[str]:
    """What calls of the tool `name` were answered when story 1.1 was run with a developer who takes these turns."""
    job.behaviours["1.1"] = partial(take_turns, turns)
    execution = job.run("1.1", max_attempts=1)
    answers = []
    for turn in Node.objects.get(execution=execution["id"]).turns.order_by("number"):
        for call, answer in zip(turn.reply["tool_calls"], turn.results, strict=False):
            if call["function"]["name"] == name:
                answers.append(str(answer["content"]))
    return answers


# Ticking

TICKS: dict[str, tuple[str, list[Turn], list[bool]]] = {
    "nothing was done": ("true", [[TICK_1], [READ, TICK_1]], [False, False]),
    "something was changed": ("true", [[WRITE], [READ], [TICK_1]], [True]),
    "the checks passed on what was there": ("true", [[RUN], [TICK_1]], [True]),
    "the checks failed on what was there": ("false", [[RUN], [TICK_1]], [False]),
    "nothing was done for the second task": ("true", [[WRITE, TICK_1], [READ, TICK_2]], [True, False]),
    "something was changed for each task": ("true", [[WRITE, TICK_1], [WRITE_MORE, TICK_2]], [True, True]),
    "the checks passed since the first task": ("true", [[WRITE, TICK_1], [RUN, TICK_2]], [True, True]),
    "the checks failed since the first task": ("false", [[WRITE, TICK_1], [RUN, TICK_2]], [True, False]),
    "one change is for both tasks": ("true", [[WRITE], [TICK_1, TICK_2]], [True, True]),
    "a task is ticked twice": ("true", [[WRITE, TICK_1], [TICK_1]], [True, True]),
    "there is nothing to check with": ("", [[TICK_1], [WRITE, TICK_1], [TICK_2]], [False, True, True]),
}


@pytest.mark.parametrize("case", TICKS)
def test_a_task_is_ticked_if_there_is_something_to_show_for_it(main_job: MainJob, settings: Any, case: str) -> None:
    settings.SWARM_CHECK_COMMAND, turns, expected = TICKS[case]
    answers = answers_to(main_job, "complete_task", *turns)
    assert [answer.startswith("Task ") for answer in answers] == expected
    for answer in answers:
        assert answer.startswith(("Task ", "Error: nothing_to_show. Nothing was changed and no check has passed since"))
    assert Node.objects.get().tasks_done == len({answer for answer in answers if answer.startswith("Task ")})


# Finishing


def test_finish_runs_the_checks_itself_and_is_refused_with_their_output(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = "echo three tests failed; exit 3"
    [answer] = answers_to(main_job, "finish", [WRITE, TICK_1, TICK_2, FINISH])
    assert answer.startswith("Error: checks_failed. `echo three tests failed; exit 3` ended with exit status 3;")
    assert "three tests failed" in answer
    run = CheckRun.objects.get()
    assert (run.exit_status, run.has_passed, run.on_commit) == (3, False, Execution.objects.get().base_commit)
    assert Node.objects.get().proof is None


def test_checks_that_passed_are_not_run_again_and_a_change_makes_them_void(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = "true"
    answers_to(main_job, "finish", [WRITE, TICK_1, TICK_2, RUN, FINISH])
    assert CheckRun.objects.count() == 1
    answers_to(main_job, "finish", [WRITE, TICK_1, TICK_2, RUN, WRITE_MORE, FINISH])
    assert CheckRun.objects.count() == 3


# The proof


def test_a_completed_story_keeps_the_run_that_proved_it(main_job: MainJob) -> None:
    execution = main_job.run("1.3")  # its first try fails its checks
    node = Node.objects.select_related("proof").get(pk=node_of(execution, "1.3")["id"])
    failed, passed = CheckRun.objects.order_by("id")
    assert (failed.has_passed, passed.has_passed) == (False, True)
    assert node.proof == passed


def test_without_a_check_command_nothing_proves_a_story(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_CHECK_COMMAND = ""
    node = node_of(main_job.run("1.1"), "1.1")
    assert (node["status"], Node.objects.get().proof) == ("completed", None)


def test_each_commit_of_a_story_needs_a_proof_of_its_own(main_job: MainJob) -> None:
    execution = main_job.run("1.1")
    first = Node.objects.get().proof
    main_job.behaviours["1.1"] = partial(take_turns, [[WRITE, FINISH]])
    review.reject(node_of(execution, "1.1")["id"], comment="More.", user=None)
    main_job.finish(Execution.objects.get())
    second = Node.objects.get().proof
    assert None not in (first, second)
    assert first != second
