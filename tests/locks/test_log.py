"""The conflict log read through filters, and the files that were fought for most."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from swarm.locks.log import HOT_FILES, ConflictFilter, hot_files
from swarm.models import Conflict, FileLock, Node
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


def conflict(node: Node, path: str, *, waited_s: float | None = None, **values: Any) -> Conflict:
    """A wait that took `waited_s` seconds and was granted, or one that goes on."""
    lock, _ = FileLock.objects.get_or_create(key=path, defaults={"path": path})
    values = {"lock": lock, "path": path, "execution": node.execution, "held_by": "x", "policy": "wait"} | values
    if waited_s is not None:
        at = now()
        values |= {"asked_at": at - timedelta(seconds=waited_s), "ended_at": at, "outcome": "granted"}
    return Conflict.objects.create(node=node, **values)


def found(at: datetime | None = None, **conditions: Any) -> list[Conflict]:
    return list(ConflictFilter(**conditions).rows(at or now()).order_by("id"))


def test_each_condition_leaves_what_meets_it() -> None:
    node, other = make_node(make_execution()), make_node(make_execution(), story_id="2.7")
    first = conflict(node, "src/a.py", waited_s=5)
    second = conflict(other, "src/b.py", outcome="notified", policy="notify", ended_at=now())
    assert found() == [first, second]
    assert found(execution=other.execution_id) == [second]
    assert found(node=node.pk) == [first]
    assert found(story="2.7") == [second]
    assert found(path="SRC/A") == [first]
    assert found(outcome="granted") == [first]
    assert found(policy="notify") == [second]
    assert found(execution=uuid.uuid4()) == []
    assert found(story="2.7", outcome="granted") == []


@pytest.mark.parametrize("sign", ["%", "_", "\\", "'"])
def test_a_part_of_a_path_is_taken_as_it_is(sign: str) -> None:
    node = make_node(make_execution())
    expected = conflict(node, f"a{sign}b.py")
    conflict(node, "axb.py")
    assert found(path=f"a{sign}b") == [expected]


def test_a_wait_is_longer_than_what_it_took_or_has_taken_so_far() -> None:
    at = now()
    node = make_node(make_execution())
    ended = conflict(node, "a.py", asked_at=at - timedelta(minutes=10), ended_at=at - timedelta(minutes=10, seconds=-3))
    waiting = conflict(node, "b.py", asked_at=at - timedelta(seconds=8))
    assert found(at, longer_than_s=2) == [ended, waiting]
    assert found(at, longer_than_s=3) == [waiting]
    assert found(at, longer_than_s=8) == []
    assert found(at + timedelta(seconds=1), longer_than_s=8) == [waiting]
    assert found(at, longer_than_s=0) == [ended, waiting]


def test_hot_files_add_up_conflicts_and_waits_the_hottest_first() -> None:
    at = now()
    first, second = make_node(make_execution()), make_node(make_execution())
    conflict(first, "calm.py", waited_s=60)
    conflict(first, "hot.py", waited_s=2)
    going_on = conflict(second, "hot.py", asked_at=at - timedelta(seconds=7))
    FileLock.objects.filter(key="hot.py").update(node=first, locked_at=at, expires_at=at + timedelta(hours=1))
    FileLock.objects.filter(key="calm.py").update(node=first, locked_at=at, expires_at=at - timedelta(seconds=1))
    hot, calm = hot_files(Conflict.objects.all(), at)
    assert (hot.lock, hot.conflicts, hot.longest, hot.is_held) == (going_on.lock, 2, timedelta(seconds=7), True)
    assert hot.waited == timedelta(seconds=9)
    assert (calm.conflicts, calm.waited, calm.is_held) == (1, timedelta(seconds=60), False)
    assert hot_files(ConflictFilter(path="nowhere").rows(at), at) == []


def test_only_the_hottest_files_are_listed() -> None:
    node = make_node(make_execution())
    for number in range(HOT_FILES + 1):
        conflict(node, f"{number}.py", waited_s=number)
    files = hot_files(Conflict.objects.all(), now())
    assert [file.lock.path for file in files] == [f"{number}.py" for number in range(HOT_FILES, 0, -1)]
