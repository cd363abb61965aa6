"""Claims of several paths at once: all of them or none, in the order asked."""

from __future__ import annotations

from functools import partial

import pytest

from swarm.cancellation import Cancellation
from swarm.errors import Cancelled
from swarm.locks.errors import DeadlockVictim, LockLost, LockTimedOut, PathHeld
from swarm.locks.waiting import waiting_room
from swarm.models import Conflict, Event, FileLock, Node, WrongStatus
from tests.factories import PATIENCE_S, make_nodes, run_threads, wait_until
from tests.locks.actions import (
    claim,
    claim_all,
    held_by,
    holder,
    is_waiting,
    let_lease_run_out,
    outcomes,
    release,
    stand_in_line,
    stand_in_lines,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_free_paths_are_granted_at_once_in_the_order_of_the_paths() -> None:
    [node] = make_nodes(1)
    claims = claim_all(node, "b.py", "a.py", "B.py")
    assert [(it.path, it.waited_s) for it in claims] == [("B.py", 0), ("a.py", 0)]
    assert held_by(node) == {"a.py", "B.py"}
    assert not Conflict.objects.exists()
    assert [event.data["path"] for event in Event.objects.order_by("seq")] == ["B.py", "a.py"]


def test_no_paths_are_no_claims() -> None:
    [node] = make_nodes(1)
    assert claim_all(node) == []


def test_what_the_node_has_already_is_granted_again_with_the_same_token() -> None:
    [node] = make_nodes(1)
    had = claim(node, "a.py")
    claims = {it.path: it.token for it in claim_all(node, "b.py", "a.py")}
    assert claims["a.py"] == had.token
    assert held_by(node) == {"a.py", "b.py"}


@pytest.mark.parametrize("executions", [1, 2])
def test_the_claim_is_complete_when_the_last_holder_gives_up_its_path(executions: int) -> None:
    first, second, third = make_nodes(3, executions=executions)
    claim(first, "a.py")
    claim(second, "b.py")
    waiting = stand_in_lines(third, "a.py", "b.py", "c.py")
    assert held_by(third) == {"c.py"}
    release(second)
    wait_until(lambda: held_by(third) == {"b.py", "c.py"})
    assert not waiting.done()
    release(first)
    claims = {it.path: it for it in waiting.result(PATIENCE_S)}
    assert held_by(third) == {"a.py", "b.py", "c.py"} == set(claims)
    assert {it.path: it.token for it in FileLock.objects.all()} == {it.path: it.token for it in claims.values()}
    assert claims["a.py"].waited_s > claims["b.py"].waited_s > claims["c.py"].waited_s == 0
    assert outcomes(third) == ["granted", "granted"]


def test_one_who_wants_more_is_not_overtaken_by_those_who_want_less() -> None:
    first, greedy, modest = make_nodes(3)
    claim(first, "a.py")
    much = stand_in_lines(greedy, "a.py", "b.py")
    little = stand_in_line(modest, "b.py")
    assert not little.done()
    release(first)
    much.result(PATIENCE_S)
    release(greedy)
    little.result(PATIENCE_S)
    assert holder("b.py") == modest


def test_nodes_that_want_the_same_paths_in_any_order_never_wait_in_a_circle() -> None:
    nodes = make_nodes(8, executions=2)

    def work(node: Node, number: int) -> None:
        paths = ["a.py", "b.py", "c.py"]
        claim_all(node, *paths[number % 3 :], *paths[: number % 3])
        assert held_by(node) == set(paths)
        release(node)

    run_threads([partial(work, node, number) for number, node in enumerate(nodes)])
    assert set(Conflict.objects.values_list("outcome", flat=True)) <= {"granted"}


def test_one_who_does_not_wait_gets_none_of_the_paths_if_one_is_held() -> None:
    first, second = make_nodes(2)
    claim(first, "b.py")
    with pytest.raises(PathHeld, match=r"b\.py is held by developer-1 on story 1\.1 since"):
        claim_all(second, "a.py", "b.py", policy="notify")
    assert held_by(second) == set()
    assert outcomes(second) == ["notified"]


def test_every_path_that_was_held_is_in_the_log_of_one_who_does_not_wait() -> None:
    first, second = make_nodes(2)
    for path in ("a.py", "b.py"):
        claim(first, path)
    with pytest.raises(PathHeld):
        claim_all(second, "a.py", "b.py", "c.py", policy="notify")
    assert sorted(second.conflicts.values_list("path", "outcome")) == [("a.py", "notified"), ("b.py", "notified")]


def test_when_the_time_is_up_all_is_given_back_but_what_the_node_had_before() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    had = claim(second, "mine.py")
    with pytest.raises(LockTimedOut, match=r"a\.py stayed held by developer-1"):
        claim_all(second, "a.py", "b.py", "mine.py", timeout_s=0.05)
    assert held_by(second) == {"mine.py"}
    assert FileLock.objects.get(path="mine.py").token == had.token
    assert outcomes(second) == ["timed_out"]
    assert not is_waiting(second)
    claim(third, "b.py")


def test_what_is_given_back_goes_to_the_next_in_line() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    cancellation = Cancellation()
    much = stand_in_lines(second, "a.py", "b.py", cancellation=cancellation)
    little = stand_in_line(third, "b.py")
    cancellation.cancel("stop")
    with pytest.raises(Cancelled):
        much.result(PATIENCE_S)
    little.result(PATIENCE_S)
    assert (holder("a.py"), holder("b.py")) == (first, third)
    assert outcomes(second) == ["cancelled"]


def test_one_that_gives_way_gives_back_what_the_claim_brought() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    claim(second, "b.py")
    winner = stand_in_line(first, "b.py")
    with pytest.raises(DeadlockVictim) as loss:
        claim_all(second, "a.py", "c.py")
    assert loss.value.others == (first.pk,)
    assert held_by(second) == {"b.py"}
    assert not is_waiting(second)
    claim(third, "c.py")
    release(second)
    winner.result(PATIENCE_S)


def test_a_circle_that_a_handed_over_path_closes_is_found_when_its_new_holder_looks() -> None:
    """Nobody begins to wait at that moment: the second gets the path that the third waits for, and waits on."""
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    claim(third, "b.py")
    much = stand_in_lines(second, "a.py", "b.py")
    little = stand_in_line(third, "a.py")
    assert (is_waiting(second), is_waiting(third)) == (True, True)
    release(first)
    wait_until(lambda: much.done() or little.done())
    victim, loser, winner = (second, much, little) if much.done() else (third, little, much)
    assert isinstance(loser.exception(PATIENCE_S), DeadlockVictim)
    release(victim)
    winner.result(PATIENCE_S)


def test_a_claim_of_which_a_part_expired_before_it_was_taken_up_is_given_back_whole() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    waiting = stand_in_lines(second, "a.py", "b.py")
    entry = Conflict.objects.waiting().get()
    # As the rows are when the path was handed over, expired and went on to the third while the thread slept.
    Conflict.objects.update(outcome=Conflict.Outcome.GRANTED, ended_at=entry.asked_at)
    FileLock.objects.filter(path="a.py").update(node=third)
    waiting_room.wake(entry.pk)
    assert isinstance(waiting.exception(PATIENCE_S), LockLost)
    assert (held_by(second), held_by(third)) == (set(), {"a.py"})


def test_an_expired_path_and_a_free_one_are_taken_together() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    let_lease_run_out("a.py")
    claim_all(second, "a.py", "b.py")
    assert held_by(second) == {"a.py", "b.py"}


def test_a_late_thread_does_not_give_back_what_the_next_attempt_of_its_node_holds() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    cancellation = Cancellation()
    late = stand_in_lines(second, "a.py", "b.py", cancellation=cancellation)
    Node.objects.filter(pk=second.pk).update(attempt=2)
    cancellation.cancel("stop")
    assert isinstance(late.exception(PATIENCE_S), Cancelled | WrongStatus)
    assert held_by(second) == {"b.py"}
