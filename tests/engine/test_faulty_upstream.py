"""Whole runs against a simulated model that breaks down in every way it can: no story is lost without a reason."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from swarm.chat.gateway import Gateway, GatewaySettings, close_gateway, get_gateway
from swarm.chat.retries import RetryPolicy
from swarm.engine import lifecycle
from swarm.engine.backlog import read_backlog
from swarm.engine.developer import MAX_SILENT_TURNS
from swarm.engine.executor import executor
from swarm.engine.model_client import model_door
from swarm.engine.report import ExecutionReport
from swarm.models import Call, Node, Turn
from swarm.simulator.desk import Stats
from swarm.simulator.developer import GIVES_UP_AFTER
from swarm.simulator.faults import TOOL_FAULTS, Fault
from swarm.simulator.options import SimulatorOptions
from swarm.simulator.server import SimulatorServer
from swarm.simulator.workspace import make_plain_workspace
from tests.main_job import node_of, report_of, story_of

STORIES = 6
TRANSIENT = [fault for fault in Fault if fault not in TOOL_FAULTS]
PERMANENT = {
    Fault.HTML_PAGE: "malformed_reply",
    Fault.ERROR_WITH_200: "upstream_unavailable",
    Fault.GZIP_BOMB: "malformed_reply",
    Fault.HANG_UP: "upstream_unavailable",
    Fault.STATUS_408: "upstream_timeout",
    Fault.STATUS_529: "upstream_unavailable",
}
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
    no_backoff: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Run]:
    """Runs plain stories against a simulator with such faults; gives the report and the simulator's counts.

    Each attempt is charged: else nodes whose fault does not pass would try again until their time is up.
    """
    monkeypatch.setattr("swarm.engine.retry_policy.RULES", {})
    settings.SWARM_WORKSPACE = str(make_plain_workspace(tmp_path / "workspace", STORIES))
    settings.SWARM_STORIES = ""
    settings.SWARM_CHECK_COMMAND = ""
    settings.SWARM_CHAT_MODEL = "simulator"
    settings.SWARM_CALL_TIMEOUT = 60

    def run_all(shares: dict[Fault, float], **options: Any) -> tuple[ExecutionReport, Stats]:
        server = simulator.enter_context(SimulatorServer(SimulatorOptions(fault_shares=shares, seed=1)))
        gateway = GatewaySettings(
            server.base_url, model="simulator", call_timeout_s=1, retry_policy=RetryPolicy(base_s=0.001)
        )
        monkeypatch.setattr("swarm.chat.gateway._gateway", Gateway(gateway))
        stories = [story.id for story in read_backlog().catalogue.ready()]
        execution = lifecycle.start(lifecycle.StartRequest(stories=stories, **options), user=None)
        executor.drain()
        assert len(stories) == STORIES
        return report_of(execution), server.stats

    close_gateway()
    yield run_all
    lifecycle.shut_down()
    executor.open()
    model_door.close()
    close_gateway()


class EachOnce:
    """Lets every story meet each fault once: so many in a row, a good answer, the next faults."""

    IN_A_ROW = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def __call__(self, shares: object, *, seed: int, body: bytes, retry_count: int) -> Fault | None:
        story = story_of(json.loads(body))
        with self._lock:
            row, place = divmod(self._calls[story], self.IN_A_ROW + 1)
            self._calls[story] += 1
        number = row * self.IN_A_ROW + place
        return TRANSIENT[number] if place < self.IN_A_ROW and number < len(TRANSIENT) else None


def answers_to_the_model() -> list[str]:
    return [answer["content"] for turn in Turn.objects.all() for answer in turn.results or ()]


@pytest.mark.usefixtures("each_way")
def test_a_story_that_meets_every_fault_of_the_server_once_is_completed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.simulator.desk.draw_fault", EachOnce())

    execution, stats = run({})

    assert execution["progress"]["completed"] == STORIES
    assert stats.faults == dict.fromkeys(TRANSIENT, STORIES)
    rows = list(Call.objects.all())
    assert sum(row.outcome == "ok" for row in rows) == execution["usage"]["calls"]
    assert sum(row.retries + (row.outcome != "ok") for row in rows) >= STORIES * len(TRANSIENT)
    assert get_gateway().state()["models"]["simulator"]["in_flight"] == 0


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize(("fault", "code"), PERMANENT.items())
def test_a_story_whose_fault_does_not_pass_fails_by_name_and_the_others_are_completed(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Fault, code: str
) -> None:
    def only_the_first(shares: object, *, seed: int, body: bytes, retry_count: int) -> Fault | None:
        return fault if story_of(json.loads(body)) == "4.1" else None

    monkeypatch.setattr("swarm.simulator.desk.draw_fault", only_the_first)

    execution, _ = run({}, max_attempts=1)

    error = node_of(execution, "4.1")["error"]
    assert error is not None
    assert (error["code"], error["retryable"]) == (code, True)
    assert execution["progress"] == {"completed": STORIES - 1, "failed": 1, "cancelled": 0, "total": STORIES}
    assert {row.outcome for row in Call.objects.filter(node__story_id="4.1")} == {code}
    assert get_gateway().state()["models"]["simulator"]["in_flight"] == 0


@pytest.mark.usefixtures("each_way")
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
