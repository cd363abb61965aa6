"""A node's turns as a page shows them: what was said, which tools were called with what, and what they answered.

Pure. A reply is the model's own: anything may stand in it, so nothing is taken for granted here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 20_000
"""Characters of one text that a page shows; the rest is counted."""


@dataclass(frozen=True)
class ShownCall:
    """One tool call. `answer` is None while there is none."""

    name: str
    arguments: dict[str, str]
    answer: str | None

    @property
    def target(self) -> str:
        """What it was about, in a few words: the path, pattern, task …"""
        return next((value.splitlines()[0][:80] for value in self.arguments.values() if value.strip()), "")

    @property
    def has_failed(self) -> bool:
        return self.answer is not None and self.answer.startswith("Error")


def spoken(reply: Mapping[str, Any]) -> str:
    """What the model said besides calling tools."""
    return shortened(_text(reply.get("content") or ""))


def shown_calls(reply: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[ShownCall]:
    """The tool calls of a reply, each with its answer."""
    answers = {result.get("tool_call_id"): _text(result.get("content", "")) for result in results}
    calls = []
    for call in reply.get("tool_calls") or []:
        function = call.get("function") or {}
        answer = answers.get(call.get("id"))
        calls.append(
            ShownCall(
                name=_text(function.get("name", "")),
                arguments=_arguments(function.get("arguments", "")),
                answer=None if answer is None else shortened(answer),
            )
        )
    return calls


def shortened(text: str) -> str:
    """The beginning of a long text, with the count of what is left out."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n… {len(text) - LONGEST:,} more characters"


def _arguments(written: Any) -> dict[str, str]:
    try:
        arguments = json.loads(written) if isinstance(written, str) else written
    except (ValueError, RecursionError):
        arguments = written
    if not isinstance(arguments, dict):
        return {"arguments": shortened(_text(arguments))}
    return {str(name): shortened(_text(value)) for name, value in arguments.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
