"""What a model server's answer tells about its limits, read from the headers in use.

OpenAI's `x-ratelimit-*` (also Groq, vLLM proxies, LiteLLM), Anthropic's `anthropic-ratelimit-*`, `Retry-After` and
`retry-after-ms`. Values that some proxies send for "not known" (-1, 0, nonsense) are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|d|h|m|s))")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Quota:
    """One budget as told: units per second, and how many units were left when the answer was written."""

    rate_per_s: float
    remaining: float | None

    def divided(self, parts: int) -> Quota:
        """One of `parts` equal parts of it."""
        return Quota(self.rate_per_s / parts, None if self.remaining is None else self.remaining / parts)


@dataclass(frozen=True)
class Told:
    """Everything that one answer's headers say. `retry_after_s` is in seconds from now."""

    retry_after_s: float | None = None
    requests: Quota | None = None
    tokens: Quota | None = None


def read_headers(headers: Mapping[str, str], at: datetime) -> Told:
    """Read `headers` (names in any case) of an answer that arrived at `at` (aware)."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    return Told(
        retry_after_s=_retry_after(lower, at),
        requests=_quota(lower, "requests", at),
        tokens=_quota(lower, "tokens", at),
    )


def _retry_after(headers: Mapping[str, str], at: datetime) -> float | None:
    """Seconds to wait; the precise `retry-after-ms` first. RFC 9110, 10.2.3: a number or a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds > 0:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value:
        seconds = _seconds_until(value, at)
    return seconds if seconds is not None and seconds > 0 else None


def _quota(headers: Mapping[str, str], unit: str, at: datetime) -> Quota | None:
    """Limits are per minute; one that takes more than a minute to refill is per hour or day (Groq's requests)."""
    for pattern in (f"x-ratelimit-{{}}-{unit}", f"anthropic-ratelimit-{unit}-{{}}"):
        limit = _number(headers.get(pattern.format("limit")))
        if limit is None or limit <= 0:
            continue
        remaining = _number(headers.get(pattern.format("remaining")))
        if remaining is not None and not 0 <= remaining <= limit:
            remaining = None
        rate_per_s = limit / 60
        refilled_in = _duration(headers.get(pattern.format("reset")), at)
        if refilled_in is not None and refilled_in > 60 and remaining is not None and remaining < limit:
            rate_per_s = min(rate_per_s, (limit - remaining) / refilled_in)
        return Quota(rate_per_s, remaining)
    return None


def _duration(value: str | None, at: datetime) -> float | None:
    """Seconds in `1h2m3.5s`, `20ms`, `12` or until an instant in RFC 3339."""
    if not value:
        return None
    if (number := _number(value)) is not None:
        return number
    if _DURATION.sub("", value) == "":
        return sum(float(count) * _SECONDS[unit] for count, unit in _DURATION.findall(value))
    return _seconds_until(value, at)


def _seconds_until(value: str, at: datetime) -> float | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return (parse(value) - at).total_seconds()
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
