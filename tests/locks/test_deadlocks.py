"""Circles of waiting nodes: found at the moment of waiting, broken at one node, never at the same one for ever."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest

from swarm.locks.claims import Claim
from swarm.locks.errors import DeadlockVictim
from swarm.models import Node
from tests.factories import PATIENCE_S, make_nodes, run_threads
from tests.locks.actions import claim, holder, is_waiting, outcomes, release, stand_in_line

pytestmark = pytest.mark.django_db(transaction=True)


def close_circle(nodes: list[Node]) -> dict[Node, Future[Claim]]:
    """Each node claims a path of its own and then, in turn, waits for the path of the next."""
    for number, node in enumerate(nodes):
        claim(node, f"{number}.py")
    return {node: stand_in_line(node, f"{(number + 1) % len(nodes)}.py") for number, node in enumerate(nodes)}


def losers(waits: dict[Node, Future[Claim]]) -> list[Node]:
    """Those that were chosen to give way; the others wait still."""
    return [node for node, wait in waits.items() if outcomes(node)[-1] == "deadlock" and wait.exception(PATIENCE_S)]


def let_all_end(waits: dict[Node, Future[Claim]], loser: Node) -> None:
    """The loser gives way, and then each gets what it waits for and ends."""
    release(loser)
    order = list(waits)
    start = order.index(loser)
    for step in range(1, len(order)):
        node = order[(start - step) % len(order)]
        waits[node].result(PATIENCE_S)
        release(node)


@pytest.mark.parametrize("executions", [1, 2])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_in_a_circle_the_node_with_the_youngest_claim_gives_way_and_the_others_go_on(
    count: int, executions: int
) -> None:
    nodes = make_nodes(count, executions=executions)
    waits = close_circle(nodes)
    assert losers(waits) == [nodes[-1]]
    error = waits[nodes[-1]].exception(PATIENCE_S)
    assert isinstance(error, DeadlockVictim)
    assert error.others == (nodes[0].pk,)
    let_all_end(waits, nodes[-1])


def test_the_loser_may_be_a_node_that_waited_already() -> None:
    older, younger = make_nodes(2)
    claim(older, "a.py")
    claim(younger, "b.py")
    loser = stand_in_line(younger, "a.py")
    winner = stand_in_line(older, "b.py")
    assert isinstance(loser.exception(PATIENCE_S), DeadlockVictim)
    assert is_waiting(older)
    release(younger)
    winner.result(PATIENCE_S)
    assert holder("b.py") == older


def test_a_loser_is_not_chosen_again_before_the_others_have_lost_as_often() -> None:
    nodes = make_nodes(3)
    lost = []
    for _ in range(6):
        waits = close_circle(nodes)
        [loser] = losers(waits)
        lost.append(loser)
        let_all_end(waits, loser)
    assert sorted(map(str, lost[:3])) == sorted(map(str, lost[3:])) == sorted(map(str, nodes))


def test_bystanders_in_the_line_of_a_circle_do_not_have_to_give_way() -> None:
    """They wait, and one of the circle waits behind them, but for nothing they hold: their end would break nothing."""
    first, second, *bystanders = make_nodes(6)
    claim(first, "a.py")
    claim(second, "b.py")
    for number, bystander in enumerate(bystanders):
        claim(bystander, f"bystander-{number}.py")
    waits = {node: stand_in_line(node, "a.py") for node in bystanders}
    waits[first] = stand_in_line(first, "b.py")
    waits[second] = stand_in_line(second, "a.py")
    assert losers(waits) == [second]
    for leaving, waiting in zip((second, first, *bystanders), (first, *bystanders), strict=False):
        release(leaving)
        waits[waiting].result(PATIENCE_S)


def test_a_wait_that_closes_no_circle_goes_on() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    claim(second, "b.py")
    waits = [stand_in_line(second, "a.py"), stand_in_line(third, "b.py")]
    assert (outcomes(second), outcomes(third)) == (["waiting"], ["waiting"])
    for node, wait in zip((first, second), waits, strict=True):
        release(node)
        wait.result(PATIENCE_S)


@pytest.mark.parametrize("executions", [1, 3])
@pytest.mark.parametrize("count", [2, 3])
def test_of_nodes_that_close_a_circle_at_the_same_moment_exactly_one_gives_way(count: int, executions: int) -> None:
    nodes = make_nodes(count, executions=executions)

    def work(node: Node, wanted: str) -> bool:
        try:
            claim(node, wanted)
        except DeadlockVictim:
            return True
        finally:
            release(node)
        return False

    for _ in range(8):
        works: list[Callable[[], bool]] = []
        for number, node in enumerate(nodes):
            claim(node, f"{number}.py")
            works.append(partial(work, node, f"{(number + 1) % count}.py"))
        assert sum(run_threads(works)) == 1
