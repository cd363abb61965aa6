"""The developer loop: one attempt at one story, from the first message to the commit."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.timezone import now

from swarm.chat.gateway import Caller, Completion
from swarm.chat.replies import ToolCall
from swarm.engine.accounts import accounted_call
from swarm.engine.errors import NoProgress, TooManyTurns, UnusableCalls
from swarm.engine.loops import Exchange, exchanges_of, warn_of_loop
from swarm.engine.model_client import model_door
from swarm.engine.prompt import NUDGE, first_messages
from swarm.engine.tools import call_tool, tool_schemas
from swarm.engine.work import Work
from swarm.models import FileLock, Turn
from swarm.workspace.paths import lock_key

MAX_TURNS = 100
MAX_SILENT_TURNS = 3
MAX_UNUSABLE_TURNS = 5


def develop(work: Work, lessons: list[str]) -> None:
    """Let the model work on the story until it is committed.

    `lessons` tell why earlier attempts failed. Raises what ends the attempt: errors of the gateway, `TooManyTurns`,
    `NoProgress`, `UnusableCalls`, `Looping`, `TokenBudgetExhausted`, `NodeTimedOut`, `DeadlockVictim`,
    `LockTimedOut`, `LockLost`, `Cancelled`.
    """
    messages = first_messages(
        story_path=work.story.path, story_text=work.story.text, paths=work.snapshot.list_files(), lessons=lessons
    )
    silent_turns = unusable_turns = 0
    turns: list[list[Exchange]] = []
    for number in range(1, MAX_TURNS + 1):
        work.cancellation.pass_safe_point()
        messages += _news_of_paths(work)
        completion = _call_model(work, number, messages)
        answers = _take_turn(work, number, completion)
        if work.is_finished:
            return
        messages += [completion.reply.message, *answers]
        silent_turns = 0 if answers else silent_turns + 1
        if silent_turns == MAX_SILENT_TURNS:
            raise NoProgress(
                f"The model called no tool {MAX_SILENT_TURNS} times in a row: {completion.reply.text[:300]}"
            )
        unusable_turns = unusable_turns + 1 if answers and all(map(_is_unusable, answers)) else 0
        if unusable_turns == MAX_UNUSABLE_TURNS:
            raise UnusableCalls(
                f"No call could be read {MAX_UNUSABLE_TURNS} turns in a row: {answers[-1]['content'][:300]}"
            )
        turns.append(exchanges_of(completion.reply.message, answers))
        if warning := warn_of_loop(turns):
            messages.append({"role": "user", "content": warning})
        if silent_turns:
            messages.append({"role": "user", "content": NUDGE})
    raise TooManyTurns(f"The story was not finished within {MAX_TURNS} turns; split it, or try a stronger model.")


def _call_model(work: Work, number: int, messages: list[dict[str, Any]]) -> Completion:
    request = {"model": settings.SWARM_CHAT_MODEL, "messages": messages, "tools": tool_schemas()}
    with accounted_call(work, number, request) as call:
        completion = model_door.client().complete(
            call.request,
            caller=Caller(
                execution=str(work.execution.pk),
                node=str(work.node.pk),
                is_finishing=work.count_done() == work.story.tasks_total,
            ),
            deadline_s=min(work.remaining_s(), settings.SWARM_CALL_TIMEOUT),
            cancellation=work.cancellation,
            on_phase=call.enter,
            on_rate_limited=call.tell_rate_limited,
        )
        call.settle(completion)
    return completion


def _take_turn(work: Work, number: int, completion: Completion) -> list[dict[str, Any]]:
    """Do what the reply asks for; the reply is recorded before its tools have any effect."""
    reply = completion.reply
    turn = Turn.objects.create(
        node=work.node,
        attempt=work.node.attempt,
        number=number,
        reply=reply.message,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        queued_s=completion.queued_s,
        upstream_s=completion.upstream_s,
    )
    answers: list[dict[str, Any]] = []
    for call in reply.tool_calls:
        if not work.is_finished:
            answers.append({"role": "tool", "tool_call_id": call.id, "content": _answer(work, call)})
    Turn.objects.filter(pk=turn.pk).update(results=answers)
    return answers


def _answer(work: Work, call: ToolCall) -> str:
    work.cancellation.raise_if_cancelled()
    work.remaining_s()
    if call.arguments is None:
        return f"Error: bad_arguments. {call.arguments_error}"
    return call_tool(work, call.name, call.arguments)


def _is_unusable(answer: dict[str, Any]) -> bool:
    return str(answer["content"]).startswith(("Error: bad_arguments.", "Error: unknown_tool."))


def _news_of_paths(work: Work) -> list[dict[str, Any]]:
    """Tell the model which of the paths that were held when it wanted them are free now."""
    if not work.awaited:
        return []
    keys = {lock_key(path): path for path in work.awaited}
    held = set(FileLock.objects.held(now()).filter(key__in=keys).values_list("key", flat=True))
    free = sorted(path for key, path in keys.items() if key not in held)
    work.awaited.difference_update(free)
    return [{"role": "user", "content": f"Free now: {', '.join(free)}. You can write there."}] if free else []
