"""What goes in and comes out as JSON about files: locks, conflicts, and who had what when.

Times are in UTC, durations in seconds.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from ninja import Schema
from pydantic import Field

from swarm.api.schemas import WEEK_S, Body, Lock, Text
from swarm.locks import history, log
from swarm.models import Conflict, Execution


class PathBody(Body):
    """`path` is relative to the workspace."""

    path: Text = Field(examples=["src/prices.py"])
    reason: Text = Field("", max_length=500)


class UnlockBody(PathBody):
    """`force` breaks the lock of a node or of somebody else; its `reason` is told to them and must be given."""

    force: bool = False


class LockBody(PathBody):
    """`ttl` is in seconds; SWARM_LOCK_TTL if left out."""

    ttl: float | None = Field(None, gt=0, le=WEEK_S)


class Waiting(Schema):
    """A node in line for a path."""

    node: uuid.UUID = Field(validation_alias="node_id")
    name: str = Field(validation_alias="node.name")
    since: datetime = Field(validation_alias="asked_at")


class HeldLock(Lock):
    """A path that somebody holds, and who waits for it, the next first."""

    waiting: list[Waiting] = Field(validation_alias="queue")


class ConflictQuery(Schema):
    """Which conflicts: all that meet every condition given."""

    execution: uuid.UUID | None = None
    node: uuid.UUID | None = Field(None, description="Who wanted the file.")
    story: Text = Field("", description="The id of the story whose node wanted the file.")
    path: Text = Field("", description="A part of the path.")
    outcome: Conflict.Outcome | None = None
    policy: Execution.OnConflict | None = None
    longer_than: float | None = Field(None, ge=0, le=WEEK_S, description="Waits that took more than so many seconds.")


class ConflictEntry(Schema):
    """A claim that could not be granted at once, and how it ended; `waited` goes on while it waits."""

    path: str
    execution: uuid.UUID = Field(validation_alias="execution_id")
    node: uuid.UUID = Field(validation_alias="node_id")
    wanted_by: str
    held_by: str
    policy: Execution.OnConflict
    asked_at: datetime
    ended_at: datetime | None
    waited: float
    outcome: Conflict.Outcome

    @staticmethod
    def resolve_wanted_by(conflict: Conflict) -> str:
        return str(conflict.node)

    @staticmethod
    def resolve_waited(conflict: Conflict) -> float:
        return conflict.waited.total_seconds()


class HotFile(Schema):
    """A file that was fought for; `waited` and `longest` are seconds, `holder` is empty while it is free."""

    path: str = Field(validation_alias="lock.path")
    conflicts: int
    waited: float
    longest: float
    holder: str

    @staticmethod
    def resolve_waited(file: log.HotFile) -> float:
        return file.waited.total_seconds()

    @staticmethod
    def resolve_longest(file: log.HotFile) -> float:
        return file.longest.total_seconds()

    @staticmethod
    def resolve_holder(file: log.HotFile) -> str:
        return file.lock.holder if file.is_held else ""


class Hold(Schema):
    """A stretch of time in which somebody had a file; `node` is null for a person."""

    holder: str
    node: uuid.UUID | None
    begins_at: datetime
    ends_at: datetime

    @staticmethod
    def resolve_node(hold: history.Hold) -> uuid.UUID | None:
        return hold.node.pk if hold.node else None


class FileHistory(Schema):
    """Who held a file, one after the other, and who wanted it meanwhile."""

    path: str
    holds: list[Hold]
    waits: list[ConflictEntry]


class ConflictMap(Schema):
    """The contested files of one execution over its time; `more_files` of them are left out."""

    execution: uuid.UUID = Field(validation_alias="execution.id")
    begins_at: datetime
    ends_at: datetime
    files: list[FileHistory]
    more_files: int
