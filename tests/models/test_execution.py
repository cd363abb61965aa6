"""An execution's status: every change there is, from every status, allowed or refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from swarm.models import Execution, WrongStatus
from tests.factories import make_execution

pytestmark = pytest.mark.django_db

Change = Callable[[Execution], object]
Status = Execution.Status
CHANGES: dict[str, tuple[Change, set[str], str | None]] = {
    "start": (lambda it: it.start(), {"pending"}, "running"),
    "request_cancel": (lambda it: it.request_cancel(), {"pending", "running"}, None),
    "finish": (lambda it: it.finish(Status.PARTIAL, finished_at=now()), {"pending", "running"}, "partial"),
    "reopen": (lambda it: it.reopen(), {"completed", "partial", "failed", "cancelled"}, "running"),
}
"""Each change, the statuses that allow it, and the status it leads to (None: the one before)."""


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_happens_in_the_statuses_that_allow_it_and_is_refused_in_all_others(change: str, status: str) -> None:
    act, allowed, after = CHANGES[change]
    execution = make_execution(status=status)
    before = Execution.objects.values().get()
    if status in allowed:
        act(execution)
        expected = after or status
    else:
        with pytest.raises(WrongStatus, match=f"is {status}; it must be"):
            act(execution)
        assert Execution.objects.values().get() == before
        expected = status
    assert (execution.status, Execution.objects.get().status) == (expected, expected)


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_another_has_changed_meanwhile_decides_not_the_copy_in_hand(change: str) -> None:
    act, allowed, _ = CHANGES[change]
    stale = make_execution(status=next(iter(allowed)))
    current = next(iter(set(Status.values) - allowed))
    Execution.objects.update(status=current)
    with pytest.raises(WrongStatus):
        act(stale)
    assert Execution.objects.get().status == current


def test_starting_and_finishing_are_dated() -> None:
    execution = make_execution(status=Status.PENDING)
    assert execution.duration is None
    execution.start()
    execution.finish(Status.COMPLETED, finished_at=(execution.started_at or now()) + timedelta(seconds=3))
    assert Execution.objects.get().duration == timedelta(seconds=3)


def test_a_cancel_is_recorded_once_and_asking_again_is_no_error() -> None:
    execution = make_execution()
    assert execution.request_cancel()
    first = Execution.objects.get().cancel_requested_at
    assert first is not None
    assert not Execution.objects.get().request_cancel()
    assert Execution.objects.get().cancel_requested_at == first


def test_a_cancelled_execution_cannot_be_cancelled_again_once_it_has_ended() -> None:
    execution = make_execution(status=Status.CANCELLED, cancel_requested_at=now())
    with pytest.raises(WrongStatus):
        execution.request_cancel()


def test_a_reopened_execution_has_not_ended_is_not_to_be_cancelled_and_is_known_as_reopened() -> None:
    make_execution(status=Status.CANCELLED, cancel_requested_at=now(), finished_at=now()).reopen()
    execution = Execution.objects.get()
    assert (execution.finished_at, execution.cancel_requested_at, execution.was_reopened) == (None, None, True)


@pytest.mark.parametrize("status", Status.values)
def test_pending_and_running_executions_are_active(status: str) -> None:
    execution = make_execution(status=status)
    assert execution.is_active == (status in {"pending", "running"})
    assert list(Execution.objects.active()) == ([execution] if execution.is_active else [])


def test_executions_are_listed_newest_first() -> None:
    old = make_execution(created_at=now() - timedelta(days=1))
    new = make_execution()
    assert list(Execution.objects.all()) == [new, old]


def test_an_idempotency_key_names_one_execution_of_a_user() -> None:
    ada, grace = User.objects.create_user("ada"), User.objects.create_user("grace")
    make_execution(created_by=ada, idempotency_key="k")
    make_execution(created_by=grace, idempotency_key="k")
    make_execution(created_by=ada, idempotency_key=None)
    make_execution(created_by=ada, idempotency_key=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_execution(created_by=ada, idempotency_key="k")


def test_an_execution_outlives_the_user_who_started_it() -> None:
    ada = User.objects.create_user("ada")
    make_execution(created_by=ada)
    ada.delete()
    assert Execution.objects.get().created_by is None
