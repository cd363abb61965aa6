from __future__ import annotations

import copy

import pytest

from swarm.simulator.developer import (
    GIVES_UP_AFTER,
    GIVES_UP_WAITING_AFTER,
    Reply,
    TooManyRequests,
    reply_to,
)
from tests.simulator.team import IMPLEMENTATION, MENDED, TOOLS, Conversation, answering, request_for, story

DONE = answering()
TICKS = ["complete_task", "complete_task"]
FAILED = "Error: checks_failed. `check` ended with exit status 1."


def test_a_story_takes_four_turns() -> None:
    chat = Conversation(story())
    assert chat.turn(DONE) == ["read_file src/a.py"]
    assert chat.turn(DONE) == ["edit_file src/a.py", "write_file src/b.py"]
    assert chat.turn(DONE) == [*TICKS, "run_checks"]
    assert chat.turn(DONE) == ["finish"]


def test_the_calls_hold_what_the_notes_say() -> None:
    chat = Conversation(story())
    chat.turn(DONE)
    chat.turn(DONE)
    assert chat.calls == [
        ("edit_file", {"path": "src/a.py", "old_text": "one = 1", "new_text": "one = 2"}),
        ("write_file", {"path": "src/b.py", "content": "two = 2\n"}),
    ]
    chat.turn(DONE)
    assert [arguments for _, arguments in chat.calls] == [{"number": 1}, {"number": 2}, {}]
    chat.turn(DONE)
    assert chat.calls == [("finish", {"summary": "Story 1.1: Count further: changed src/a.py, src/b.py."})]


def test_a_story_that_only_adds_files_starts_with_a_look_around() -> None:
    chat = Conversation(story("### Implementation\n\nCreate `b.py`:\n\n```\nb\n```\n"))
    assert [chat.turn(DONE)[0] for _ in range(4)] == ["list_files", "write_file b.py", "complete_task", "finish"]


def test_a_file_is_deleted() -> None:
    chat = Conversation(story("### Implementation\n\nDelete `old.py`.\n"))
    assert chat.turn(DONE) == ["read_file old.py"]
    assert chat.turn(DONE) == ["delete_file old.py"]


def test_only_open_tasks_are_ticked() -> None:
    chat = Conversation(story(tasks="- [x] First\n- [ ] Second\n  - [ ] Subtask\n"))
    chat.turn(DONE)
    chat.turn(DONE)
    chat.turn(DONE)
    assert chat.calls == [("complete_task", {"number": 2}), ("run_checks", {})]


def test_a_file_that_another_story_changed_is_read_again_and_edited_again() -> None:
    chat = Conversation(story())
    chat.turn(DONE)
    assert chat.turn(answering(edit_file="Error: file_changed. Another story has changed src/a.py.")) == [
        "edit_file src/a.py",
        "write_file src/b.py",
    ]
    assert chat.turn(DONE) == ["read_file src/a.py", "edit_file src/a.py"]
    assert chat.turn(DONE) == [*TICKS, "run_checks"]


def test_a_held_path_is_left_for_later_and_tried_again() -> None:
    chat = Conversation(story(IMPLEMENTATION + "\nDelete `src/c.py`.\n"))
    held = answering(write_file="Error: path_held. developer-2 holds src/b.py.")
    chat.turn(DONE)
    assert chat.turn(held) == ["edit_file src/a.py", "write_file src/b.py", "delete_file src/c.py"]
    assert chat.turn(held) == ["write_file src/b.py"]
    assert chat.turn(DONE) == ["write_file src/b.py"]
    assert chat.turn(DONE) == [*TICKS, "run_checks"]


def test_a_held_path_waits_until_the_free_ones_are_changed() -> None:
    chat = Conversation(story())

    def tools(name: str, arguments: dict[str, str]) -> str:
        if name == "edit_file":
            return "Error: path_held. developer-2 holds src/a.py."
        return "Error: file_changed. Read src/b.py again." if name == "write_file" else "Done."

    chat.turn(DONE)
    chat.turn(tools)
    assert chat.turn(DONE) == ["read_file src/b.py", "write_file src/b.py"]
    assert chat.turn(DONE) == ["edit_file src/a.py"]


