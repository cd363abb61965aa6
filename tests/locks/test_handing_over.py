"""A released path goes to the next in line within the very transaction that releases it."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
from django.utils.timezone import now

from swarm.events.record import recording
from swarm.locks.claims import release_claims
from swarm.models import Conflict, FileLock, Node
from swarm.models.lock import ConflictQuerySet
from tests.factories import PATIENCE_S, in_thread, make_nodes
from tests.locks.actions import claim, holder, outcomes, release, stand_in_line

pytestmark = pytest.mark.django_db(transaction=True)


def test_nobody_sees_a_path_free_between_two_holders() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    with recording(first.execution_id) as record:
        release_claims(record, first)
        assert holder("a.py") == second
        assert in_thread(lambda: holder("a.py")).result(PATIENCE_S) == first
        assert not waiting.done()
    waiting.result(PATIENCE_S)
    assert holder("a.py") == second


def test_a_release_that_is_rolled_back_changes_nothing_and_wakes_nobody() -> None:
    first, second = make_nodes(2)
    token = claim(first, "a.py").token
    waiting = stand_in_line(second, "a.py")
    with contextlib.suppress(ZeroDivisionError), recording(first.execution_id) as record:
        release_claims(record, first)
        raise ZeroDivisionError
    assert claim(first, "a.py").token == token
    assert outcomes(second) == ["waiting"]
    assert not waiting.done()
    release(first)
    waiting.result(PATIENCE_S)


@pytest.mark.parametrize("status", ["pending", "completed", "failed", "cancelled"])
def test_a_node_that_does_not_run_any_more_is_passed_over(status: str, fast_poll: None) -> None:
    first, gone, third = make_nodes(3)
    claim(first, "a.py")
    left = stand_in_line(gone, "a.py")
    waiting = stand_in_line(third, "a.py")
    Node.objects.filter(pk=gone.pk).update(status=status)
    release(first)
    waiting.result(PATIENCE_S)
    assert holder("a.py") == third
    release(third)
    assert holder("a.py") is None
    release(gone)
    assert left.exception(PATIENCE_S) is not None


def test_a_path_is_not_handed_to_a_node_that_left_the_line_meanwhile(
    fast_poll: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release has read the line when the first in it gives up; the next gets the path, not nobody for ever."""
    first, impatient, third = make_nodes(3)
    claim(first, "a.py")
    left = stand_in_line(impatient, "a.py")
    waiting = stand_in_line(third, "a.py")
    read_line = ConflictQuerySet.line_for

    def read_line_then_leave(conflicts: ConflictQuerySet, lock: FileLock) -> list[Conflict]:
        line = list(read_line(conflicts, lock))
        Conflict.objects.filter(node=impatient).update(ended_at=now(), outcome="timed_out")
        return line

    monkeypatch.setattr(Conflict.objects, "line_for", partial(read_line_then_leave, Conflict.objects.all()))
    release(first)
    waiting.result(PATIENCE_S)
    assert holder("a.py") == third
    assert outcomes(impatient) == ["timed_out"]
    assert left.exception(PATIENCE_S) is not None
