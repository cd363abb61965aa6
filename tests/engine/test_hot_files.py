"""Forty nodes change ten files in random orders: whatever waits and deadlocks that brings, the branch is right."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pygit2
import pytest
from django.utils.timezone import now

from swarm.engine import evidence
from swarm.engine.report import ExecutionReport
from swarm.models import Conflict, Event, FileLock, Node
from swarm.workspace.checkout import checked_out
from swarm.workspace.repository import Repository
from tests.chat.server import Exchange
from tests.engine.ledgers import CHECK_COMMAND, STORIES_FOLDER, draw_plans, make_ledgers, sign, signatures
from tests.engine.schedules import Claimed, Recorded, ideal_makespan
from tests.main_job import MainJob, story_of
from tests.workspace.repositories import history

SEED = 5
PLANS = draw_plans(stories=40, ledgers=10, most=3, rng=random.Random(SEED))


@pytest.fixture
def hot_job(main_job: MainJob, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MainJob:
    workspace = make_ledgers(tmp_path / "ledgers", PLANS, random.Random(SEED))
    settings.SWARM_WORKSPACE = str(workspace)
    settings.SWARM_STORIES = STORIES_FOLDER
    settings.SWARM_CHECK_COMMAND = CHECK_COMMAND
    monkeypatch.setattr(evidence, "CHECKOUTS", tmp_path / "checkouts")
    return MainJob(workspace, main_job.model, dict.fromkeys(PLANS, _think_and_sign))


def test_hot_files_leave_a_linear_branch_with_every_story_once_and_every_check_green(
    hot_job: MainJob, tmp_path: Path
) -> None:
    execution = hot_job.run(*PLANS)

    assert Counter(node["status"] for node in execution["nodes"]) == {Node.Status.COMPLETED: len(PLANS)}
    _assert_every_story_is_there_once(hot_job, execution)
    _assert_every_commit_passes(hot_job, execution, tmp_path)
    _assert_only_deadlocks_were_retried()
    _assert_nothing_is_left(tmp_path)


def test_the_ideal_schedule_is_the_longest_chain_of_work_under_claims() -> None:
    """The second waits 3 s for a, until 5; the third, which holds nothing that it needs, is done before."""
    nodes = {
        "first": Recorded(1.0, [Claimed("a", 10.0, 4.0)]),
        "second": Recorded(2.0, [Claimed("a", 20.0, 1.0), Claimed("b", 21.0, 2.0)]),
        "third": Recorded(0.5, [Claimed("c", 5.0, 6.0)]),
    }

    assert ideal_makespan(nodes) == 8.0


def _think_and_sign(exchange: Exchange) -> None:
    """Answer after up to 30 ms, the same for the same point of the same story."""
    body = exchange.request.body
    time.sleep(random.Random(f"{SEED} {story_of(body)} {len(body['messages'])}").uniform(0, 0.03))
    sign(exchange)


def _assert_every_story_is_there_once(job: MainJob, execution: ExecutionReport) -> None:
    commits = job.commits(execution)
    past = history(Repository.open(job.workspace), str(execution["head_commit"]))
    assert [commit.id for commit in past[:-1]] == [commit.id for commit in reversed(commits)]
    assert Counter(map(_story_of_commit, commits)) == Counter(PLANS.keys())
    for path in {path for paths in PLANS.values() for path in paths}:
        signed = signatures(job.file(execution, path))
        assert sorted(signed) == sorted(story for story, paths in PLANS.items() if path in paths)


def _assert_every_commit_passes(job: MainJob, execution: ExecutionReport, folder: Path) -> None:
    repository = Repository.open(job.workspace)
    proofs = folder / "proofs"
    proofs.mkdir(mode=0o700)
    for commit in job.commits(execution):
        with checked_out(repository, commit=str(commit.id), changes={}, root=proofs) as tree:
            assert subprocess.run(CHECK_COMMAND.split(), cwd=tree, check=False).returncode == 0


def _assert_only_deadlocks_were_retried() -> None:
    """No conflict and no lost claim; the random orders close circles of waiting nodes for certain."""
    retried = Event.objects.filter(type="swarm:node-retrying").values_list("data__error__code", flat=True)
    assert set(retried) == {"deadlock"}


def _assert_nothing_is_left(folder: Path) -> None:
    assert not FileLock.objects.held(now()).exists()
    assert not FileLock.objects.exclude(node=None).exists()
    assert not Conflict.objects.waiting().exists()
    assert [path for path in (folder / "checkouts").iterdir() if path.suffix != ".mutex"] == []
    ours = ("swarm-developer", "swarm-heartbeat")
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(ours)] == []


def _story_of_commit(commit: pygit2.Commit) -> str:
    return commit.message.split("\nStory: ", 1)[1].split("\n", 1)[0]
