"""A node whose lock is broken in the middle of its work: nothing of that attempt lands, the next one does."""

from __future__ import annotations

import pytest
from django.utils.timezone import now

from swarm.locks.people import break_lock
from swarm.models import Event, FileLock
from tests.chat.server import Exchange
from tests.factories import PATIENCE_S, in_thread
from tests.main_job import MainJob, node_of, play


def break_what_is_held() -> str:
    lock = FileLock.objects.held(now()).first()
    return break_lock(None, lock.path, reason="hotfix").path if lock else ""


@pytest.mark.django_db(transaction=True)
def test_a_node_that_lost_its_lock_is_refused_at_commit_and_tried_again(main_job: MainJob) -> None:
    broken: list[str] = []

    def play_and_break_once(exchange: Exchange) -> None:
        if not any(broken):
            broken.append(in_thread(break_what_is_held).result(PATIENCE_S))
        play(exchange)

    main_job.behaviours["2.3"] = play_and_break_once
    execution = main_job.run("2.3")

    node = node_of(execution, "2.3")
    assert (node["status"], node["attempt"], len(main_job.commits(execution))) == ("completed", 2, 1)
    told = list(Event.objects.filter(type__in=["file:unlocked", "swarm:node-retrying"]).order_by("seq"))
    assert [event.type for event in told][:2] == ["file:unlocked", "swarm:node-retrying"]
    assert told[0].data == {"path": broken[-1], "broken_by": "the command line", "reason": "hotfix"}
    assert told[1].data["error"]["code"] == "lock_lost"
