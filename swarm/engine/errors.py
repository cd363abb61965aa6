from __future__ import annotations

from collections.abc import Sequence

from swarm.errors import SwarmError
from swarm.stories.plan import DependencyProblem


class UnknownStory(SwarmError):
    """A story was asked for that is not among the story files."""

    code = "unknown_story"


class UnusableRequest(SwarmError):
    """An execution was asked for with options that cannot work."""

    code = "unusable_request"


class UnusableDependencies(UnusableRequest):
    """An execution was asked for with dependencies that cannot be kept: a circle, or a story that nobody does."""

    code = "unusable_dependencies"

    def __init__(self, message: str, problems: Sequence[DependencyProblem] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class DependencyFailed(SwarmError):
    """A node waited for a story that failed or was cancelled."""

    code = "dependency_failed"


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


class UnusableCalls(SwarmError):
    """A developer went on calling tools that do not exist, or with arguments that cannot be read."""

    code = "unusable_calls"
    retryable = True


class TokenBudgetExhausted(SwarmError):
    """The execution, or one of its nodes, has used up the tokens that it was given."""

    code = "budget_exhausted"


class Looping(SwarmError):
    """A developer repeated the same calls, with the same outcome, although it was told so."""

    code = "looping"
    retryable = True


class DatabaseAway(SwarmError):
    """The database failed in the midst of an attempt, which goes on once it is back."""

    code = "database_away"
    retryable = True


class CheckCommandMissing(SwarmError):
    """The shell did not find the check command."""

    code = "check_command_missing"


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
