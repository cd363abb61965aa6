"""How a simulated model behaves, as one checked value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm.simulator.errors import InvalidOption
from swarm.simulator.faults import Fault


@dataclass(frozen=True)
class SimulatorOptions:
    """What a simulator listens on and how slow, strict and faulty it is.

    `rpm` and `tpm` are requests and tokens a minute, 0 for no limit. `burst` is how many requests may come at once
    before `rpm` slows them down; 0 stands for a whole minute's. `max_concurrent` is how many requests may be thought
    about at once, 0 for any number. `hides_limits`: neither header nor message tells of them, a 429 has `Retry-After`
    and no more. `charges_rejected`: a request that is turned away counts against `rpm` too, as OpenAI does it.
    `jitter_s` is the most that is added to `latency_s`, by chance. `fault_shares` are shares of all requests.
    Without an `api_key` every key is welcome.

    Raises `InvalidOption` for a value out of range.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency_s: float = 0.0
    jitter_s: float = 0.0
    rpm: int = 0
    tpm: int = 0
    burst: int = 0
    max_concurrent: int = 0
    hides_limits: bool = False
    charges_rejected: bool = False
    fault_shares: Mapping[Fault, float] = field(default_factory=dict)
    seed: int = 0
    api_key: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidOption(f"The port is {self.port}: give one from 1 to 65535, or 0 for any free one.")
        for fault, share in self.fault_shares.items():
            if not 0 <= share <= 1:
                raise InvalidOption(f"The share of {fault} is {share}: give one from 0 (never) to 1 (always).")
        if (total := math.fsum(self.fault_shares.values())) > 1:
            raise InvalidOption(f"The shares of the faults add up to {total:g}: all of them may be 1 at most.")
        for name in ("latency_s", "jitter_s", "rpm", "tpm", "burst", "max_concurrent"):
            # Written so that "not a number" is refused as well.
            if not 0 <= getattr(self, name) < float("inf"):
                option = name.removesuffix("_s").replace("_", "-")
                raise InvalidOption(f"The {option} is {getattr(self, name)}: give a number that is 0 or more.")
