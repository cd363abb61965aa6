"""One call from its place in the queue to its answer: the loop of waiting, sending and sending again.

It acts on what the limiter and the retry policy decide, and decides nothing itself.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import structlog

from swarm.cancellation import Cancellation
from swarm.chat.errors import ChatError, RateLimited, UpstreamOverloaded
from swarm.chat.limiter import Demand, Reason, Ticket, TokenEstimate, Told
from swarm.chat.replies import Usage
from swarm.chat.retries import RetryPolicy
from swarm.chat.throttle import Throttle

log = structlog.get_logger("swarm.chat")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Caller:
    """Who asks: queues are fair between executions, and a node about to finish may overtake."""

    execution: str
    node: str
    is_finishing: bool = False


@dataclass(frozen=True)
class Phase:
    """What a call does from now on. `detail` is for people; `expected_s` is how long it will take, where known."""

    activity: Literal["waiting_for_budget", "thinking"]
    detail: str
    expected_s: float | None = None


@dataclass(frozen=True)
class ModelQueue:
    """The line in front of one model, and what is known about the size of its calls."""

    throttle: Throttle
    estimate: TokenEstimate


@dataclass
class Call:
    """A call in progress, used by one thread at a time. `run`, then `settle` what it returned."""

    body: Mapping[str, Any]
    caller: Caller
    deadline_at: float
    cancellation: Cancellation
    on_phase: Callable[[Phase], None]
    on_rate_limited: Callable[[float], None]
    queue: ModelQueue
    policy: RetryPolicy
    call_timeout_s: float
    queued_s: float = 0.0
    upstream_s: float = 0.0
    retries: int = 0
    rate_limited_count: int = 0
    _idempotency_key: str = field(default_factory=lambda: str(uuid.uuid4()))
    _refused: Ticket | None = None
    _ticket: Ticket = field(init=False)

    def __post_init__(self) -> None:
        self._prompt_characters = len(json.dumps(self.body, ensure_ascii=False, default=str))

    @property
    def headers(self) -> dict[str, str]:
        """What marks a retry as one: the same key on all tries, and the count as OpenAI's own client sends it."""
        return {"Idempotency-Key": self._idempotency_key, "X-Stainless-Retry-Count": str(self.retries)}

    def run(self, attempt: Callable[[float], Result]) -> Result:
        """Return what `attempt(timeout_s)` returns, tried as often as the policy says. The slot is still held then.

        Raises what the last attempt raised, `RateLimited` if no turn came in time, and `Cancelled`.
        """
        while True:
            self._acquire()
            try:
                return self._attempt(attempt)
            except ChatError as error:
                self._wait_or_raise(error)
            self.retries += 1

    def settle(self, told: Told, usage: Usage) -> None:
        """Free the slot of a call that was answered."""
        self.queue.throttle.answered(self._ticket, told, usage.total_tokens or None)
        if usage.total_tokens:
            self.queue.estimate.learn(self._prompt_characters, usage.prompt_tokens, usage.completion_tokens)

    def fail(self, error: BaseException) -> None:
        """Free the slot of a call that ended in `error`, which may slow down the others."""
        throttle = self.queue.throttle
        if isinstance(error, RateLimited):
            pause_s = throttle.refused(self._ticket, error.told, error.cause)
            self._refused = self._ticket
            self.rate_limited_count += 1
            self.on_rate_limited(pause_s)
        elif isinstance(error, UpstreamOverloaded):
            throttle.overloaded(self._ticket, error.told)
        else:
            throttle.failed(self._ticket)

    def _acquire(self) -> None:
        started_at = time.monotonic()
        self._ticket = self.queue.throttle.acquire(
            self._demand(), deadline_at=self.deadline_at, cancellation=self.cancellation, on_wait=self._tell_wait
        )
        self.queued_s += time.monotonic() - started_at

    def _demand(self) -> Demand:
        tokens = self._refused.tokens if self._refused else self._estimate()
        return Demand(
            self.caller.execution, self.caller.node, self.caller.is_finishing, tokens, self._refused is not None
        )

    def _estimate(self) -> int:
        max_answer = self.body.get("max_completion_tokens") or self.body.get("max_tokens")
        return self.queue.estimate.tokens(self._prompt_characters, max_answer if isinstance(max_answer, int) else None)

    def _tell_wait(self, reason: Reason, expected_s: float | None) -> None:
        self.on_phase(Phase("waiting_for_budget", f"Waiting for the model: {reason}", expected_s))

    def _attempt(self, attempt: Callable[[float], Result]) -> Result:
        """One try in the slot of `_ticket`, which every failure settles."""
        started_at = time.monotonic()
        try:
            self.on_phase(Phase("thinking", "Waiting for the model's answer"))
            return attempt(max(0.001, min(self.call_timeout_s, self.deadline_at - time.monotonic())))
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            self.upstream_s += time.monotonic() - started_at

    def _wait_or_raise(self, error: ChatError) -> None:
        left_s = self.deadline_at - time.monotonic()
        # Chance spreads retries and guards nothing.
        retry = self.policy.decide(error, retries=self.retries, left_s=left_s, chance=random.random())  # noqa: S311
        if retry is None:
            log.warning("chat.failed", code=error.code, retries=self.retries, node=self.caller.node)
            raise error
        log.debug("chat.retrying", code=error.code, after_s=retry.after_s, node=self.caller.node)
        if retry.after_s:
            self.on_phase(Phase("waiting_for_budget", f"Trying again: {error.message}", retry.after_s))
            self.cancellation.wait(retry.after_s)
            self.queued_s += retry.after_s
