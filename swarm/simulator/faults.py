"""The faults that a simulated model can have, by name, and which request meets which.

A fault depends on the seed, the request's bytes and how often it was sent before, and on nothing else: it is the same
for any order of requests, any number of servers and after any restart. Pure; how a fault looks stands elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

from swarm.simulator.errors import InvalidOption


class Fault(StrEnum):
    """One way in which an answer goes wrong."""

    EMPTY_CHOICES = "empty_choices"
    TRUNCATED_JSON = "truncated_json"
    BAD_TOOL_ARGUMENTS = "bad_tool_arguments"
    """The first tool call's arguments are not JSON."""
    WRONG_SCHEMA_ARGUMENTS = "wrong_schema_arguments"
    """They are JSON, but not what the tool takes."""
    UNKNOWN_TOOL = "unknown_tool"
    """The first tool call names a tool that nobody offered."""
    HTML_PAGE = "html_page"
    ERROR_WITH_200 = "error_with_200"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    STREAM_STOPS = "stream_stops"
    """The connection ends after half of the body, streamed or not."""
    DRIP = "drip"
    """The body comes at one byte a second."""
    HUGE = "huge"
    """The reply's text is 100 MiB long."""
    GZIP_BOMB = "gzip_bomb"
    """It is 1 GiB long and sent as 1 MiB of gzip, asked for or not."""
    HANG_UP = "hang_up"
    """The connection ends without an answer."""
    SLOW = "slow"
    """The answer is right and comes ten seconds late."""
    STATUS_408 = "status_408"
    STATUS_409 = "status_409"
    STATUS_500 = "status_500"
    STATUS_503 = "status_503"
    STATUS_529 = "status_529"

    @property
    def status(self) -> int | None:
        """The HTTP status of a fault that is nothing but one."""
        return int(self.removeprefix("status_")) if self.startswith("status_") else None


TOOL_FAULTS = frozenset({Fault.BAD_TOOL_ARGUMENTS, Fault.WRONG_SCHEMA_ARGUMENTS, Fault.UNKNOWN_TOOL})
"""Faults of the model rather than the server; a reply that calls no tool cannot have them."""


def parse_fault(text: str) -> tuple[Fault, float]:
    """Read `NAME` or `NAME:SHARE`; without a share every request is meant. Raises `InvalidOption`."""
    name, colon, share = text.partition(":")
    if name not in set(Fault):
        raise InvalidOption(f"The fault {name!r} is unknown: name one of {', '.join(Fault)}.")
    try:
        return Fault(name), float(share) if colon else 1.0
    except ValueError:
        raise InvalidOption(f"The share of the fault {text!r} is no number: write {name}:0.1, for example.") from None


def draw_fault(shares: Mapping[Fault, float], *, seed: int, body: bytes, retry_count: int) -> Fault | None:
    """The fault that a request meets, or None. `shares` are of all requests and add up to 1 at most."""
    digest = hashlib.sha256(f"{seed} {retry_count} ".encode() + body).digest()
    drawn = int.from_bytes(digest[:6]) / 2**48
    for fault, share in shares.items():
        if drawn < share:
            return fault
        drawn -= share
    return None
