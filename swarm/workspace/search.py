"""Finds the lines of files that match a regular expression which a model wrote.

RE2, not `re` or `regex`: a pattern is input from outside, and RE2's memory is bounded and its time linear whatever the
pattern (measured with `regex`: the pattern `(?R)` takes 2 GB within a second, before any timeout is of use).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

from swarm.workspace.errors import BadPattern, SearchTooSlow

MAX_PATTERN_LENGTH = 1000
MAX_SECONDS = 10.0
_LINE_BYTES = 10_000
_AT_ONCE_BYTES = 64 << 10
"""One call of RE2 cannot be broken off and takes up to 26 µs a byte (measured), so calls are kept small."""


def find_lines(pattern: str, files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, int, str]]:
    """Yield (path, line number from 1, line) for each line that matches `pattern` in its first 10,000 bytes.

    Raises `BadPattern`, and `SearchTooSlow` after ten seconds.
    """
    expression = _compile(pattern)
    deadline_s = time.monotonic() + MAX_SECONDS
    for path, content in files:
        content = content.replace(b"\r\n", b"\n")
        if len(content) <= _AT_ONCE_BYTES and not expression.search(content):
            continue  # most files are small and hold no match: one call settles them
        for number, line in enumerate(content.split(b"\n"), start=1):
            if time.monotonic() > deadline_s:
                raise SearchTooSlow(f"The search took more than {MAX_SECONDS:.0f} s; narrow the glob or the pattern.")
            if expression.search(line[:_LINE_BYTES]):
                yield path, number, line.decode(errors="replace")


def _compile(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise BadPattern(f"The pattern is longer than {MAX_PATTERN_LENGTH} characters; search for less.")
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(f"(?m){pattern}", options)
    except UnicodeEncodeError as error:
        raise BadPattern("The pattern holds half of a surrogate pair; search for whole characters.") from error
    except re2.error as error:
        reason = error.args[0].decode(errors="replace")
        raise BadPattern(
            f"This is not a valid pattern: {reason}. Put \\ before a special character to find it as it is; "
            "look-around and back-references are not supported."
        ) from error
