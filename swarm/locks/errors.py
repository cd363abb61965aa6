from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from swarm.errors import SwarmError


class PathHeld(SwarmError):
    """A path is held by somebody else, and the one who asked does not wait."""

    code = "path_held"
    retryable = True

    def __init__(self, path: str, *, holder: str, since: datetime) -> None:
        super().__init__(f"{path} is held by {holder} since {since:%H:%M:%S} UTC.")
        self.path = path
        self.holder = holder
        self.since = since


class LockTimedOut(SwarmError):
    """A node waited for a path as long as it was allowed to."""

    code = "lock_timeout"
    retryable = True


class DeadlockVictim(SwarmError):
    """A node waited in a circle with others and was chosen to give way: its attempt is rolled back and tried again."""

    code = "deadlock"
    retryable = True

    def __init__(self, path: str, others: Sequence[uuid.UUID]) -> None:
        super().__init__(f"Waiting for {path} closed a circle of waiting nodes; this one gives way and starts again.")
        self.others = tuple(others)


class LockLost(SwarmError):
    """A node's claim expired or was broken before its commit; what it wrote cannot be integrated."""

    code = "lock_lost"
    retryable = True


class NotTheHolder(SwarmError):
    """Somebody wanted to release a lock that is not theirs."""

    code = "not_the_holder"


class LockMoved(SwarmError):
    """A lock was to be broken, but nobody holds the path any more, or somebody else does."""

    code = "lock_moved"


class ReasonMissing(SwarmError):
    """A lock was to be broken without a word to its holder."""

    code = "reason_missing"
