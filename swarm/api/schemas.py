"""What goes in and comes out as JSON; executions and nodes are described by `swarm.engine.report` and used as they are.

Times are in UTC, durations in seconds.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import BaseModel, ConfigDict, Field

from swarm.engine import report
from swarm.models import Execution, FileLock
from swarm.stories.story import Story, StoryStatus

LARGEST = 2**31 - 1
"""The database's limit for a whole number."""
WEEK_S = 7 * 24 * 3600

Text = Annotated[str, Field(pattern="^[^\\x00]*$")]
"""Text that every database can hold."""


class InvalidField(Schema):
    """One field of a request that is missing or cannot be used."""

    place: Literal["body", "query", "path", "header", "cookie", "form", "file"]
    field: str = Field(description="Where in there, such as `stories.0`; empty if all of it is meant.")
    detail: str


class Problem(Schema):
    """RFC 9457; `code` names the kind of error for programs."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What is wrong, and what to do.")
    code: str
    errors: list[InvalidField]
    error: dict[str, Any] | None = Field(None, description="The same in OpenAI's form, if the model failed.")


class Body(Schema):
    """What clients send: a field that is not known is a mistake that they should hear of."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class StartBody(Body):
    """What to run and how; what is left out has its default."""

    stories: list[Text] = Field(max_length=10_000, examples=[["1.1", "1.2"]])
    depends_on: dict[Text, list[Text]] = Field(
        {},
        max_length=10_000,
        examples=[{"1.2": ["1.1"]}],
        description="By story, what must be done before it starts: others of the run, or stories that are done.",
    )
    developers: int | None = Field(None, ge=1, le=LARGEST, description="Nodes at work at once; default: one a story.")
    max_attempts: int | None = Field(None, ge=1, le=100)
    on_conflict: Execution.OnConflict = Execution.OnConflict.WAIT
    recheck: bool = Field(True, description="Check again where other stories have changed files that a story read.")
    node_timeout: float | None = Field(None, gt=0, le=WEEK_S, description="Seconds that one node may take.")
    token_budget: int | None = Field(None, ge=1, le=LARGEST, description="Tokens that all nodes may use together.")
    node_token_budget: int | None = Field(
        None, ge=1, le=LARGEST, description="Tokens that each node may use, all its attempts together."
    )


class PlanQuery(Schema):
    """Which run to plan."""

    stories: Text = Field("", description="Ids with commas between them; all stories that are ready if left out.")
    depends_on: list[Text] = Field(
        [], max_length=10_000, description="Such as `1.2:1.1` if story 1.2 is to wait for story 1.1; repeatable."
    )
    developers: int | None = Field(None, ge=1, le=LARGEST)


class NodeRetryBody(Body):
    """From where to run a node again."""

    start: Literal["start", "last_turn"] = Field(
        "start", alias="from", description="From the start, or from behind the last turn that came to something."
    )

    @property
    def is_resume(self) -> bool:
        return self.start == "last_turn"


class RetryBody(NodeRetryBody):
    """Which nodes to run again, all failed ones if left out, and from where."""

    nodes: list[uuid.UUID] | None = Field(None, max_length=10_000)


class CancelBody(Body):
    """Why; everybody who looks sees it."""

    reason: Annotated[Text, Field(max_length=500)] = ""


class PauseBody(CancelBody):
    """Whether the nodes that rest keep their claims, or give them up to others meanwhile."""

    claims: Literal["keep", "release"] = "keep"


class RejectBody(Body):
    """What the next attempt is told."""

    comment: Text = Field(min_length=1, max_length=10_000, examples=["Round half up, not half to even."])


class RevertBody(Body):
    """Why; the next attempt is told, if there is one."""

    comment: Text = Field("", max_length=10_000)


class MergeBody(Body):
    """A branch of the workspace that no working tree shows."""

    into: Text = Field(min_length=1, max_length=500, examples=["main"])


class ChatBody(BaseModel):
    """An OpenAI chat-completions request; fields not named here go to the model as they are.

    Not a ninja `Schema`, which would drop those.
    """

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]] = Field(min_length=1, examples=[[{"role": "user", "content": "Hello"}]])
    model: str | None = Field(None, description="SWARM_CHAT_MODEL if left out.")
    stream: bool = False
    n: Literal[1] = Field(1, description="One answer a call.")


