"""What one attempt of a node has in its hands: the story, its snapshot, its claims and its clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from swarm.cancellation import Cancellation
from swarm.engine.errors import NodeTimedOut
from swarm.engine.timesheet import Timesheet
from swarm.errors import SwarmError
from swarm.locks.claims import claim_path
from swarm.models import Activity, Execution, Node
from swarm.stories.story import Story
from swarm.workspace.paths import lock_key, normalise
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot


class FileChanged(SwarmError):
    """A path was changed on the branch after the node's snapshot was taken; the snapshot has the new version now."""

    code = "file_changed"


class ReservedPath(SwarmError):
    """A node wanted to write a file that only the server writes."""

    code = "reserved_path"


@dataclass
class Work:
    """One attempt at one story. `deadline_s` is on the monotonic clock; `claims` maps paths to fencing tokens."""

    node: Node
    execution: Execution
    story: Story
    stories_folder: str
    repository: Repository
    snapshot: Snapshot
    timesheet: Timesheet
    cancellation: Cancellation
    deadline_s: float
    claims: dict[str, int] = field(default_factory=dict)
    ticked: set[int] = field(default_factory=set)
    awaited: set[str] = field(default_factory=set)
    is_finished: bool = False

    def count_done(self) -> int:
        """How many of the story's tasks are ticked, in the file or by the node."""
        return sum(task.done or task.number in self.ticked for task in self.story.tasks)

    def remaining_s(self) -> float:
        """Seconds until the node's deadline. Raises `NodeTimedOut` when they are used up."""
        remaining_s = self.deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise NodeTimedOut(
                f"The node took longer than the {self.execution.node_timeout_s:.0f} s it may; "
                "give it more time (node_timeout) or split the story."
            )
        return remaining_s

    def claim(self, path: str) -> str:
        """Claim `path` before its first write and return it normalised, with the snapshot showing its newest version.

        Raises `FileChanged` when that version is newer than what the node may have read, `ReservedPath`, and all that
        `claim_path` raises.
        """
        path = normalise(path)
        if lock_key(path).startswith(lock_key(self.stories_folder) + "/"):
            raise ReservedPath(f"{path} is a story file; the server updates those, so leave it as it is.")
        if path in self.claims:
            return path
        claim = claim_path(
            self.node,
            path,
            policy=self.execution.on_conflict,
            timeout_s=self.remaining_s(),
            cancellation=self.cancellation,
            on_wait=lambda holder: self.timesheet.enter(Activity.WAITING_FOR_LOCK, f"{path}, held by {holder}"),
        )
        self.timesheet.enter(Activity.USING_TOOL, path)
        self.claims[path] = claim.token
        self.awaited.discard(path)
        self._take_newest(path)
        return path

    def _take_newest(self, path: str) -> None:
        head = self.repository.branch_head(self.execution.branch)
        if not self.snapshot.is_stale(path, head):
            return
        others = self.snapshot.advance(head) - {path}
        also = f" Also changed since you read them: {', '.join(sorted(others))}." if others else ""
        raise FileChanged(
            f"{path} was changed by another story after your snapshot was taken. Nothing was written; you hold the path "
            f"now and see the new version: read it again and repeat your change on it.{also}"
        )
