"""How long after `kill -9` of the server its stories go on, and how many turns are paid twice.

Five stories of four turns each run against a model that answers after 1 s. At a random moment their server is killed;
either it is started again at once, or another one stands by. "Resumed" is the time from the kill until the last of the
nodes that ran works again; a turn is paid twice if the model was asked for it more than once.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from swarm.simulator.workspace import make_plain_workspace
from tests.faults.databases import Databases, databases
from tests.faults.world import World, world

TURNS = 4
STORIES = tuple(f"4.{week}" for week in range(1, 6))
AIMS_S = {15.0: 25.0, 2.0: 5.0}
"""Most seconds until all work again, by the node's lease: the default one, and that of the tests."""
REPEATS = 3


def main() -> int:
    print(
        f"{'lease':>6} {'taken up by':>16} {'engine':>11} {'killed after':>13} {'started in':>11} {'resumed':>8} "
        f"{'paid twice':>11} {'ended':>10}"
    )
    is_good = True
    with tempfile.TemporaryDirectory(prefix="swarm-run-") as run, databases(Path(run)) as made:
        for lease_s in AIMS_S:
            for stands_by in (False, True):
                for repeat in range(REPEATS):
                    engine = "sqlite" if repeat % 2 else "postgresql"
                    is_good &= _measure(made, lease_s, stands_by, engine, random.Random(repeat))
    print(
        "goals met"
        if is_good
        else f"GOALS MISSED: resumed within {AIMS_S} s (besides the start), at most one turn a node paid twice"
    )
    return 0 if is_good else 1


def _measure(made: Databases, lease_s: float, stands_by: bool, engine: str, chance: random.Random) -> bool:
    """Kill one server, print a line, and say whether the goals were met."""
    options = {"SWARM_NODE_LEASE": str(lease_s), "SWARM_LOCK_TTL": "300", "SWARM_CHECK_COMMAND": ""}
    with (
        tempfile.TemporaryDirectory(prefix="swarm-recovery-") as directory,
        world(
            Path(directory), made, engine, stories=STORIES, make=_make_workspace, latency_s=1.0, settings=options
        ) as it,
    ):
        if stands_by:
            it.serve()
        it.execute("serve")
        after_s = chance.uniform(0.5, TURNS - 0.5)
        time.sleep(after_s)
        it.living[-1].kill()
        killed_at = time.time()
        if not stands_by:
            it.serve()
        start_s = time.time() - killed_at
        it.wait_for_end()
        resumed_s = _last_resumed(it, killed_at) - killed_at
        paid_twice = it.simulator.stats.requests - TURNS * len(STORIES)
        status = it.progress()
    print(
        f"{lease_s:>4.0f} s {'another server' if stands_by else 'the same, again':>16} {engine:>11} {after_s:>11.1f} s "
        f"{start_s:>9.1f} s {resumed_s:>6.1f} s {paid_twice:>11} {status.status if status else '?':>10}",
        flush=True,
    )
    return resumed_s - start_s <= AIMS_S[lease_s] and paid_twice <= len(STORIES)


def _make_workspace(folder: Path) -> Path:
    return make_plain_workspace(folder, len(STORIES))


def _last_resumed(it: World, killed_at: float) -> float:
    """When the last of the nodes that did not end before the kill started to work again, in seconds since 1970."""
    first: dict[str, float] = {}
    for event in it.events():
        at = datetime.fromisoformat(event["at"]).timestamp()
        if event["type"] == "swarm:node-started" and at > killed_at:
            first.setdefault(event["node"], at)
    return max(first.values(), default=killed_at)


if __name__ == "__main__":
    sys.exit(main())
