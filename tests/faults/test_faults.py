"""Whatever breaks, at whatever moment: the execution ends, and it ends right.

Five stories run under the real server or the real command. Two faults strike, each once a number of events is
recorded that chance decides; whatever died is started again. Front, faults and moments follow from the seed; which
thread is where when a fault strikes does not, so one seed is many tests.
"""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from tests.faults.databases import Databases
from tests.faults.faults import FAULTS, MAY_FAIL_NODES, Fault, restart_database
from tests.faults.processes import processes_of
from tests.faults.world import World, world

log = logging.getLogger(__name__)

FRONTS = ("serve", "execute")
EVENTS = range(15, 95)
"""Faults strike after one of these, while nodes work: about 105 are recorded when nothing breaks."""


@pytest.mark.parametrize("seed", range(5))
def test_an_execution_ends_right_whatever_breaks(
    seed: int, tmp_path: Path, world_databases: Databases, pytestconfig: pytest.Config
) -> None:
    _live_through(seed, tmp_path, world_databases, pytestconfig.getoption("--database"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5, 55))
def test_fifty_more_executions_end_right_whatever_breaks(
    seed: int, tmp_path: Path, world_databases: Databases, pytestconfig: pytest.Config
) -> None:
    _live_through(seed, tmp_path, world_databases, pytestconfig.getoption("--database"))


def test_the_first_four_seeds_meet_every_fault() -> None:
    assert {fault for seed in range(4) for fault in _deal(seed)} == set(FAULTS)


def _live_through(seed: int, folder: Path, databases: Databases, engine: str) -> None:
    chance = random.Random(seed)
    front = chance.choice(FRONTS)
    faults = _deal(seed)
    moments = sorted(chance.sample(EVENTS, len(faults)))
    for fault, moment in zip(faults, moments, strict=True):
        log.warning("seed %s, %s: %s after event %s", seed, front, fault.__name__, moment)
    with world(folder, databases, "postgresql" if restart_database in faults else engine) as made:
        made.execute(front)
        for moment, fault in zip(moments, faults, strict=True):
            made.wait_for_event(moment)
            fault(made, chance)
        made.wait_for_end()
        _assert_all_ended_well(made, faults)


def _deal(seed: int) -> list[Fault]:
    """Two faults; a shuffled deck of all of them lasts for as many seeds as it has pairs."""
    pairs = len(FAULTS) // 2
    deck = random.Random(seed // pairs).sample(FAULTS, len(FAULTS))
    return deck[2 * (seed % pairs) :][:2]


def _assert_all_ended_well(made: World, faults: list[Fault]) -> None:
    made.stop()
    assert processes_of(made.root) == {}
    assert made.leftovers() == []
    verdict = made.judge()
    assert verdict["problems"] == [], made.logs()
    if not MAY_FAIL_NODES.intersection(faults):
        assert set(verdict["nodes"].values()) == {"completed"}, made.logs()
