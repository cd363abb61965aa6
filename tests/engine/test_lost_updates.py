"""Twenty nodes read, change and write back one file, some of them sleeping past their claim's lease: no edit is lost.

After Jepsen's lock workload for etcd (K. Kingsbury, "Jepsen: etcd 3.4.3", 2020): a lock that expires while its holder
is paused protects nothing unless the write itself is fenced.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils.timezone import now

from swarm.engine import running
from swarm.engine.report import ExecutionReport
from swarm.locks.claims import renew_claims
from swarm.models import Event, Execution, FileLock, Node
from tests.chat.server import Exchange
from tests.engine.ledgers import STORIES_FOLDER, has_signed_all, ledger, make_ledgers, sign, signatures
from tests.factories import wait_until
from tests.main_job import MainJob, story_of

LEASE_S = 0.9
STORIES = [f"1.{number}" for number in range(1, 21)]
SLEEPERS = frozenset(STORIES[::4])
SLOW = frozenset(STORIES[1::8])
LEDGER = ledger(0)


@pytest.fixture
def ledger_job(main_job: MainJob, settings: Any, tmp_path: Path) -> MainJob:
    """Twenty stories that sign one ledger, under claims that expire soon."""
    workspace = make_ledgers(tmp_path / "ledgers", {story: [LEDGER] for story in STORIES}, random.Random(5))
    settings.SWARM_WORKSPACE = str(workspace)
    settings.SWARM_STORIES = STORIES_FOLDER
    settings.SWARM_CHECK_COMMAND = ""
    settings.SWARM_LOCK_TTL = LEASE_S
    return MainJob(workspace, main_job.model, dict.fromkeys(STORIES, sign))


def test_no_edit_is_lost_though_holders_sleep_past_their_lease(
    ledger_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    dormitory = Dormitory()
    monkeypatch.setattr(running, "renew_claims", dormitory.renew_claims_of_others)
    ledger_job.behaviours |= dict.fromkeys(SLEEPERS, dormitory.sleep_before_the_end)
    ledger_job.behaviours |= dict.fromkeys(SLOW, _think_longer_than_the_lease)

    execution = ledger_job.run(*STORIES, max_attempts=20)

    assert {node["status"] for node in execution["nodes"]} == {Node.Status.COMPLETED}
    assert sorted(signatures(ledger_job.file(execution, LEDGER))) == sorted(STORIES)
    assert _losers() >= SLEEPERS
    _assert_each_commit_added_its_own_signature(ledger_job, execution)


class Dormitory:
    """Nodes that fell asleep with the ledger in their hands: nobody renews their claims."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._asleep: set[uuid.UUID] = set()

    def renew_claims_of_others(self, nodes: Iterable[uuid.UUID]) -> None:
        with self._mutex:
            renew_claims(set(nodes) - self._asleep)

    def sleep_before_the_end(self, exchange: Exchange) -> None:
        """Answer, but in the first attempt finish only after the claim has expired."""
        node = Node.objects.get(story_id=story_of(exchange.request.body))
        if node.attempt == 1 and has_signed_all(exchange):
            with self._mutex:
                self._asleep.add(node.pk)
            wait_until(lambda: not FileLock.objects.held(now()).filter(node=node).exists())
            with self._mutex:
                self._asleep.discard(node.pk)
        connections.close_all()  # of the model server's thread
        sign(exchange)


def _think_longer_than_the_lease(exchange: Exchange) -> None:
    if has_signed_all(exchange):
        time.sleep(1.5 * LEASE_S)  # the model's latency; the heartbeat keeps the claim meanwhile
    sign(exchange)


def _losers() -> set[str]:
    """The stories of the nodes whose commit was refused because their claim was not theirs any more."""
    refused = Event.objects.filter(type="swarm:node-retrying", data__error__code="lock_lost")
    return set(refused.values_list("node__story_id", flat=True))


def _assert_each_commit_added_its_own_signature(job: MainJob, execution: ExecutionReport) -> None:
    before: list[str] = []
    for commit in job.commits(execution):
        after = signatures((commit.tree / LEDGER).read_raw().decode())
        assert after[1:] == before
        assert f"\nStory: {after[0]}\n" in commit.message
        before = after
    assert Execution.objects.get().head_commit == str(commit.id)
