"""What nodes do with paths, short enough for a test to read as a story."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import timedelta

from django.utils.timezone import now

from swarm.cancellation import Cancellation
from swarm.events.record import recording
from swarm.locks.claims import claim_paths, release_claims
from swarm.locks.waits import Claim
from swarm.models import Conflict, FileLock, Node
from tests.factories import PATIENCE_S, in_thread, wait_until


def claim(
    node: Node,
    path: str,
    *,
    policy: str = "wait",
    timeout_s: float = 10 * PATIENCE_S,
    cancellation: Cancellation | None = None,
) -> Claim:
    [granted] = claim_all(node, path, policy=policy, timeout_s=timeout_s, cancellation=cancellation)
    return granted


def claim_all(
    node: Node,
    *paths: str,
    policy: str = "wait",
    timeout_s: float = 10 * PATIENCE_S,
    cancellation: Cancellation | None = None,
) -> list[Claim]:
    return claim_paths(
        node,
        paths,
        policy=policy,
        timeout_s=timeout_s,
        cancellation=cancellation or Cancellation(),
        on_wait=lambda holder: None,
    )


def stand_in_lines(node: Node, *paths: str, cancellation: Cancellation | None = None) -> Future[list[Claim]]:
    """Claim several paths of which some are held in a thread, and return once the node stands in their lines."""
    future = in_thread(lambda: claim_all(node, *paths, cancellation=cancellation))
    wait_until(lambda: is_waiting(node) or future.done())
    return future


def stand_in_line(node: Node, path: str, *, cancellation: Cancellation | None = None) -> Future[Claim]:
    """Claim a held path in a thread, and return once the node stands in its line."""
    future = in_thread(lambda: claim(node, path, cancellation=cancellation))
    wait_until(lambda: is_waiting(node) or future.done())
    return future


def release(node: Node) -> None:
    with recording(node.execution_id) as record:
        release_claims(record, node)


def is_waiting(node: Node) -> bool:
    return Conflict.objects.waiting().filter(node=node).exists()


def holder(path: str) -> Node | None:
    lock = FileLock.objects.select_related("node").get(key=path)
    return lock.node if lock.is_held(now()) else None


def held_by(node: Node) -> set[str]:
    return set(FileLock.objects.held(now()).filter(node=node).values_list("path", flat=True))


def outcomes(node: Node) -> list[str]:
    """How the node's waits ended, or that they have not, in the order it asked."""
    return list(node.conflicts.order_by("id").values_list("outcome", flat=True))


def let_lease_run_out(path: str) -> None:
    """Move the end of a lease into the past, as if its holder had slept."""
    FileLock.objects.filter(key=path).update(expires_at=now() - timedelta(seconds=1))
