"""The root of Swarm's error tree.

Each package raises subclasses of `SwarmError` from an `errors.py` of its own. An error's docstring says when it
is raised, its message says what to do, and its `code` is public: it stands in JSON answers, rows and logs.
"""

from __future__ import annotations

from typing import ClassVar


class SwarmError(Exception):
    """Something went wrong that a person or a model can act on.

    `code` names the kind for programs. `retryable` says whether another attempt of the same node may succeed without
    anybody changing anything.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        """The sentence that says what is wrong and what to do."""
        return str(self)


class Cancelled(SwarmError):
    """The node or execution was told to stop; raised wherever a thread of it waits or starts something new."""

    code = "cancelled"


class Misconfigured(SwarmError):
    """A setting is missing or unusable; the message names it and says what to set."""

    code = "misconfigured"
