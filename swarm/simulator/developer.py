"""Play a developer from what one chat-completions request holds.

A pure function: the story stands in the first user message, everything done so far in the messages after it, so any
number of nodes can be served, in any order, by any number of simulators, over any number of restarts. It knows the
tools by their names only and never looks at the workspace.

Normal play is four turns: read the files to change; change them; tick the tasks and run the checks; finish. A refused
change is made again, right after reading; one on a path that somebody holds, once nothing else is left to do. A call
that its tool did not understand is made again, rightly. Checks that fail bring in the story's mended version.
A story whose notes hold no steps (see `notes.py`) is looked at and then given up in plain text, without a tool call:
to call it finished would be a lie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from swarm.simulator.notes import Plan, Step, read_plan

GIVES_UP_AFTER = 3
"""Failures of one and the same call after which the developer gives up."""
GIVES_UP_WAITING_AFTER = 30
"""Refusals of one and the same call because another developer holds the path."""

_RETRY_AFTER_S = 1


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, with arguments that are JSON already."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """The assistant's next message."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.tool_calls else "stop"


@dataclass(frozen=True)
class TooManyRequests:
    """The story asks for a call that is turned away once."""

    retry_after_s: int


@dataclass(frozen=True)
class _Call:
    """A call of the conversation so far; `result` is None if the tool has not answered."""

    name: str
    arguments: dict[str, Any]
    result: str | None

    @property
    def path(self) -> str:
        return str(self.arguments.get("path", ""))

    @property
    def is_done(self) -> bool:
        return self.result is not None and not self.is_refused

    @property
    def is_refused(self) -> bool:
        return self._answers("Error")

    @property
    def is_held(self) -> bool:
        """The path is locked by another developer, who will let it go."""
        return self._answers("Error: path_held")

    @property
    def is_misspelt(self) -> bool:
        """It never reached a tool, so it tells nothing about its path."""
        return self._answers("Error: bad_arguments", "Error: unknown_tool")

    @property
    def has_failing_checks(self) -> bool:
        """The checks ran and failed: `finish` is refused then, while `run_checks` just tells so."""
        return self.name in ("finish", "run_checks") and self._answers("Error: checks_failed", "The checks failed")

    def _answers(self, *beginnings: str) -> bool:
        return self.result is not None and self.result.startswith(beginnings)


def reply_to(request: dict[str, Any], retry_count: int) -> Reply | TooManyRequests:
    """Decide what the developer says next.

    `request` is a chat-completions request whose messages are well-formed; `retry_count` says how often its sender
    has tried the very same request before.
    """
    messages: list[dict[str, Any]] = request["messages"]
    first_user_message = next((_text_of(message) for message in messages if message["role"] == "user"), "")
    plan = read_plan(first_user_message)
    turns = sum(message["role"] == "assistant" for message in messages)
    if plan.meets_rate_limit and turns == 1 and retry_count == 0:
        return TooManyRequests(_RETRY_AFTER_S)
    offered = {tool["function"]["name"] for tool in request.get("tools") or ()}
    text, steps = _Developer(plan, _calls_so_far(messages), offered).next_move()
    return Reply(text, tuple(_tool_calls(steps, messages)))


def _text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _calls_so_far(messages: Sequence[dict[str, Any]]) -> list[_Call]:
    results = {message.get("tool_call_id"): _text_of(message) for message in messages if message["role"] == "tool"}
    calls = []
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            calls.append(_Call(function["name"], _arguments_of(function["arguments"]), results.get(call["id"])))
    return calls


def _arguments_of(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _tool_calls(steps: Sequence[Step], messages: Sequence[dict[str, Any]]) -> Iterator[ToolCall]:
    """Number the calls by what led to them, so that no two of a conversation share an id."""
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:16]
    for index, step in enumerate(steps):
        yield ToolCall(f"call_{digest}{index:02}", step.tool, json.dumps(step.arguments, ensure_ascii=False))


class _Developer:
    """One look at the story and at what was done for it so far."""

    def __init__(self, plan: Plan, calls: Sequence[_Call], offered: set[str]) -> None:
        self._plan = plan
        self._calls = calls
        self._offered = offered

    def next_move(self) -> tuple[str, list[Step]]:
        """What to say, and which tools to call."""
        if not self._offered:
            return "I am Swarm's simulator, not a real model: I only play a developer who was given tools.", []
        if any(call.name == "finish" and call.is_done for call in self._calls):
            return "The story is finished.", []
        if reason := self._reason_to_give_up():
            return f"I give up: {reason}", []
        text, wanted = self._next_steps()
        if steps := [step for step in wanted if step.tool in self._offered]:
            return text, steps
        return "I give up: I was not given the tools that this story needs.", []

    def _reason_to_give_up(self) -> str:
        refused = [call for call in self._calls if call.is_refused]
        for call in refused:
            limit = GIVES_UP_WAITING_AFTER if call.is_held else GIVES_UP_AFTER
            if sum(_is_same_refusal(call, other) for other in refused) >= limit:
                return f"{call.name} {call.path} failed {limit} times. {call.result}"
        if not self._plan.draft and self._calls:
            return "the Dev Notes hold no implementation that the simulator can play."
        return ""

    def _next_steps(self) -> tuple[str, list[Step]]:
        undone = self._undone()
        unread = self._unread(undone)
        if not self._calls:
            return "I look at what is there first.", unread or [Step("list_files", {})]
        if undone:
            return "I make the changes.", unread + self._free(undone)
        if wrap_up := self._wrap_up():
            return "The changes are made. I tick the tasks and run the checks.", wrap_up
        return "Everything is in place.", [Step("finish", {"summary": self._summary()})]

    def _undone(self) -> list[Step]:
        """The steps that no call has made yet; those of the mended version once checks have failed."""
        mending = self._plan.mending if any(call.has_failing_checks for call in self._calls) else []
        done = [(call.name, call.arguments) for call in self._calls if call.is_done]
        return [step for step in (*self._plan.draft, *mending) if (step.tool, step.arguments) not in done]

    def _unread(self, undone: Sequence[Step]) -> list[Step]:
        """Reads of every path whose text is not known, or no longer: a refused change means that it moved on."""
        known = {step.path for step in undone if step.tool == "write_file"}
        for call in self._calls:
            if call.is_misspelt:
                continue
            if call.is_done or (call.name == "read_file" and call.is_refused):
                known.add(call.path)
            elif call.is_refused and not call.is_held:
                known.discard(call.path)
        paths = dict.fromkeys(step.path for step in undone if step.path not in known)
        return [Step("read_file", {"path": path}) for path in paths]

    def _free(self, undone: Sequence[Step]) -> list[Step]:
        """What can be changed now: paths that another developer was seen to hold come last."""
        held = {call.path: call.is_held for call in self._calls if call.name != "read_file"}
        return [step for step in undone if not held.get(step.path)] or list(undone)

    def _wrap_up(self) -> list[Step]:
        tried = [(call.name, call.arguments) for call in self._calls if not call.is_misspelt]
        steps = [Step("complete_task", {"number": number}) for number in self._plan.open_tasks]
        steps.append(Step("run_checks", {}))
        return [step for step in steps if (step.tool, step.arguments) not in tried and step.tool in self._offered]

    def _summary(self) -> str:
        paths = dict.fromkeys(step.path for step in (*self._plan.draft, *self._plan.mending))
        return f"{self._plan.title}: changed {', '.join(paths)}."


def _is_same_refusal(call: _Call, other: _Call) -> bool:
    return (call.name, call.arguments, call.is_held) == (other.name, other.arguments, other.is_held)
