"""The faults, one function each: it breaks a world at once, lets it be broken for a while, and mends what was broken.

What died because of it, or paused itself, is brought back as the world is tended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from swarm.simulator.faults import Fault as ModelFault
from tests.faults.disk import filled
from tests.faults.world import NODE_LEASE_S, World

Fault = Callable[[World, random.Random], None]
START_S = 4
"""How long a server may take to start; where it takes longer, the frozen one comes back first."""


def kill(world: World, chance: random.Random) -> None:
    """`kill -9` whatever runs the nodes."""
    for process in world.living:
        process.kill()


def terminate(world: World, chance: random.Random) -> None:
    """SIGTERM, as a deployment sends it: each process ends by itself, and soon."""
    for process in world.living:
        process.terminate()


def freeze(world: World, chance: random.Random) -> None:
    """SIGSTOP for longer than the node's lease, while another server takes over; then SIGCONT, to both's surprise.

    The other is not waited for: it may be waiting itself, for a lock that the frozen one holds in the database.
    """
    frozen = world.living
    for process in frozen:
        process.freeze()
    world.start_server()
    time.sleep(START_S + NODE_LEASE_S * chance.uniform(1.2, 2))
    for process in frozen:
        process.thaw()


def restart_database(world: World, chance: random.Random) -> None:
    """Stop PostgreSQL under everybody's feet, and start it again."""
    world.databases.stop_postgresql()
    time.sleep(chance.uniform(0, 2))
    world.databases.start_postgresql()


def break_upstream(world: World, chance: random.Random) -> None:
    """Let half of the calls to the model fail in one way or another."""
    shares = dict.fromkeys((ModelFault.HANG_UP, ModelFault.STATUS_503, ModelFault.STREAM_STOPS), 1 / 6)
    world.break_model(fault_shares=shares, seed=chance.randrange(1000))
    time.sleep(chance.uniform(0.5, 3))
    world.break_model()


def fill_disk(world: World, chance: random.Random) -> None:
    """Leave no byte free where the repository and the checkouts lie."""
    with filled(world.disk, [process.popen.pid for process in world.living]):
        time.sleep(chance.uniform(0.5, 3))


def lock_branch(world: World, chance: random.Random) -> None:
    """Lock the execution's branch as a git process does that dies then; somebody removes the lock file in the end."""
    (branch,) = (path for path in (world.git / "refs" / "heads" / "swarm").iterdir() if path.suffix != ".lock")
    lock = branch.with_name(f"{branch.name}.lock")
    while not _create(lock):
        time.sleep(0.001)  # a node moves the branch at this very moment
    time.sleep(chance.uniform(0.5, 7))
    lock.unlink()


def _create(lock: Path) -> bool:
    """Make a lock file as git does; False if there is one."""
    try:
        lock.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def lose_repository(world: World, chance: random.Random) -> None:
    """Take git's objects away, as when a network share is gone, and bring them back."""
    objects = world.git / "objects"
    away = objects.rename(world.git / "objects.away")
    time.sleep(chance.uniform(0.2, 2))
    away.rename(objects)


FAULTS: tuple[Fault, ...] = (
    kill, terminate, freeze, restart_database, break_upstream, fill_disk, lock_branch, lose_repository,
)  # fmt: skip

MAY_FAIL_NODES = frozenset({fill_disk, lock_branch, lose_repository})
"""Faults that somebody must mend: a node may fail under them, with a code that says what to do."""
