"""Whole runs against a simulated model that breaks down in every way it can: no story is lost without a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from swarm.chat.gateway import close_gateway
from swarm.engine import lifecycle
from swarm.engine.backlog import read_backlog
from swarm.engine.developer import MAX_SILENT_TURNS
from swarm.engine.executor import executor
from swarm.engine.report import ExecutionReport
from swarm.models import Node, Turn
from swarm.simulator.desk import Stats
from swarm.simulator.developer import GIVES_UP_AFTER
from swarm.simulator.faults import TOOL_FAULTS, Fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.workspace import make_plain_workspace
from tests.main_job import report_of

STORIES = 6
OURS = {"malformed_reply", "upstream_unavailable", "upstream_timeout", "rate_limited", "no_progress"}

Run = Callable[..., tuple[ExecutionReport, Stats]]


@pytest.fixture
def simulator() -> Iterator[ExitStack]:
    """Ends the simulator at last, after the threads that call it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def run(
    simulator: ExitStack,
    transactional_db: None,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    """Runs plain stories against a simulator with such faults; gives the report and the simulator's counts."""
    settings.SWARM_WORKSPACE = str(make_plain_workspace(tmp_path / "workspace", STORIES))
    settings.SWARM_STORIES = ""
    settings.SWARM_CHECK_COMMAND = ""
    settings.SWARM_CHAT_MODEL = "simulator"
    settings.SWARM_CALL_TIMEOUT = 1
    monkeypatch.setattr("swarm.engine.attempts.BACKOFF_BASE_S", 0.0)

    def run_all(shares: dict[Fault, float], **options: Any) -> tuple[ExecutionReport, Stats]:
        server = simulator.enter_context(SimulatorServer(SimulatorOptions(fault_shares=shares, seed=1)))
        settings.SWARM_CHAT_BASE_URL = server.base_url
        stories = [story.id for story in read_backlog().catalogue.ready()]
        execution = lifecycle.start(lifecycle.StartRequest(stories=stories, **options), user=None)
        executor.drain()
        assert len(stories) == STORIES
        return report_of(execution), server.stats

    close_gateway()
    yield run_all
    lifecycle.shut_down()
    executor.open()
    close_gateway()


def answers_to_the_model() -> list[str]:
    return [answer["content"] for turn in Turn.objects.all() for answer in turn.results or ()]


def test_every_story_ends_completed_or_with_a_named_error_whatever_the_server_does(run: Run) -> None:
    execution, stats = run(dict.fromkeys(Fault, 0.03), max_attempts=2)

    ends = {(node["status"], node["error"]["code"] if node["error"] else None) for node in execution["nodes"]}
    assert ends <= {(Node.Status.COMPLETED, None), *((Node.Status.FAILED, code) for code in OURS)}
    assert execution["progress"]["total"] == STORIES
    assert len(stats.faults) > 5


def test_wrong_tool_calls_are_answered_to_the_model_which_mends_them(run: Run) -> None:
    execution, _ = run(dict.fromkeys(TOOL_FAULTS, 0.1))

    assert execution["progress"]["completed"] == STORIES
    errors = {answer.split(".")[0] for answer in answers_to_the_model() if answer.startswith("Error: ")}
    assert errors == {"Error: bad_arguments", "Error: unknown_tool"}


@pytest.mark.parametrize("fault", sorted(TOOL_FAULTS))
def test_a_model_that_never_calls_a_tool_rightly_is_given_up(run: Run, fault: Fault) -> None:
    execution, _ = run({fault: 1.0}, max_attempts=1)

    assert {node["error"]["code"] for node in execution["nodes"] if node["error"]} == {"no_progress"}
    assert execution["progress"]["failed"] == STORIES
    looking_around = 1
    calls = looking_around + GIVES_UP_AFTER + MAX_SILENT_TURNS
    assert {node["usage"]["calls"] for node in execution["nodes"]} == {calls}