@pytest.mark.parametrize("answer", [FAILED, "The checks failed.\nFAIL: test_one"])
def test_failing_checks_bring_in_the_mended_version(answer: str) -> None:
    chat = Conversation(story(IMPLEMENTATION + MENDED))
    chat.turn(DONE)
    chat.turn(DONE)
    chat.turn(answering(run_checks=answer))
    assert chat.turn(DONE) == ["edit_file src/a.py"]
    assert chat.calls == [("edit_file", {"path": "src/a.py", "old_text": "one = 2", "new_text": "one = 3"})]
    assert chat.turn(DONE) == ["finish"]


def test_a_finish_that_is_refused_for_failing_checks_brings_in_the_mended_version() -> None:
    chat = Conversation(story(IMPLEMENTATION + MENDED), tools=tuple(name for name in TOOLS if name != "run_checks"))
    chat.turn(DONE)
    chat.turn(DONE)
    assert chat.turn(DONE) == TICKS
    assert chat.turn(answering(finish=FAILED)) == ["finish"]
    assert chat.turn(DONE) == ["edit_file src/a.py"]
    assert chat.turn(DONE) == ["finish"]


def test_a_mended_version_in_another_file_reads_that_file_first() -> None:
    chat = Conversation(story(IMPLEMENTATION + MENDED.replace("src/a.py", "src/c.py")))
    chat.turn(DONE)
    chat.turn(DONE)
    chat.turn(answering(run_checks=FAILED))
    assert chat.turn(DONE) == ["read_file src/c.py", "edit_file src/c.py"]


def test_the_mended_version_is_not_used_while_the_checks_pass() -> None:
    chat = Conversation(story(IMPLEMENTATION + MENDED))
    assert [chat.turn(answering(run_checks="The checks passed.")) for _ in range(4)][3] == ["finish"]


def test_it_finishes_again_after_failing_checks_without_a_mended_version_until_it_gives_up() -> None:
    chat = Conversation(story())
    for _ in range(3):
        chat.turn(DONE)
    for _ in range(GIVES_UP_AFTER):
        assert chat.turn(answering(finish=FAILED)) == ["finish"]
    assert chat.turn(DONE) == []
    assert "checks_failed" in chat.said


def test_it_gives_up_an_edit_that_fails_again_and_again() -> None:
    chat = Conversation(story())
    chat.turn(DONE)
    for _ in range(GIVES_UP_AFTER):
        assert "edit_file src/a.py" in chat.turn(answering(edit_file="Error: edit_not_unique. It occurs 0 times."))
    assert chat.turn(DONE) == []
    assert "edit_file src/a.py failed 3 times" in chat.said


def test_it_waits_longer_for_a_path_that_is_held() -> None:
    chat = Conversation(story())
    chat.turn(DONE)
    for _ in range(GIVES_UP_WAITING_AFTER):
        assert "edit_file src/a.py" in chat.turn(answering(edit_file="Error: path_held. Held by developer-2."))
    assert chat.turn(DONE) == []


@pytest.mark.parametrize(
    "answer", ["Error: bad_arguments. path: Field required.", "Error: unknown_tool. There is none."]
)
def test_a_call_that_was_not_understood_is_made_again(answer: str) -> None:
    for turn in range(4):
        chat = Conversation(story())
        for _ in range(turn):
            chat.turn(DONE)
        chat.turn(DONE)
        wrong, *right = chat.calls
        _misspell(chat, answer)
        chat.turn(DONE)
        assert wrong in chat.calls, f"turn {turn}"
        assert not [call for call in chat.calls if call in right]


def test_it_gives_up_when_nothing_that_it_calls_is_understood() -> None:
    chat = Conversation(story("### Implementation\n\nCreate `b.py`:\n\n```\nb\n```\n"))
    called = []
    while names := chat.turn(DONE):
        called += names
        _misspell(chat, "Error: bad_arguments. The arguments are not JSON.")
    assert called == ["list_files", *GIVES_UP_AFTER * ["write_file b.py"]]


