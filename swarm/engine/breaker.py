"""Stops an execution that cannot succeed until somebody mends something outside it: it is paused, and says why once.

Without it, fifty stories would fail one after another for the same wrong key. Resuming runs the failed ones again.
"""

from __future__ import annotations

from swarm.chat.errors import BadCredentials, BudgetExhausted, ModelNotFound, UpstreamTimeout, UpstreamUnavailable
from swarm.engine.errors import CheckCommandMissing, DependencyFailed
from swarm.errors import Misconfigured, SwarmError
from swarm.events.record import Recorder
from swarm.models import Execution, Node
from swarm.workspace.errors import DiskFull, NoCommits, NoSuchBranch, NotARepository, WorkspaceReadOnly

FIRST = 3
"""How many nodes must have ended for one reason, and none otherwise; all that can start where those are fewer."""

BY = "Swarm"

ENVIRONMENTAL = (
    BadCredentials, ModelNotFound, BudgetExhausted, UpstreamUnavailable, UpstreamTimeout, Misconfigured,
    NotARepository, NoCommits, NoSuchBranch, DiskFull, WorkspaceReadOnly, CheckCommandMissing,
)  # fmt: skip
"""Errors that lie in neither the story nor the model's work: the next node would meet the same."""


def trip_breaker(record: Recorder, error: SwarmError) -> None:
    """Pause the execution if all of the first nodes to end failed for the same environmental reason, `error`."""
    execution = record.execution
    if not isinstance(error, ENVIRONMENTAL) or execution.paused_at or execution.cancel_requested_at:
        return
    ended = execution.nodes.exclude(status__in=Node.ACTIVE).exclude(error_code=DependencyFailed.code)
    codes = list(ended.values_list("error_code", flat=True))
    startable = sum(not depends_on for depends_on in execution.nodes.values_list("depends_on", flat=True))
    if set(codes) != {error.code} or len(codes) < min(FIRST, startable):
        return
    whose = "The first story" if len(codes) == 1 else f"All of the first {len(codes)} stories"
    reason = f"{whose} failed for a reason that lies outside: {error.message} Mend that, then resume."
    execution.pause(by=BY, reason=reason, code=error.code)
    record("swarm:paused", by=BY, reason=reason, code=error.code, claims="keep")


def nodes_to_mend(execution: Execution) -> list[Node]:
    """The nodes that are to run again once the reason is mended: those that failed for it, and what waited for them."""
    if not execution.pause_code:
        return []
    return list(execution.nodes.failed().filter(error_code__in=[execution.pause_code, DependencyFailed.code]))
