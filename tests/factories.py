"""Rows to start from and threads to race with, for tests of any package."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from django.db import connections

from swarm.models import Execution, Node, Turn

PATIENCE_S = 30.0
"""How long a test waits for what must happen; only a failing test waits that long."""

NOBODYS_ID = "00000000-0000-4000-8000-000000000000"
"""An id that no row has, the same in every process of a parallel test run."""

T = TypeVar("T")


def make_execution(**values: Any) -> Execution:
    """A running execution, or what `values` make of it."""
    defaults: dict[str, Any] = {
        "status": Execution.Status.RUNNING,
        "workspace": "/workspace",
        "branch": "swarm/branch",
        "base_commit": "a" * 40,
        "head_commit": "a" * 40,
        "developers": 64,
        "max_attempts": 3,
        "on_conflict": Execution.OnConflict.WAIT,
        "node_timeout_s": 3600,
    }
    return Execution.objects.create(**defaults | values)


def make_node(execution: Execution, **values: Any) -> Node:
    """One more node of `execution`, running its first attempt, or what `values` make of it."""
    number = execution.nodes.count() + 1
    defaults: dict[str, Any] = {
        "number": number,
        "story_id": f"1.{number}",
        "story_title": f"Story {number}",
        "story_path": f"stories/1-{number}.md",
        "status": Node.Status.RUNNING,
        "attempt": 1,
        "max_attempts": 3,
    }
    return Node.objects.create(execution=execution, **defaults | values)


def make_turn(node: Node, number: int, answer: str = "done", **values: Any) -> Turn:
    """One more turn of a node's first attempt, with a tool's answer, or what `values` make of it."""
    defaults: dict[str, Any] = {
        "attempt": 1,
        "reply": {"role": "assistant", "content": f"turn {number}"},
        "results": [{"role": "tool", "tool_call_id": "c", "content": answer}],
        "state": {},
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "queued_s": 0.5,
        "upstream_s": 1.5,
    }
    return Turn.objects.create(node=node, number=number, **defaults | values)


def make_nodes(count: int, *, executions: int = 1) -> list[Node]:
    """Running nodes, dealt out to `executions` executions in turn."""
    owners = [make_execution() for _ in range(executions)]
    return [make_node(owners[number % executions]) for number in range(count)]


def in_thread(work: Callable[[], T]) -> Future[T]:
    """Start `work` in a thread of its own, which closes its database connections before its result can be had."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            connections.close_all()
            future.set_exception(error)
        else:
            connections.close_all()
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_threads(works: Sequence[Callable[[], T]]) -> list[T]:
    """Do all `works` at once, each in a thread, none before all are there; their results, in order.

    Raises what the first of them raised.
    """
    everybody_is_here = threading.Barrier(len(works))

    def at_once(work: Callable[[], T]) -> T:
        everybody_is_here.wait(PATIENCE_S)
        return work()

    futures = [in_thread(partial(at_once, work)) for work in works]
    return [future.result(PATIENCE_S) for future in futures]


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds; fail if it never does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "what had to happen did not"
        time.sleep(0.005)