def test_a_call_without_an_answer_is_made_again() -> None:
    chat = Conversation(story())
    chat.turn(DONE)
    calls = chat.turn(DONE)
    chat.request["messages"] = [message for message in chat.request["messages"] if message["role"] != "tool"]
    assert chat.turn(DONE) == ["read_file src/a.py", *calls]


def test_an_empty_file_counts_as_read() -> None:
    chat = Conversation(story())
    chat.turn(answering(read_file=""))
    assert chat.turn(DONE) == ["edit_file src/a.py", "write_file src/b.py"]


@pytest.mark.parametrize("arguments", ["no JSON", "[]", '"text"'])
def test_earlier_calls_with_unreadable_arguments_are_no_obstacle(arguments: str) -> None:
    request = request_for(story())
    call = {"id": "call_1", "type": "function", "function": {"name": "edit_file", "arguments": arguments}}
    request["messages"].append({"role": "assistant", "content": None, "tool_calls": [call]})
    reply = reply_to(request, 0)
    assert isinstance(reply, Reply)
    assert [call.name for call in reply.tool_calls] == ["read_file", "edit_file", "write_file"]


def test_a_story_without_steps_is_looked_at_and_given_up_in_plain_text() -> None:
    chat = Conversation(story("- Think of the users.\n"))
    assert chat.turn(DONE) == ["list_files"]
    assert chat.turn(DONE) == []
    assert "Dev Notes" in chat.said


def test_without_the_tools_it_needs_it_gives_up() -> None:
    chat = Conversation(story(), tools=("search",))
    assert chat.turn(DONE) == []


def test_without_tools_it_says_that_it_is_no_model() -> None:
    reply = reply_to({"messages": [{"role": "user", "content": "Hello"}]}, 0)
    assert reply == Reply("I am Swarm's simulator, not a real model: I only play a developer who was given tools.")


def test_text_may_come_in_parts() -> None:
    request = request_for(story())
    content = request["messages"][1]["content"]
    request["messages"][1]["content"] = [
        {"type": "text", "text": content[:100]},
        {"type": "text", "text": content[100:]},
    ]
    reply = reply_to(request, 0)
    assert isinstance(reply, Reply)
    assert [call.arguments for call in reply.tool_calls] == ['{"path": "src/a.py"}']


def test_a_marked_story_meets_a_429_on_its_second_call_unless_that_is_a_retry() -> None:
    chat = Conversation(story("<!-- simulator: 429 -->\n\n" + IMPLEMENTATION))
    assert isinstance(reply_to(chat.request, 0), Reply)
    chat.turn(DONE)
    assert reply_to(chat.request, 0) == TooManyRequests(retry_after_s=1)
    assert isinstance(reply_to(chat.request, 1), Reply)
    chat.turn(DONE)
    assert isinstance(reply_to(chat.request, 0), Reply)


def test_the_same_request_gets_the_same_reply_and_is_left_as_it_is() -> None:
    chat = Conversation(story())
    chat.turn(DONE)
    before = copy.deepcopy(chat.request)
    assert reply_to(chat.request, 0) == reply_to(copy.deepcopy(chat.request), 0)
    assert chat.request == before


def test_no_two_calls_of_a_conversation_share_an_id() -> None:
    chat = Conversation(story())
    for _ in range(4):
        chat.turn(DONE)
    ids = [call["id"] for message in chat.request["messages"] for call in message.get("tool_calls", ())]
    assert len(ids) == len(set(ids)) == 7


def _misspell(chat: Conversation, answer: str) -> None:
    """Make the first call of the last turn one that its tool did not understand."""
    turn = max(n for n, message in enumerate(chat.request["messages"]) if message["role"] == "assistant")
    chat.request["messages"][turn]["tool_calls"][0]["function"]["arguments"] = "{"
    chat.request["messages"][turn + 1]["content"] = answer
