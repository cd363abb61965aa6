"""What one attempt of a node has in its hands: the story, its snapshot, its claims and its clock."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from django.conf import settings
from django.db import transaction

from swarm.cancellation import Cancellation
from swarm.engine.errors import NodeTimedOut
from swarm.engine.timesheet import Timesheet
from swarm.locks.claims import check_claims, claim_paths
from swarm.models import Activity, Execution, Node
from swarm.stories.story import Story
from swarm.workspace.errors import LostUpdate, Refused
from swarm.workspace.paths import lock_key, normalise
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot

log = structlog.get_logger(__name__)


class FileChanged(Refused):
    """A path was changed on the branch after the node's snapshot was taken; the snapshot has the new version now."""

    code = "file_changed"


class ReservedPath(Refused):
    """A node wanted to write a file that only the server writes."""

    code = "reserved_path"


NEWS_LIMIT = 8000
"""How many characters of another story's change a model is shown."""


@dataclass(frozen=True)
class Claimed:
    """A path that the node may write, normalised, and what others changed in it since the node's snapshot, in words."""

    path: str
    news: str = ""


class Shown(NamedTuple):
    """What a node had to show when it last ticked tasks: in which turn, its changes, and what had passed the checks."""

    turn: int
    changes: dict[str, bytes | None]
    proven: tuple[str, dict[str, bytes | None]] | None


@dataclass
class Work:
    """One attempt at one story. `deadline_s` is on the monotonic clock; `claims` maps paths to fencing tokens,
    `proven` is the commit and the changes on it that last passed the checks, `turn` the number of the present turn,
    `shown` what the last ticked tasks rest on.
    """

    node: Node
    execution: Execution
    story: Story
    repository: Repository
    snapshot: Snapshot
    timesheet: Timesheet
    cancellation: Cancellation
    deadline_s: float
    claims: dict[str, int] = field(default_factory=dict)
    ticked: set[int] = field(default_factory=set)
    awaited: set[str] = field(default_factory=set)
    proven: tuple[str, dict[str, bytes | None]] | None = None
    turn: int = 0
    shown: Shown = field(default_factory=lambda: Shown(0, {}, None))
    is_finished: bool = False

    def is_ticked(self, number: int) -> bool:
        """Whether a task of the story is ticked, in the file or by the node."""
        return number in self.ticked or self.story.tasks[number - 1].done

    def count_done(self) -> int:
        """How many of the story's tasks are ticked."""
        return sum(self.is_ticked(task.number) for task in self.story.tasks)

    @property
    def is_proven(self) -> bool:
        """Whether the checks have passed on exactly what the snapshot shows."""
        return self.proven == (self.snapshot.base, dict(self.snapshot.changes))

    def remaining_s(self) -> float:
        """Seconds until the node's deadline. Raises `NodeTimedOut` when they are used up."""
        remaining_s = self.deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise NodeTimedOut(
                f"The node took longer than the {self.execution.node_timeout_s:.0f} s it may; "
                "give it more time (node_timeout) or split the story."
            )
        return remaining_s

    def claim(self, path: str) -> Claimed:
        """Claim `path` before its first write, and let the snapshot show its newest version.

        Raises `ReservedPath`, `Refused` for a path that cannot be written, and all that `claim_paths` raises.
        """
        path = normalise(path)
        if self.is_reserved(path):
            raise ReservedPath(f"{path} is a story file; the server updates those, so leave it as it is.")
        if path in self.claims:
            return Claimed(path)
        self._claim([path], self.execution.on_conflict)
        self.timesheet.enter(Activity.USING_TOOL, path)
        return Claimed(path, self._take_newest(path))

    def claim_now(self, paths: Iterable[str]) -> None:
        """Claim all `paths`, which are normalised, without waiting for any.

        Raises `PathHeld` if somebody holds one, `FileChanged` if others have changed one since the snapshot was taken,
        which shows the newest version then, and all that `claim_paths` raises.
        """
        wanted = [path for path in paths if path not in self.claims]
        if wanted:
            self._claim(wanted, Execution.OnConflict.NOTIFY)
        news = [line for path in wanted if (line := self._take_newest(path))]
        if news:
            raise FileChanged("\n".join(news))

    def is_reserved(self, path: str) -> bool:
        """Whether only the server writes `path`: all that lies in the stories' folder."""
        return lock_key(path).startswith(lock_key(self.execution.stories_folder) + "/")

    def advance(self, head: str) -> frozenset[str]:
        """Move the snapshot to the branch's head; return the paths that the node has read and others have changed.

        Raises `LockLost` if a claim of the node has run out and another changed its path, and `LostUpdate` if one did
        in spite of the claims, with a cry in the log: that should be impossible.
        """
        try:
            return self.snapshot.advance(head)
        except LostUpdate as error:
            with transaction.atomic():
                check_claims(self.node, self.claims)
            log.error("claims.broken", node=str(self.node.pk), head=head, reason=error.message)
            raise

    def _claim(self, paths: list[str], policy: str) -> None:
        claims = claim_paths(
            self.node,
            paths,
            policy=policy,
            timeout_s=min(self.remaining_s(), settings.SWARM_LOCK_WAIT),
            cancellation=self.cancellation,
            on_wait=lambda holder: self.timesheet.enter(
                Activity.WAITING_FOR_LOCK, f"{', '.join(paths)}, held by {holder}"
            ),
        )
        self.claims.update((claim.path, claim.token) for claim in claims)
        keys = {lock_key(path) for path in paths}
        self.awaited = {path for path in self.awaited if lock_key(path) not in keys}

    def _take_newest(self, path: str) -> str:
        """Move the snapshot to the branch's head if `path` changed there; say what changed, or nothing."""
        head = self.repository.branch_head(self.execution.branch)
        if not self.snapshot.is_stale(path, head):
            return ""
        before = self.repository.read_file(self.snapshot.base, path) or b""
        others = self.advance(head) - {path}
        after = self.repository.read_file(head, path) or b""
        news = f"Another story changed {path} meanwhile:\n{_difference(before, after)}"
        return news + (f"\nAlso changed since you read them: {', '.join(sorted(others))}." if others else "")


def _difference(before: bytes, after: bytes) -> str:
    old, new = (text.decode(errors="replace").splitlines() for text in (before, after))
    shown = "\n".join(list(difflib.unified_diff(old, new, lineterm=""))[2:])
    return shown if len(shown) <= NEWS_LIMIT else f"{shown[:NEWS_LIMIT]}\n[cut; read the file for the rest]"
