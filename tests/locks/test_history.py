"""Who had which file when, read back from the events of real claims and of locks that ran out."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from swarm.locks.history import ExecutionHistory, Hold, execution_history, read_holds
from swarm.locks.people import break_lock, lock_path, unlock_path
from swarm.models import Conflict, Event, Execution, FileLock, Node
from tests.factories import PATIENCE_S, make_execution, make_node
from tests.locks.actions import claim, release, stand_in_line

START = now() - timedelta(hours=1)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def history_of(execution: Execution) -> ExecutionHistory:
    return execution_history(execution, Conflict.objects.all(), now())


def holders(holds: list[Hold]) -> list[str]:
    return [hold.holder for hold in holds]


@pytest.mark.django_db(transaction=True)
def test_holders_follow_each_other_and_waits_stand_beside_them() -> None:
    execution = make_execution(started_at=now())
    first, second = make_node(execution), make_node(execution)
    claim(first, "a.py")
    claim(first, "calm.py")
    waiting = stand_in_line(second, "a.py")
    release(first)
    waiting.result(PATIENCE_S)
    history = history_of(execution)
    [file] = history.files
    assert (file.path, history.more_files) == ("a.py", 0)
    assert [hold.node for hold in file.holds] == [first, second]
    assert file.holds[0].ends_at <= file.holds[1].begins_at
    assert file.holds[1].ends_at == history.ends_at  # goes on
    assert file.waits == [second.conflicts.get()]
    assert history.begins_at == execution.started_at


@pytest.mark.django_db(transaction=True)
def test_people_and_other_executions_that_held_a_contested_file_are_there_too() -> None:
    ada, grace = User.objects.create_user("ada"), User.objects.create_user("grace")
    lock_path(ada, "a.py", reason="", ttl_s=600)
    execution = make_execution(started_at=now())
    node, other = make_node(execution), make_node(make_execution())
    for give_up in (lambda: unlock_path(ada, "a.py"), lambda: break_lock(grace, "a.py", reason="test")):
        waiting = stand_in_line(node, "a.py")
        give_up()
        waiting.result(PATIENCE_S)
        release(node)
        claim(other, "a.py")
        lock_path(grace, "b.py", reason="", ttl_s=600)
    [file] = history_of(execution).files
    assert holders(file.holds) == ["ada", str(node), str(other), str(node), str(other)]
    assert [hold.node for hold in file.holds][:3] == [None, node, other]
    assert file.holds[0].begins_at == execution.started_at  # held before: cut off


def make_events(*told: tuple[float, str, Node | str]) -> list[Event]:
    kinds = {"+": "file:locked", "-": "file:unlocked"}
    return [
        Event(
            type=kinds[kind], at=at(second), node=who if isinstance(who, Node) else None,
            data={"path": "A.py"} | ({} if isinstance(who, Node) else {"user": who}),
        )
        for second, kind, who in told
    ]  # fmt: skip


def spans(*told: tuple[float, str, Node | str], expires: float | None = None) -> list[tuple[str, float, float]]:
    """What is read back of a file between the seconds 0 and 100."""
    lock = FileLock(key="a.py", path="a.py", expires_at=None if expires is None else at(expires))
    holds = read_holds(make_events(*told), {"a.py": lock}, at(0), at(100))
    return [
        (hold.holder, (hold.begins_at - START).total_seconds(), (hold.ends_at - START).total_seconds())
        for hold in holds.get("a.py", [])
    ]


def test_a_hold_ends_where_it_is_given_up() -> None:
    assert spans((1, "+", "ada"), (5, "-", "ada"), (6, "+", "ada")) == [("ada", 1, 5), ("ada", 6, 100)]


def test_a_hold_that_is_extended_is_one() -> None:
    assert spans((1, "+", "ada"), (5, "+", "ada"), (9, "-", "ada")) == [("ada", 1, 9)]


def test_a_lease_that_ran_out_ends_with_the_next_holder_or_at_its_expiry() -> None:
    assert spans((1, "+", "ada"), (50, "+", "grace"), expires=70) == [("ada", 1, 50), ("grace", 50, 70)]


def test_what_lies_outside_the_time_is_cut_off() -> None:
    assert spans((-50, "+", "ada"), (-9, "-", "ada"), (-5, "+", "ada"), (5, "-", "ada")) == [("ada", 0, 5)]
    assert spans((90, "+", "ada"), expires=500) == [("ada", 90, 100)]


def test_giving_up_what_was_never_taken_is_nothing() -> None:
    assert spans((1, "-", "ada"), (2, "+", "ada"), (3, "-", "grace")) == [("ada", 2, 100)]


@pytest.mark.django_db
def test_nodes_of_the_same_name_in_two_executions_are_two_holders() -> None:
    first, second = make_node(make_execution()), make_node(make_execution())
    assert str(first) == str(second)
    assert len(spans((1, "+", first), (2, "+", second))) == 2


@pytest.mark.django_db
def test_an_execution_without_conflicts_has_no_files() -> None:
    history = history_of(make_execution(finished_at=now()))
    assert (history.files, history.begins_at, history.ends_at) == (
        [],
        history.execution.created_at,
        history.execution.finished_at,
    )
