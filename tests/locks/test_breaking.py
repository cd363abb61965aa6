"""Locks that an administrator breaks: the line moves on, the old holder is fenced off, and its execution tells why."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from swarm.events.record import recording
from swarm.locks.claims import check_claims
from swarm.locks.errors import LockLost, LockMoved, ReasonMissing
from swarm.locks.people import break_lock, lock_path
from swarm.models import Event, FileLock
from swarm.workspace.errors import PathOutsideWorkspace
from tests.factories import PATIENCE_S, make_nodes, run_threads
from tests.locks.actions import claim, holder, let_lease_run_out, outcomes, release, stand_in_line

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def test_a_node_loses_a_broken_lock_and_may_not_commit_with_it(ada: User) -> None:
    [node] = make_nodes(1)
    claims = {"a.py": claim(node, "a.py").token}
    lost = break_lock(ada, "./a.py", reason="hotfix")
    assert (lost.node, holder("a.py")) == (node, None)
    with pytest.raises(LockLost), recording(node.execution_id):
        check_claims(node, claims)


def test_the_first_in_line_gets_a_broken_lock(ada: User) -> None:
    first, second, third = make_nodes(3, executions=2)
    before = claim(first, "a.py")
    waiting = [stand_in_line(node, "a.py") for node in (second, third)]
    break_lock(ada, "a.py", reason="hotfix")
    assert waiting[0].result(PATIENCE_S).token > before.token
    assert holder("a.py") == second
    release(first)  # has nothing left to give up
    assert not waiting[1].done()
    release(second)
    waiting[1].result(PATIENCE_S)
    assert (outcomes(second), outcomes(third)) == (["granted"], ["granted"])


def test_the_holders_execution_tells_who_broke_its_lock_and_why(ada: User) -> None:
    holding, waiting = make_nodes(2, executions=2)
    claim(holding, "a.py")
    in_line = stand_in_line(waiting, "a.py")
    break_lock(ada, "a.py", reason=" hotfix ")
    in_line.result(PATIENCE_S)
    told = Event.objects.get(type="file:unlocked")
    assert (told.execution, told.node) == (holding.execution, holding)
    assert told.data == {"path": "a.py", "broken_by": "ada", "reason": "hotfix"}


def test_a_persons_lock_is_broken_and_told_of_outside_any_execution(ada: User) -> None:
    [node] = make_nodes(1)
    lock_path(User.objects.create_user("grace"), "a.py", reason="", ttl_s=60)
    waiting = stand_in_line(node, "a.py")
    break_lock(None, "a.py", reason="on holiday")
    waiting.result(PATIENCE_S)
    told = Event.objects.get(type="file:unlocked")
    data = {"path": "a.py", "user": "grace", "broken_by": "the command line", "reason": "on holiday"}
    assert (told.execution, told.data) == (None, data)


@pytest.mark.parametrize("reason", ["", " \n"])
def test_no_lock_is_broken_without_a_reason(ada: User, reason: str) -> None:
    [node] = make_nodes(1)
    claim(node, "a.py")
    with pytest.raises(ReasonMissing):
        break_lock(ada, "a.py", reason=reason)
    assert holder("a.py") == node


def test_there_is_nothing_to_break_where_nobody_holds_a_path(ada: User) -> None:
    with pytest.raises(LockMoved, match="Nobody holds"):
        break_lock(ada, "a.py", reason="hotfix")
    [node] = make_nodes(1)
    claim(node, "a.py")
    let_lease_run_out("a.py")
    with pytest.raises(LockMoved, match="Nobody holds"):
        break_lock(ada, "a.py", reason="hotfix")
    with pytest.raises(PathOutsideWorkspace):
        break_lock(ada, "../a.py", reason="hotfix")


def test_a_lock_that_changed_hands_after_it_was_seen_is_left_alone(ada: User) -> None:
    first, second = make_nodes(2)
    seen = claim(first, "a.py").token
    release(first)
    claim(second, "a.py")
    with pytest.raises(LockMoved, match="changed meanwhile"):
        break_lock(ada, "a.py", reason="hotfix", token=seen)
    assert holder("a.py") == second


def test_of_many_who_break_one_lock_at_once_one_does(ada: User) -> None:
    [node] = make_nodes(1)
    token = claim(node, "a.py").token

    def one_break() -> bool:
        try:
            break_lock(ada, "a.py", reason="hotfix", token=token)
        except LockMoved:
            return False
        return True

    assert sum(run_threads([one_break] * 8)) == 1
    assert Event.objects.filter(type="file:unlocked").count() == 1
    assert FileLock.objects.get().token == token + 1
