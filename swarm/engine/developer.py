"""The developer loop: one attempt at one story, from where its conversation stands to the commit."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.timezone import now

from swarm.chat.gateway import Caller, Completion
from swarm.chat.replies import ToolCall, read_tool_calls
from swarm.engine.accounts import accounted_call
from swarm.engine.conversation import Conversation
from swarm.engine.errors import NoProgress, TooManyTurns, UnusableCalls
from swarm.engine.loops import exchanges_of, warn_of_loop
from swarm.engine.model_client import model_door
from swarm.engine.prompt import NUDGE
from swarm.engine.resume import keep
from swarm.engine.tools import call_tool
from swarm.engine.work import Work
from swarm.models import FileLock, Turn
from swarm.workspace.paths import lock_key

MAX_TURNS = 100
MAX_SILENT_TURNS = 3
MAX_UNUSABLE_TURNS = 5


def develop(work: Work, conversation: Conversation) -> None:
    """Let the model work on the story until it is committed.

    Raises what ends the attempt: errors of the gateway, `TooManyTurns`, `NoProgress`, `UnusableCalls`, `Looping`,
    `TokenBudgetExhausted`, `NodeTimedOut`, `DeadlockVictim`, `LockTimedOut`, `LockLost`, `Cancelled`, `WrongStatus`.
    """
    if conversation.unanswered:
        _answer(work, conversation, conversation.unanswered)
    while not work.is_finished:
        work.cancellation.pass_safe_point()
        _refuse_to_go_on(work, conversation)
        conversation.add(*_warning(conversation), *_nudge(conversation), *_news_of_paths(work))
        conversation.take(_call_model(work, conversation))
        _answer(work, conversation, conversation.turns[-1])


def _refuse_to_go_on(work: Work, conversation: Conversation) -> None:
    """End an attempt that does not come to anything."""
    if conversation.count_last(lambda turn: turn.is_silent) >= MAX_SILENT_TURNS:
        said = str(conversation.turns[-1].reply.get("content") or "")
        raise NoProgress(f"The model called no tool {MAX_SILENT_TURNS} times in a row: {said[:300]}")
    if conversation.count_last(lambda turn: turn.is_unusable) >= MAX_UNUSABLE_TURNS:
        answer = conversation.turns[-1].results[-1]["content"]
        raise UnusableCalls(f"No call could be read {MAX_UNUSABLE_TURNS} turns in a row: {answer[:300]}")
    started_at = work.node.started_at
    if started_at and conversation.count_since(started_at) >= MAX_TURNS:
        raise TooManyTurns(f"The story was not finished within {MAX_TURNS} turns; split it, or try a stronger model.")


def _call_model(work: Work, conversation: Conversation) -> Completion:
    with accounted_call(work, conversation.next_number, conversation.request()) as call:
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


def _answer(work: Work, conversation: Conversation, turn: Turn) -> None:
    """Do what a recorded reply asks for."""
    work.turn = turn.number
    answers: list[dict[str, Any]] = []
    for call in read_tool_calls(turn.reply):
        if not work.is_finished:
            answers.append({"role": "tool", "tool_call_id": call.id, "content": _do(work, call)})
    conversation.answer(turn, answers, keep(work))


def _do(work: Work, call: ToolCall) -> str:
    work.cancellation.raise_if_cancelled()
    work.remaining_s()
    if call.arguments is None:
        return f"Error: bad_arguments. {call.arguments_error}"
    return call_tool(work, call.name, call.arguments)


def _warning(conversation: Conversation) -> list[str]:
    """What is to be said of a repetition. Raises `Looping`."""
    warning = warn_of_loop(exchanges_of(turn.reply, turn.results) for turn in conversation.turns)
    return [warning] if warning else []


def _nudge(conversation: Conversation) -> list[str]:
    return [NUDGE] if conversation.count_last(lambda turn: turn.is_silent) else []


def _news_of_paths(work: Work) -> list[str]:
    """Tell the model which of the paths that were held when it wanted them are free now."""
    if not work.awaited:
        return []
    keys = {lock_key(path): path for path in work.awaited}
    held = set(FileLock.objects.held(now()).filter(key__in=keys).values_list("key", flat=True))
    free = sorted(path for key, path in keys.items() if key not in held)
    work.awaited.difference_update(free)
    return [f"Free now: {', '.join(free)}. You can write there."] if free else []
