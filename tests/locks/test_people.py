"""Locks that people take: against each other, and against nodes."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from swarm.events.record import recording
from swarm.locks.claims import check_claims
from swarm.locks.errors import LockLost, NotTheHolder, PathHeld
from swarm.locks.people import lock_path, unlock_path
from swarm.models import Event, FileLock
from swarm.workspace.errors import PathOutsideWorkspace
from tests.factories import PATIENCE_S, make_nodes
from tests.locks.actions import claim, holder, let_lease_run_out, release, stand_in_line

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def grace() -> User:
    return User.objects.create_user("grace")


def test_a_person_holds_a_path_for_the_time_asked_for(ada: User) -> None:
    lock = lock_path(ada, "./src//a.py", reason="release", ttl_s=60)
    assert (lock.path, lock.user, lock.reason) == ("src/a.py", ada, "release")
    assert lock.locked_at is not None
    assert lock.expires_at is not None
    assert (lock.expires_at - lock.locked_at).total_seconds() == 60


def test_a_node_waits_for_a_person_and_gets_the_path_when_it_is_unlocked(ada: User) -> None:
    [node] = make_nodes(1)
    lock_path(ada, "a.py", reason="", ttl_s=60)
    waiting = stand_in_line(node, "a.py")
    assert node.conflicts.get().held_by == "ada"
    unlock_path(ada, "a.py")
    waiting.result(PATIENCE_S)
    assert holder("a.py") == node
    assert FileLock.objects.get().user is None


def test_a_node_gets_the_path_when_a_persons_lock_runs_out(ada: User, fast_poll: None) -> None:
    [node] = make_nodes(1)
    lock_path(ada, "a.py", reason="", ttl_s=60)
    waiting = stand_in_line(node, "a.py")
    let_lease_run_out("a.py")
    waiting.result(PATIENCE_S)
    assert holder("a.py") == node


def test_a_node_that_does_not_wait_is_told_which_person_holds_the_path(ada: User) -> None:
    [node] = make_nodes(1)
    lock = lock_path(ada, "a.py", reason="", ttl_s=60)
    with pytest.raises(PathHeld) as refusal:
        claim(node, "a.py", policy="notify")
    assert (refusal.value.holder, refusal.value.since) == ("ada", lock.locked_at)


def test_a_person_is_refused_a_path_that_another_person_holds(ada: User, grace: User) -> None:
    lock_path(ada, "A.py", reason="", ttl_s=60)
    with pytest.raises(PathHeld) as refusal:
        lock_path(grace, "a.py", reason="", ttl_s=60)
    assert refusal.value.holder == "ada"
    assert FileLock.objects.get().user == ada


def test_a_person_is_refused_a_path_that_a_node_holds(ada: User) -> None:
    [node] = make_nodes(1)
    claim(node, "a.py")
    with pytest.raises(PathHeld, match="developer-1"):
        lock_path(ada, "a.py", reason="", ttl_s=60)
    assert holder("a.py") == node


def test_a_person_does_not_overtake_a_node_that_waits_for_an_expired_lock(ada: User) -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    let_lease_run_out("a.py")
    with pytest.raises(PathHeld, match="developer-2"):
        lock_path(ada, "a.py", reason="", ttl_s=60)
    release(first)
    waiting.result(PATIENCE_S)


def test_a_person_extends_a_lock_without_losing_the_time_it_is_held_since(ada: User) -> None:
    before = lock_path(ada, "a.py", reason="", ttl_s=60)
    after = lock_path(ada, "a.py", reason="still", ttl_s=6000)
    assert (after.locked_at, after.reason) == (before.locked_at, "still")
    assert after.expires_at is not None
    assert before.expires_at is not None
    assert after.expires_at > before.expires_at


def test_a_node_whose_expired_lock_a_person_took_may_not_commit(ada: User) -> None:
    [node] = make_nodes(1)
    claims = {"a.py": claim(node, "a.py").token}
    let_lease_run_out("a.py")
    lock_path(ada, "a.py", reason="", ttl_s=60)
    assert FileLock.objects.get().token > claims["a.py"]
    with pytest.raises(LockLost), recording(node.execution_id):
        check_claims(node, claims)


def test_only_the_one_who_holds_a_lock_may_release_it(ada: User, grace: User) -> None:
    [node] = make_nodes(1)
    lock_path(ada, "a.py", reason="", ttl_s=60)
    claim(node, "b.py")
    with pytest.raises(NotTheHolder, match="held by ada"):
        unlock_path(grace, "a.py")
    with pytest.raises(NotTheHolder, match="held by developer-1"):
        unlock_path(grace, "b.py")
    assert FileLock.objects.held(now()).count() == 2


def test_there_is_nothing_to_release_where_nothing_is_locked(ada: User) -> None:
    with pytest.raises(NotTheHolder, match="not locked"):
        unlock_path(ada, "a.py")
    lock_path(ada, "a.py", reason="", ttl_s=60)
    let_lease_run_out("a.py")
    with pytest.raises(NotTheHolder, match="not locked"):
        unlock_path(ada, "a.py")


def test_a_path_outside_the_workspace_cannot_be_locked(ada: User) -> None:
    with pytest.raises(PathOutsideWorkspace):
        lock_path(ada, "../a.py", reason="", ttl_s=60)
    assert not FileLock.objects.exists()


def test_a_persons_locks_are_told_of_outside_any_execution(ada: User) -> None:
    lock_path(ada, "a.py", reason="release", ttl_s=60)
    unlock_path(ada, "a.py")
    told = [(event.type, event.execution, event.data) for event in Event.objects.order_by("id")]
    assert told == [
        ("file:locked", None, {"path": "a.py", "user": "ada", "reason": "release"}),
        ("file:unlocked", None, {"path": "a.py", "user": "ada"}),
    ]
