"""Leases: renewed by a heartbeat, replaced when they have run out, and fenced from then on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils.timezone import now

from swarm.events.record import recording
from swarm.locks.claims import check_claims, renew_claims
from swarm.locks.errors import LockLost
from swarm.locks.waiting import waiting_room
from swarm.models import Conflict, FileLock
from tests.factories import PATIENCE_S, make_nodes
from tests.locks.actions import claim, holder, let_lease_run_out, release, stand_in_line

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_holder_whose_lease_has_run_out_is_replaced_by_the_first_in_line(fast_poll: None) -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    waits = [stand_in_line(second, "a.py"), stand_in_line(third, "a.py")]
    let_lease_run_out("a.py")
    waits[0].result(PATIENCE_S)
    assert holder("a.py") == second
    assert not waits[1].done()
    release(second)
    waits[1].result(PATIENCE_S)


def test_a_late_writer_is_refused_after_its_lock_expired_and_went_to_another(fast_poll: None) -> None:
    first, second = make_nodes(2)
    claims = {"a.py": claim(first, "a.py").token}
    waiting = stand_in_line(second, "a.py")
    let_lease_run_out("a.py")
    newer = waiting.result(PATIENCE_S).token
    assert newer > claims["a.py"]
    with pytest.raises(LockLost, match=r"a\.py"), recording(first.execution_id):
        check_claims(first, claims)
    with recording(second.execution_id):
        check_claims(second, {"a.py": newer})


def test_a_late_writer_is_refused_even_if_nobody_took_its_place() -> None:
    [node] = make_nodes(1)
    claims = {"a.py": claim(node, "a.py").token}
    let_lease_run_out("a.py")
    with pytest.raises(LockLost), recording(node.execution_id):
        check_claims(node, claims)


def test_a_late_writer_that_claims_again_needs_the_new_token() -> None:
    [node] = make_nodes(1)
    old = claim(node, "a.py").token
    let_lease_run_out("a.py")
    new = claim(node, "a.py").token
    assert new > old
    with pytest.raises(LockLost), recording(node.execution_id):
        check_claims(node, {"a.py": old})
    with recording(node.execution_id):
        check_claims(node, {"a.py": new})


def test_a_late_holder_does_not_release_what_another_holds_by_now() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    let_lease_run_out("a.py")
    claim(second, "a.py")
    release(first)
    assert holder("a.py") == second


def test_a_path_whose_holder_was_deleted_goes_to_the_first_in_line_at_once(fast_poll: None) -> None:
    first, second = make_nodes(2, executions=2)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    first.execution.delete()
    waiting.result(PATIENCE_S)
    assert holder("a.py") == second


def test_a_node_that_slept_through_its_own_grant_is_told_that_it_lost_the_path() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    entry = Conflict.objects.waiting().get()
    # As the rows are when the path was handed over, expired and went on to the third while the thread slept.
    Conflict.objects.update(outcome=Conflict.Outcome.GRANTED, ended_at=now())
    FileLock.objects.update(node=third)
    waiting_room.wake(entry.pk)
    assert isinstance(waiting.exception(PATIENCE_S), LockLost)


def test_a_heartbeat_extends_the_leases_of_its_nodes_and_no_others() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    claim(first, "b.py")
    claim(second, "c.py")
    with override_settings(SWARM_LOCK_TTL=10_000):
        renew_claims([first.pk])
    later = now() + timedelta(seconds=5_000)
    assert set(FileLock.objects.held(later).values_list("path", flat=True)) == {"a.py", "b.py"}


def test_a_heartbeat_does_not_revive_a_lease_that_has_run_out() -> None:
    [node] = make_nodes(1)
    claim(node, "a.py")
    let_lease_run_out("a.py")
    renew_claims([node.pk])
    assert holder("a.py") is None
