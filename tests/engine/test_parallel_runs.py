"""The NFR-1 verdict on real runs: what ran one after another never passes for parallel, whatever made it so."""

from __future__ import annotations

import time
from typing import Any

import pytest

from swarm.engine.executor import executor
from swarm.engine.lifecycle import dispatch
from swarm.models import Execution
from tests.chat.server import Exchange
from tests.main_job import MainJob, play, report_of

STORIES = ("1.3", "2.2", "2.3", "3.3", "3.4")


def think(exchange: Exchange) -> None:
    time.sleep(0.2)  # the model's latency
    play(exchange)


@pytest.fixture
def slow_job(main_job: MainJob, settings: Any) -> MainJob:
    settings.SWARM_CHECK_COMMAND = ""
    main_job.behaviours = dict.fromkeys(STORIES, think)
    return main_job


def test_nodes_that_share_one_thread_are_not_verified(slow_job: MainJob, settings: Any) -> None:
    """Five developers are asked for and every node is dispatched, but the pool has one thread."""
    executor.close(lambda is_patient: None, drain_s=0)
    execution = slow_job.start(*STORIES)
    settings.SWARM_MAX_DEVELOPERS = 1
    executor.open()

    dispatch(execution.pk)
    executor.drain()

    _assert_serial(execution)


def test_calls_that_pass_the_limiter_one_at_a_time_are_not_verified(slow_job: MainJob, settings: Any) -> None:
    """All nodes run at once, but only one call may be in flight: the wait for it is booked, and is not work."""
    settings.SWARM_MAX_IN_FLIGHT = 1

    execution = slow_job.start(*STORIES)
    executor.drain()

    _assert_serial(execution)


def _assert_serial(execution: Execution) -> None:
    measured = report_of(execution)["parallelism"]
    assert report_of(execution)["progress"]["completed"] == len(STORIES)
    assert measured["verified"] is False
    assert measured["reason"] is None
    assert measured["ratio"] is not None
    assert measured["ratio"] > 2
