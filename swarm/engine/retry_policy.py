"""Decides whether and when a node makes another attempt. Pure but for the dice.

Whether an error can be tried again at all is said by its class (`SwarmError.retryable`, which is public); the table
here says how: if the attempt counts against `max_attempts`, and how long to wait before the next one. What is not
charged ends with the node's time budget at last (`node_timeout`). A process that died or stopped never comes here: its
nodes go on where they were (`swarm.engine.resume`), which is not charged either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from swarm.chat.errors import RateLimited, UpstreamTimeout, UpstreamUnavailable
from swarm.errors import SwarmError
from swarm.locks.errors import DeadlockVictim, LockLost


@dataclass(frozen=True)
class Rule:
    """How attempts that end in one kind of error are tried again; the first wait is at most `base_s` seconds."""

    is_charged: bool = True
    base_s: float = 1.0
    cap_s: float = 30.0


DEFAULT = Rule()

RULES: Mapping[str, Rule] = {
    # Nobody's fault but the endpoint's; the gateway has waited and retried within the call already.
    RateLimited.code: Rule(is_charged=False, base_s=2.0, cap_s=60.0),
    UpstreamUnavailable.code: Rule(is_charged=False, base_s=2.0, cap_s=60.0),
    UpstreamTimeout.code: Rule(is_charged=False, base_s=2.0, cap_s=60.0),
    # Waits for the others of the circle to end instead.
    DeadlockVictim.code: Rule(is_charged=False, base_s=0.0),
    # A claim that ran out, or was broken by a person.
    LockLost.code: Rule(is_charged=False),
}
"""By error code; `DEFAULT` for all others that may be tried again."""

SILENCE = frozenset({UpstreamUnavailable.code, UpstreamTimeout.code})
"""What an endpoint that is out for a while has in common with a wrong address."""


@dataclass(frozen=True)
class Retry:
    """Another attempt is to be made in `delay_s` seconds."""

    delay_s: float
    is_charged: bool


def decide(
    error: SwarmError,
    *,
    failures: int,
    attempts_left: int,
    has_answered: bool = True,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Retry | None:
    """What follows from an attempt that ended in `error`, the `failures`th in a row; None for no further attempt.

    `has_answered` tells if the endpoint has ever answered the execution: while it has not, its address may be wrong, so
    its silence is charged, and the breaker (`swarm.engine.breaker`) can ask a person.

    Full jitter: uniform in [0, min(cap, base * 2 ** (failures - 1))]; M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015.
    """
    is_known_endpoint = has_answered or error.code not in SILENCE
    rule = RULES.get(error.code, DEFAULT) if is_known_endpoint else DEFAULT
    if not error.retryable or (rule.is_charged and attempts_left <= 0):
        return None
    longest_s = min(rule.cap_s, rule.base_s * 2 ** min(failures - 1, 30))
    return Retry(jitter(0.0, longest_s), rule.is_charged)