class Subtask(Schema):
    text: str
    done: bool


class Task(Schema):
    number: int
    text: str
    done: bool
    subtasks: list[Subtask]


class AcceptanceCriterion(Schema):
    number: str
    text: str


class StorySummary(Schema):
    """A story file as it lies in the working tree; `problems` says what could not be read."""

    id: str
    title: str
    path: str
    status: StoryStatus
    acceptance_criteria: list[AcceptanceCriterion]
    tasks: list[Task]
    tasks_done: int
    tasks_total: int
    depends_on: list[str]
    problems: list[str]

    @staticmethod
    def resolve_depends_on(story: Story) -> list[str]:
        return [dependency.story_id for dependency in story.dependencies]

    @staticmethod
    def resolve_problems(story: Story) -> list[str]:
        return [str(problem) for problem in story.problems]


class StoryDetail(StorySummary):
    """`text` is the whole file."""

    epic: str
    sentence: str
    dev_notes: str
    text: str


class EventFrame(Schema):
    """One recorded event, as on the WebSocket."""

    type: str
    execution: uuid.UUID = Field(validation_alias="execution_id")
    seq: int
    at: datetime
    node: uuid.UUID | None = Field(validation_alias="node_id")
    data: dict[str, Any]


class Lock(Schema):
    """A path that somebody holds: a node, or a person."""

    path: str
    holder: str
    node: uuid.UUID | None = Field(validation_alias="node_id")
    execution: uuid.UUID | None
    user: str | None
    reason: str
    locked_at: datetime
    expires_at: datetime

    @staticmethod
    def resolve_execution(lock: FileLock) -> uuid.UUID | None:
        return lock.node.execution_id if lock.node else None

    @staticmethod
    def resolve_user(lock: FileLock) -> str | None:
        return str(lock.user) if lock.user else None


class Call(Schema):
    """One chat call, also a failed one: seconds in the limiter's queue and on the line, tokens, and what it cost."""

    attempt: int
    number: int = Field(description="The turn that it was made for.")
    at: datetime = Field(validation_alias="started_at")
    model: str
    outcome: str = Field(description="`in_flight`, `ok`, or the code of the error that it ended in.")
    queued: float = Field(validation_alias="queued_s")
    upstream: float = Field(validation_alias="upstream_s")
    prompt_tokens: int
    completion_tokens: int
    retries: int
    rate_limited: int = Field(validation_alias="rate_limited_count", description="How often it was answered 429.")
    cost: float | None


class Turn(Schema):
    """An answered call with the messages put in front of it, the assistant's, and its tools' answers, in OpenAI's form.

    An attempt that goes on where another was interrupted goes on with its numbers. What was set aside is no longer part
    of the conversation.
    """

    attempt: int
    number: int
    set_aside: bool = Field(validation_alias="is_set_aside")
    at: datetime = Field(validation_alias="created_at")
    queued: float = Field(validation_alias="queued_s")
    upstream: float = Field(validation_alias="upstream_s")
    prompt_tokens: int
    completion_tokens: int
    added: list[dict[str, Any]]
    reply: dict[str, Any]
    results: list[dict[str, Any]]


class Check(Schema):
    """One run of the check command on a node's work: on the commit `on_commit`, with the node's changes."""

    id: int
    attempt: int
    command: str
    exit_status: int
    passed: bool = Field(validation_alias="has_passed")
    seconds: float
    output: str
    on_commit: str
    at: datetime = Field(validation_alias="created_at")


class Attempt(Schema):
    """One try of a node: how many seconds it spent on what."""

    number: int
    started_at: datetime
    seconds: dict[str, float]


class NodeDetail(report.NodeReport):
    """A node with its attempts, calls, held locks and checks.

    `stopped` proves how soon after a cancel what ended, `proof` is the check that showed its story to be done.
    """

    execution: uuid.UUID
    stopped: dict[str, Any] | None
    proof: int | None
    attempts: list[Attempt]
    calls: list[Call]
    locks: list[Lock]
    checks: list[Check]
