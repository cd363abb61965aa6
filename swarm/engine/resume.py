"""Puts the work of a node aside after each turn, and takes it up again in another attempt, perhaps of another process.

What a turn did stands in its row, the content of changed files in git's object store, so nothing has to be asked of
the model again but the answer that was on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from typing_extensions import TypedDict

from swarm.engine.conversation import Conversation
from swarm.engine.work import Work
from swarm.errors import SwarmError
from swarm.locks.claims import claim_paths
from swarm.locks.errors import PathHeld
from swarm.models import Execution, Node, Turn
from swarm.workspace.errors import NoSuchObject
from swarm.workspace.snapshot import Snapshot


class CannotResume(SwarmError):
    """What a node had done cannot be gone on with, because something has changed meanwhile: it starts afresh."""

    code = "cannot_resume"
    retryable = True


class WorkState(TypedDict):
    """`Turn.state`: a node's work after a turn. `changes` holds git's ids of contents, null for a deleted file."""

    base: str
    changes: dict[str, str | None]
    read: list[str]
    claims: dict[str, int]
    ticked: list[int]
    awaited: list[str]
    is_proven: bool


def keep(work: Work) -> WorkState:
    """All that it takes to go on with the work."""
    snapshot = work.snapshot
    return WorkState(
        base=snapshot.base,
        changes=snapshot.store(),
        read=sorted(snapshot.read_paths),
        claims=work.claims,
        ticked=sorted(work.ticked),
        awaited=sorted(work.awaited),
        is_proven=work.proven == (snapshot.base, dict(snapshot.changes)),
    )


def take_up(work: Work) -> Conversation | None:
    """Put the work where the node's recorded conversation left it; None if nothing was recorded.

    The last turn may be unanswered: its tools are to run again, for what they did was not kept. Raises `CannotResume`,
    and has done nothing then.
    """
    conversation = Conversation.recorded(work.node)
    if not conversation.turns:
        return None
    if not conversation.is_repeatable():
        raise CannotResume("Swarm, its model or its tools have changed since the attempt began.")
    state = next((turn.state for turn in reversed(conversation.turns) if turn.state is not None), None)
    if state is not None:
        _restore(work, state)
    return conversation


def set_aside_bad_turns(node: Node) -> None:
    """Take the turns at the end of a node's conversation out of it that led nowhere, so that it can be resumed."""
    newest_first = Turn.objects.of_conversation(node).reverse()
    bad = [turn.pk for turn in takewhile(lambda turn: not turn.is_good, newest_first)]
    Turn.objects.filter(pk__in=bad).update(is_set_aside=True)


def _restore(work: Work, state: WorkState) -> None:
    snapshot = Snapshot(work.repository, state["base"])
    try:
        snapshot.restore(state["changes"])
    except NoSuchObject as error:
        raise CannotResume(error.message) from error
    claims = _claim_again(work, snapshot, state["claims"])
    snapshot.read_paths.update(state["read"])
    work.snapshot = snapshot
    work.claims = claims
    work.ticked = set(state["ticked"])
    work.awaited = set(state["awaited"])
    work.proven = (snapshot.base, dict(snapshot.changes)) if state["is_proven"] else None
    work.node.record_tasks(work.count_done())
    work.node.record_files(sorted(snapshot.changes))


def _claim_again(work: Work, snapshot: Snapshot, claims: Mapping[str, int]) -> dict[str, int]:
    """The tokens of the claims that the work had, which must not have let anybody else at their paths."""
    try:
        granted = claim_paths(
            work.node,
            list(claims),
            policy=Execution.OnConflict.NOTIFY,  # nobody waits here, least of all for those who wait for this node
            timeout_s=0,
            cancellation=work.cancellation,
            on_wait=lambda _: None,
        )
    except PathHeld as error:
        raise CannotResume(f"A claim ran out while nobody ran the node; {error.message}") from error
    head = work.repository.branch_head(work.execution.branch)
    for claim in granted:
        if claim.token != claims[claim.path] and snapshot.is_stale(claim.path, head):
            raise CannotResume(
                f"The claim on {claim.path} ran out while nobody ran the node, and another story changed it."
            )
    return {claim.path: claim.token for claim in granted}
