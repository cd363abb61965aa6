"""Claims of nodes among each other: granted, refused, waited for, given up, and what is told of it."""

from __future__ import annotations

import pytest
from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.errors import Cancelled
from swarm.events.record import recording
from swarm.locks.claims import check_claims, claim_paths
from swarm.locks.errors import LockLost, LockTimedOut, PathHeld
from swarm.models import Conflict, Event, FileLock, Node, WrongStatus
from tests.factories import PATIENCE_S, make_nodes
from tests.locks.actions import claim, holder, is_waiting, outcomes, release, stand_in_line

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_free_path_is_granted_at_once_and_leaves_no_trace_in_the_conflict_log() -> None:
    [node] = make_nodes(1)
    granted = claim(node, "a.py")
    assert (granted.path, granted.waited_s) == ("a.py", 0)
    assert holder("a.py") == node
    assert not Conflict.objects.exists()


def test_a_path_that_the_node_holds_is_granted_again_with_the_same_token() -> None:
    [node] = make_nodes(1)
    assert claim(node, "a.py").token == claim(node, "a.py").token


def test_a_waiting_node_gets_the_path_when_its_holder_gives_it_up() -> None:
    first, second = make_nodes(2)
    before = claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    assert not waiting.done()
    release(first)
    granted = waiting.result(PATIENCE_S)
    assert granted.token > before.token
    assert granted.waited_s > 0
    assert holder("a.py") == second
    assert outcomes(second) == ["granted"]


def test_nodes_of_other_executions_stand_in_the_same_line() -> None:
    first, second = make_nodes(2, executions=2)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    release(first)
    waiting.result(PATIENCE_S)
    assert holder("a.py") == second


def test_waiting_nodes_get_the_path_in_the_order_they_asked() -> None:
    first, *others = make_nodes(6, executions=2)
    claim(first, "a.py")
    line = [(node, stand_in_line(node, "a.py")) for node in (others[3], others[0], others[4], others[1], others[2])]
    last = first
    for node, waiting in line:
        release(last)
        waiting.result(PATIENCE_S)
        assert holder("a.py") == node
        assert all(not later.done() for _, later in line[line.index((node, waiting)) + 1 :])
        last = node


def test_a_newcomer_does_not_overtake_the_line_when_the_path_becomes_free() -> None:
    first, second, newcomer = make_nodes(3)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    FileLock.objects.update(node=None, expires_at=None, locked_at=None)
    newcomers = stand_in_line(newcomer, "a.py")
    waiting.result(PATIENCE_S)
    assert holder("a.py") == second
    release(second)
    newcomers.result(PATIENCE_S)


def test_the_one_who_waits_is_told_who_holds_the_path_before_the_wait() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    told: list[tuple[str, bool]] = []
    with pytest.raises(LockTimedOut):
        claim_paths(
            second,
            ["a.py"],
            policy="wait",
            timeout_s=0,
            cancellation=Cancellation(),
            on_wait=lambda name: told.append((name, is_waiting(second))),
        )
    assert told == [("developer-1 on story 1.1", True)]


def test_a_cancel_ends_a_wait_at_once_and_leaves_the_line() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    cancellation = Cancellation()
    cancelled = stand_in_line(second, "a.py", cancellation=cancellation)
    waiting = stand_in_line(third, "a.py")
    cancellation.cancel("somebody pressed cancel")
    with pytest.raises(Cancelled, match="somebody pressed cancel"):
        cancelled.result(PATIENCE_S)
    assert outcomes(second) == ["cancelled"]
    release(first)
    waiting.result(PATIENCE_S)
    assert holder("a.py") == third


def test_a_node_that_was_cancelled_before_its_wait_does_not_wait() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    cancellation = Cancellation()
    cancellation.cancel("too late")
    with pytest.raises(Cancelled):
        claim(second, "a.py", cancellation=cancellation)
    assert outcomes(second) == ["cancelled"]


def test_a_wait_ends_when_its_time_is_up_and_says_who_held_the_path() -> None:
    first, second, third = make_nodes(3)
    claim(first, "a.py")
    with pytest.raises(LockTimedOut, match=r"a\.py stayed held by developer-1 on story 1\.1 for 0 s"):
        claim(second, "a.py", timeout_s=0.05)
    assert outcomes(second) == ["timed_out"]
    waiting = stand_in_line(third, "a.py")
    release(first)
    waiting.result(PATIENCE_S)
    assert holder("a.py") == third


