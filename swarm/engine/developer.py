"""The developer loop: one attempt at one story, from the first message to the commit."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.utils.timezone import now

from swarm.chat.gateway import Caller, Completion, Phase, get_gateway
from swarm.chat.replies import ToolCall
from swarm.engine.errors import NoProgress, TokenBudgetExhausted, TooManyTurns
from swarm.engine.prompt import NUDGE, first_messages
from swarm.engine.tools import call_tool, tool_schemas
from swarm.engine.work import Work
from swarm.events.record import recording
from swarm.models import Activity, FileLock, Node, Turn
from swarm.workspace.paths import lock_key

MAX_TURNS = 100
MAX_SILENT_TURNS = 3


def develop(work: Work, lessons: list[str]) -> None:
    """Let the model work on the story until it is committed.

    `lessons` tell why earlier attempts failed. Raises what ends the attempt: errors of the gateway, `TooManyTurns`,
    `NoProgress`, `TokenBudgetExhausted`, `NodeTimedOut`, `DeadlockVictim`, `LockTimedOut`, `LockLost`, `Cancelled`.
    """
    messages = first_messages(
        story_path=work.story.path, story_text=work.story.text, paths=work.snapshot.list_files(), lessons=lessons
    )
    silent_turns = 0
    for number in range(1, MAX_TURNS + 1):
        messages += _news_of_paths(work)
        completion = _call_model(work, messages)
        answers = _take_turn(work, number, completion)
        if work.is_finished:
            return
        messages += [completion.reply.message, *answers]
        silent_turns = 0 if answers else silent_turns + 1
        if silent_turns == MAX_SILENT_TURNS:
            raise NoProgress(
                f"The model called no tool {MAX_SILENT_TURNS} times in a row: {completion.reply.text[:300]}"
            )
        if silent_turns:
            messages.append({"role": "user", "content": NUDGE})
    raise TooManyTurns(f"The story was not finished within {MAX_TURNS} turns; split it, or try a stronger model.")


def _call_model(work: Work, messages: list[dict[str, Any]]) -> Completion:
    _require_budget(work)
    request = {"model": settings.SWARM_CHAT_MODEL, "messages": messages, "tools": tool_schemas()}

    def book(phase: Phase) -> None:
        work.timesheet.enter(Activity(phase.activity), phase.detail)

    def tell_rate_limited(pause_s: float) -> None:
        with recording(work.execution.pk) as record:
            record("swarm:rate-limited", work.node, pause=pause_s)

    completion = get_gateway().complete(
        request,
        caller=Caller(execution=str(work.execution.pk), node=str(work.node.pk)),
        deadline_s=min(work.remaining_s(), settings.SWARM_CALL_TIMEOUT),
        cancellation=work.cancellation,
        on_phase=book,
        on_rate_limited=tell_rate_limited,
    )
    usage = completion.reply.usage
    work.node.add_usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
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


def _require_budget(work: Work) -> None:
    budget = work.execution.token_budget
    if budget is None:
        return
    used = Node.objects.filter(execution=work.execution).aggregate(
        tokens=Sum("prompt_tokens") + Sum("completion_tokens")
    )["tokens"]
    if used >= budget:
        raise TokenBudgetExhausted(f"The execution has used {used} of its {budget} tokens; start another with more.")


def _news_of_paths(work: Work) -> list[dict[str, Any]]:
    """Tell the model which of the paths that were held when it wanted them are free now."""
    if not work.awaited:
        return []
    keys = {lock_key(path): path for path in work.awaited}
    held = set(FileLock.objects.held(now()).filter(key__in=keys).values_list("key", flat=True))
    free = sorted(path for key, path in keys.items() if key not in held)
    work.awaited.difference_update(free)
    return [{"role": "user", "content": f"Free now: {', '.join(free)}. You can write there."}] if free else []
