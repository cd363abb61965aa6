"""Lock and conflict rows: who holds, until when, who waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from swarm.models import Conflict, FileLock
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


def test_a_lock_is_held_while_somebody_has_it_and_its_lease_runs() -> None:
    at = now()
    node = make_node(make_execution())
    user = User.objects.create_user("ada")
    later = at + timedelta(seconds=1)
    by_node = FileLock.objects.create(key="a", path="a", node=node, expires_at=later)
    by_user = FileLock.objects.create(key="b", path="b", user=user, expires_at=later)
    expired = FileLock.objects.create(key="c", path="c", node=node, expires_at=at)
    free = FileLock.objects.create(key="d", path="d", expires_at=later)
    assert list(FileLock.objects.held(at)) == [by_node, by_user]
    assert [lock.is_held(at) for lock in (by_node, by_user, expired, free)] == [True, True, False, False]
    assert [lock.holder for lock in (by_node, by_user, free)] == ["developer-1 on story 1.1", "ada", ""]


def test_a_path_has_one_lock_and_a_lock_one_holder() -> None:
    FileLock.objects.create(key="a", path="a")
    with pytest.raises(IntegrityError), transaction.atomic():
        FileLock.objects.create(key="a", path="A")
    node, user = make_node(make_execution()), User.objects.create_user("ada")
    with pytest.raises(IntegrityError), transaction.atomic():
        FileLock.objects.create(key="b", path="b", node=node, user=user)


def test_claims_wait_in_the_order_they_were_made_until_they_have_ended() -> None:
    lock = FileLock.objects.create(key="a", path="a")
    execution = make_execution()
    conflicts = [
        Conflict.objects.create(
            lock=lock, path="a", execution=execution, node=make_node(execution), policy="wait", ended_at=ended_at
        )
        for ended_at in (None, now(), None)
    ]
    assert list(Conflict.objects.waiting()) == [conflicts[0], conflicts[2]]


def test_a_wait_lasts_from_asking_to_its_end() -> None:
    at = now()
    assert Conflict(asked_at=at, ended_at=at + timedelta(seconds=3)).waited == timedelta(seconds=3)
    assert Conflict(asked_at=at - timedelta(days=1)).waited >= timedelta(days=1)
