"""How a simulated model behaves, as one checked value."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.simulator.errors import InvalidOption


@dataclass(frozen=True)
class SimulatorOptions:
    """What a simulator listens on and how slow, strict and faulty it is.

    `rpm` and `tpm` are requests and tokens a minute, 0 for no limit. `burst` is how many requests may come at once
    before `rpm` slows them down; 0 stands for a whole minute's. `jitter_s` is the most that is added to `latency_s`,
    by chance. `fault_rate` is the share of requests answered with 503. Without an `api_key` every key is welcome.

    Raises `InvalidOption` for a value out of range.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency_s: float = 0.0
    jitter_s: float = 0.0
    rpm: int = 0
    tpm: int = 0
    burst: int = 0
    fault_rate: float = 0.0
    seed: int = 0
    api_key: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InvalidOption(f"The port is {self.port}: give one from 1 to 65535, or 0 for any free one.")
        if not 0 <= self.fault_rate <= 1:
            raise InvalidOption(f"The fault rate is {self.fault_rate}: give a share from 0 (never) to 1 (always).")
        for name in ("latency_s", "jitter_s", "rpm", "tpm", "burst"):
            # Written so that "not a number" is refused as well.
            if not 0 <= getattr(self, name) < float("inf"):
                option = name.removesuffix("_s")
                raise InvalidOption(f"The {option} is {getattr(self, name)}: give a number that is 0 or more.")
