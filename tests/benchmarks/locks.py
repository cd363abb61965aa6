"""What a claim costs that meets nobody, and how fast a path reaches a waiter in another process.

A claim is one transaction that locks the execution's row, grants the path, and records the event. Beside it, in the
same run and by the same ORM, the least that a lock kept in rows can cost: `SELECT … FOR UPDATE` of one row (on SQLite
`BEGIN IMMEDIATE` and `SELECT`) and a commit. Hand-over: two processes pass one path to and fro on PostgreSQL, from the
commit of the release to the return of the waiter's claim; the waiter looks by itself once an hour only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.postgresql_server import postgresql_server

ROUNDS = 1000
WARM_UP = 100
HAND_OVERS = 200
MOST_RATIO = 3.0
MOST_HAND_OVER_S = 0.050


def main() -> int:
    if len(sys.argv) > 1:
        part, url, *more = sys.argv[1:]
        return {"claims": _claims, "to and fro": _to_and_fro, "fro": _fro}[part](url, *more)
    with tempfile.TemporaryDirectory(prefix="swarm-locks-") as directory, postgresql_server() as server:
        print(f"{'':<12} {'':<30} {'p50':>9} {'p99':>9} {'a second':>9}")
        statuses = [
            _run("claims", f"sqlite:///{Path(directory) / 'db.sqlite3'}"),
            _run("claims", server.get_uri()),
            _run("to and fro", server.get_uri()),
        ]
    print("goals met" if not any(statuses) else "GOALS MISSED: a claim ≤ 3 × a locked row, a hand-over's p99 ≤ 50 ms")
    return max(statuses)


def _run(part: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "tests.benchmarks.locks", part, *arguments], check=False).returncode


def _load_django(url: str) -> None:
    os.environ |= {
        "DATABASE_URL": url, "REDIS_URL": "", "SECRET_KEY": "benchmark", "SWARM_LOCK_TTL": "3600",
        "DJANGO_SETTINGS_MODULE": "swarmsite.settings",
    }  # fmt: skip
    import django

    django.setup()


def _claims(url: str) -> int:
    """Time claims of new paths and locked rows, in turns so that both meet the same machine."""
    _load_django(url)
    from django.core.management import call_command
    from django.db import connection, transaction

    from swarm.models import FileLock
    from tests.factories import make_nodes

    call_command("migrate", interactive=False, verbosity=0)
    [node] = make_nodes(1)
    bare_row = FileLock.objects.create(key="bare", path="bare")

    def lock_row() -> None:
        with transaction.atomic():
            FileLock.objects.select_for_update().get(pk=bare_row.pk)

    claims_s, rows_s = [], []
    for number in range(-WARM_UP, ROUNDS):
        claim_s, row_s = _timed(partial(_claim, node, f"{number % 50}.py")), _timed(lock_row)
        _release(node)
        if number >= 0:
            claims_s.append(claim_s)
            rows_s.append(row_s)
    claim_p50_s, _ = _show(connection.vendor, "claim of a free path", claims_s)
    row_p50_s, _ = _show("", "a row locked and committed", rows_s)
    ratio = claim_p50_s / row_p50_s
    print(f"{'':<12} {'÷':<30} {ratio:>8.2f}×", flush=True)
    return int(ratio > MOST_RATIO)


def _to_and_fro(url: str) -> int:
    """Release a path for which the other process waits, and stand in line behind it, again and again."""
    _load_django(url)
    from django.db import connection

    from swarm.models import Conflict
    from tests.factories import make_nodes, wait_until

    here, there = make_nodes(2, executions=2)
    _claim(here, "ball.py")
    took_s = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.locks", "fro", url, str(there.pk)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        for _ in range(HAND_OVERS):
            wait_until(lambda: Conflict.objects.waiting().filter(node=there).exists())
            time.sleep(0.02)  # until it sleeps, which it does not tell
            _release(here)
            released_at = time.time()
            took_s.append(float(other.stdout.readline()) - released_at)
            _claim(here, "ball.py")
    p99_s = _show(connection.vendor, "hand-over to another process", took_s)[1]
    return int(p99_s > MOST_HAND_OVER_S)


def _fro(url: str, node_id: str) -> int:
    """Claim the path, say when it was had, and give it back once somebody waits."""
    _load_django(url)
    from swarm.models import Conflict, Node
    from tests.factories import wait_until

    node = Node.objects.get(pk=node_id)
    for _ in range(HAND_OVERS):
        _claim(node, "ball.py")
        print(time.time(), flush=True)
        wait_until(lambda: Conflict.objects.waiting().exclude(node=node).exists())
        _release(node)
    return 0


def _claim(node: Any, path: str) -> None:
    from swarm.cancellation import Cancellation
    from swarm.locks import claims

    claims.POLL_S = 3600.0
    claims.claim_paths(
        node, [path], policy="wait", timeout_s=60, cancellation=Cancellation(), on_wait=lambda holder: None
    )


def _release(node: Any) -> None:
    from swarm.events.record import recording
    from swarm.locks.claims import release_claims

    with recording(node.execution_id) as record:
        release_claims(record, node)


def _timed(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _show(vendor: str, what: str, took_s: list[float]) -> tuple[float, float]:
    """Print a line of the table; the median and the 99th percentile in seconds."""
    in_order = sorted(took_s)
    p50_s, p99_s = in_order[len(in_order) // 2], in_order[len(in_order) * 99 // 100]
    a_second = len(took_s) / sum(took_s)
    print(f"{vendor:<12} {what:<30} {1000 * p50_s:>6.2f} ms {1000 * p99_s:>6.2f} ms {a_second:>9.0f}", flush=True)
    return p50_s, p99_s


if __name__ == "__main__":
    sys.exit(main())