def test_a_node_that_is_only_to_be_notified_is_answered_at_once_with_the_holder() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    with pytest.raises(PathHeld) as refusal:
        claim(second, "a.py", policy="notify")
    assert (refusal.value.path, refusal.value.holder) == ("a.py", "developer-1 on story 1.1")
    assert refusal.value.since == FileLock.objects.get().locked_at
    assert outcomes(second) == ["notified"]
    release(first)
    assert holder("a.py") is None
    assert claim(second, "a.py", policy="notify").waited_s == 0


@pytest.mark.parametrize(
    ("held", "wanted"),
    [("Src/App.py", "src/app.py"), ("caf\N{LATIN SMALL LETTER E WITH ACUTE}.py", "cafe\N{COMBINING ACUTE ACCENT}.py")],
    ids=["case", "unicode form"],
)
def test_spellings_that_a_file_system_may_take_for_one_file_share_a_lock(held: str, wanted: str) -> None:
    first, second = make_nodes(2)
    claim(first, held)
    with pytest.raises(PathHeld):
        claim(second, wanted, policy="notify")
    release(first)
    claim(second, wanted)
    assert FileLock.objects.get().path == wanted


def test_a_node_that_ends_gives_up_all_its_claims_and_no_others() -> None:
    first, second = make_nodes(2)
    for path in ("a.py", "b.py"):
        claim(first, path)
    claim(second, "c.py")
    release(first)
    assert list(FileLock.objects.held(now()).values_list("path", "node")) == [("c.py", second.pk)]


def test_fencing_tokens_of_a_path_only_grow() -> None:
    first, second = make_nodes(2)
    tokens = []
    for node in (first, second, first, second):
        tokens.append(claim(node, "a.py").token)
        release(node)
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize(
    ("status", "attempt"), [("completed", 1), ("failed", 1), ("cancelled", 1), ("pending", 1), ("running", 2)]
)
def test_a_late_thread_of_a_node_that_was_taken_away_claims_nothing(status: str, attempt: int) -> None:
    [node] = make_nodes(1)
    Node.objects.update(status=status, attempt=attempt)
    with pytest.raises(WrongStatus):
        claim(node, "a.py")
    assert holder("a.py") is None


def test_a_wait_is_over_when_its_node_was_ended_by_another(fast_poll: None) -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    release(second)
    with pytest.raises(Cancelled):
        waiting.result(PATIENCE_S)


def test_claims_that_are_still_held_pass_the_check() -> None:
    [node] = make_nodes(1)
    claims = {path: claim(node, path).token for path in ("a.py", "B.py")}
    with recording(node.execution_id):
        check_claims(node, claims)
        check_claims(node, {})


def test_a_claim_with_an_old_token_does_not_pass_the_check() -> None:
    [node] = make_nodes(1)
    claims = {path: claim(node, path).token for path in ("a.py", "b.py", "c.py")}
    release(node)
    for path in ("a.py", "b.py", "c.py"):
        claim(node, path)
    fresh = {path: FileLock.objects.get(path=path).token for path in claims}
    with pytest.raises(LockLost, match=r"The claim on b\.py, c\.py expired"), recording(node.execution_id):
        check_claims(node, fresh | {path: claims[path] for path in ("c.py", "b.py")})


def test_the_claims_of_another_node_do_not_pass_the_check() -> None:
    first, second = make_nodes(2)
    claims = {"a.py": claim(first, "a.py").token}
    with pytest.raises(LockLost), recording(second.execution_id):
        check_claims(second, claims)


def test_claims_conflicts_and_releases_are_told_of_in_order() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    waiting = stand_in_line(second, "a.py")
    release(first)
    waiting.result(PATIENCE_S)
    told = [(event.type, event.node, event.data.get("outcome")) for event in Event.objects.order_by("seq")]
    assert told == [
        ("file:locked", first, None),
        ("swarm:conflict", second, "waiting"),
        ("file:unlocked", first, None),
        ("file:locked", second, None),
        ("swarm:conflict", second, "granted"),
    ]


def test_a_wait_that_ends_before_its_thread_sleeps_is_not_slept_through() -> None:
    first, second = make_nodes(2)
    claim(first, "a.py")
    [granted] = claim_paths(
        second,
        ["a.py"],
        policy="wait",
        timeout_s=PATIENCE_S,
        cancellation=Cancellation(),
        on_wait=lambda name: release(first),
    )
    assert holder("a.py") == second
    assert granted.token == FileLock.objects.get().token
