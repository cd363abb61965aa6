from __future__ import annotations

from swarm.errors import SwarmError


class UnknownStory(SwarmError):
    """A story was asked for that is not among the story files."""

    code = "unknown_story"


class UnusableRequest(SwarmError):
    """An execution was asked for with options that cannot work."""

    code = "unusable_request"


class NothingToRetry(SwarmError):
    """A retry was asked for, but none of the nodes has failed or was cancelled."""

    code = "nothing_to_retry"


class NodeTimedOut(SwarmError):
    """A node worked, or waited, longer than it may."""

    code = "node_timeout"


class TooManyTurns(SwarmError):
    """A developer took all its turns without finishing the story."""

    code = "too_many_turns"
    retryable = True


class NoProgress(SwarmError):
    """A developer stopped calling tools before the story was finished."""

    code = "no_progress"
    retryable = True


class TokenBudgetExhausted(SwarmError):
    """The execution has used up the tokens that it was given."""

    code = "budget_exhausted"


class InternalError(SwarmError):
    """A defect of Swarm ended the node; the log holds the traceback."""

    code = "internal_error"


class WorkerLost(SwarmError):
    """The process that ran a node missed its heartbeats."""

    code = "worker_lost"
    retryable = True


class WorkerStopped(SwarmError):
    """The process that ran a node was told to stop."""

    code = "worker_stopped"
    retryable = True
