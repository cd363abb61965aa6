"""A node whose process dies or stops goes on where it was: nothing is asked of the model twice, nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils.timezone import now

from swarm.chat.gateway import Completion
from swarm.chat.replies import ChatReply, Usage
from swarm.engine import developer
from swarm.engine.conversation import Conversation
from swarm.engine.executor import executor
from swarm.engine.lifecycle import cancel, dispatch, retry, shut_down
from swarm.engine.recovery import dispatch_orphans
from swarm.engine.tools import call_tool
from swarm.engine.work import Work
from swarm.models import Activity, Call, Conflict, Event, Execution, FileLock, Node, Period, Turn, WrongStatus
from swarm.workspace.integration import advance_branch
from swarm.workspace.repository import Repository
from tests.chat.server import Exchange, completion
from tests.engine.dying import Killed, bury_the_dead, put_back_all_lost, see_through
from tests.factories import make_execution, make_node, wait_until
from tests.locks.actions import claim, let_lease_run_out
from tests.main_job import MainJob, call_tools, node_of, play, report_of
from tests.workspace.repositories import commit_on

Tool = Callable[[Work, str, dict[str, Any]], str]


def lengths(main_job: MainJob) -> list[int]:
    """How many messages each call to the model held, in order."""
    return [len(request.body["messages"]) for request in main_job.model.received]


def change_of(main_job: MainJob) -> str:
    """What the newest execution's one story changed."""
    [commit] = main_job.commits(report_of(Execution.objects.first()))  # type: ignore[arg-type]
    return Repository.open(main_job.workspace).diff(str(commit.parent_ids[0]), str(commit.id))


def die_once_at(is_there: Callable[[str], bool], *, is_done: bool) -> Tool:
    """Tools at each of whose calls, of the names that are meant, the process dies once: before or after it is done."""
    died: set[str] = set()

    def call(work: Work, name: str, arguments: dict[str, Any]) -> str:
        key = json.dumps([name, arguments])
        dies = is_there(name) and key not in died
        died.add(key)
        if dies and not is_done:
            raise Killed
        answer = call_tool(work, name, arguments)
        if dies:
            raise Killed
        return answer

    return call


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_node_that_dies_at_each_of_its_tool_calls_asks_the_model_nothing_twice_and_makes_the_same_commit(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    main_job.run("2.3")
    undisturbed, calls = change_of(main_job), lengths(main_job)
    main_job.model.received.clear()
    monkeypatch.setattr(developer, "call_tool", die_once_at(lambda name: True, is_done=is_done))

    execution = main_job.start("2.3")
    deaths = see_through(execution)

    node = node_of(report_of(execution), "2.3")
    assert (node["status"], node["attempt"]) == (Node.Status.COMPLETED, deaths + 1)
    assert deaths >= 5
    assert lengths(main_job) == calls
    assert change_of(main_job) == undisturbed
    assert not FileLock.objects.held(now()).exists()


@pytest.mark.parametrize("is_answered", [False, True], ids=["before the answer", "after it"])
def test_a_node_that_dies_at_each_of_its_calls_pays_for_the_one_in_flight_again_and_for_no_other(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch, is_answered: bool
) -> None:
    call_model, died = developer._call_model, set()

    def call(work: Work, conversation: Conversation) -> Any:
        is_first = conversation.next_number not in died
        died.add(conversation.next_number)
        if is_first and not is_answered:
            raise Killed
        answer = call_model(work, conversation)
        if is_first:
            raise Killed
        return answer

    monkeypatch.setattr(developer, "_call_model", call)

    execution = main_job.start("2.3")
    deaths = see_through(execution)

    assert node_of(report_of(execution), "2.3")["status"] == Node.Status.COMPLETED
    assert deaths == Turn.objects.count()
    each = sorted(set(lengths(main_job)))
    assert lengths(main_job) == (sorted(2 * each) if is_answered else each)


def test_a_node_whose_process_stops_in_the_middle_of_a_call_sends_the_very_same_one_again(main_job: MainJob) -> None:
    is_stopped = threading.Event()

    def hang_at_the_second(exchange: Exchange) -> None:
        if len(exchange.request.body["messages"]) > 2 and not is_stopped.is_set():
            main_job.model.is_closing.wait(120)
        play(exchange)

    main_job.behaviours["2.3"] = hang_at_the_second
    execution = main_job.start("2.3")
    wait_until(lambda: len(main_job.model.received) == 2 and main_job.model.in_flight == 1)

    shut_down()
    is_stopped.set()
    node = Node.objects.get()
    assert (node.status, node.lease_expires_at) == (Node.Status.PENDING, None)
    executor.open()
    dispatch_orphans()
    executor.drain()

    second, again = (request.body for request in main_job.model.received[1:3])
    assert second == again
    done = node_of(report_of(execution), "2.3")
    assert (done["status"], done["attempt"], done["max_attempts"]) == (Node.Status.COMPLETED, 2, 4)
    assert list(Turn.objects.values_list("attempt", "number")) == [(1, 1), (2, 2), (2, 3), (2, 4)]
    assert Call.objects.filter(number=2).count() == 2


def interrupted(main_job: MainJob, monkeypatch: pytest.MonkeyPatch, story: str = "2.3") -> Node:
    """A node whose process died when it had written and was about to go on; it is back in the queue."""
    with monkeypatch.context() as patch:
        patch.setattr(developer, "call_tool", die_once_at(lambda name: name == "complete_task", is_done=False))
        main_job.start(story)
        executor.drain()
        assert bury_the_dead() == 1
    node = Node.objects.get()
    assert node.status == Node.Status.PENDING
    assert node.files
    return node


def finish(node: Node) -> Node:
    dispatch(node.execution_id)
    executor.drain()
    node.refresh_from_db()
    assert node.status == Node.Status.COMPLETED
    return node


def why_it_began_anew(node: Node) -> str:
    """What the event tells, the model was told too."""
    event = Event.objects.get(type="swarm:node-retrying", data__error__code="cannot_resume")
    message: str = event.data["error"]["message"]
    [opening] = Turn.objects.filter(node=node, attempt=2, number=1).values_list("added", flat=True)
    assert message in opening[0]["content"]
    return message


def test_claims_are_kept_while_nobody_runs_a_node(main_job: MainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    node = interrupted(main_job, monkeypatch)
    held = FileLock.objects.held(now()).get()
    assert (held.node, [held.path]) == (node, node.files)
    token = held.token

    finish(node)

    assert not Event.objects.filter(data__error__code="cannot_resume").exists()
    assert Event.objects.filter(type="file:locked", data__token=token).count() == 1
    assert Event.objects.filter(type="file:locked").count() == 1


def test_a_claim_that_ran_out_is_taken_again_if_nobody_has_changed_the_path(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch)
    let_lease_run_out(node.files[0])

    finish(node)

    assert not Event.objects.filter(data__error__code="cannot_resume").exists()
    assert Turn.objects.filter(number=1).count() == 1


def test_a_node_begins_anew_if_another_holds_one_of_its_paths(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch)
    let_lease_run_out(node.files[0])
    other = make_node(make_execution())
    claim(other, node.files[0])
    dispatch(node.execution_id)
    wait_until(lambda: other.locks.get().conflicts.waiting().exists())
    Node.objects.filter(pk=other.pk).update(status=Node.Status.COMPLETED)
    let_lease_run_out(node.files[0])

    finish(node)

    assert f"A claim ran out while nobody ran the node; {node.files[0]} is held by" in why_it_began_anew(node)


def test_a_node_begins_anew_if_another_story_has_changed_one_of_its_paths(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch, "1.1")
    [path] = node.files
    let_lease_run_out(path)
    repository, branch = Repository.open(main_job.workspace), node.execution.branch
    head = repository.branch_head(branch)
    other = commit_on(repository, head, {path: (repository.read_file(head, path) or b"") + b"\n# More.\n"})
    advance_branch(repository, branch, expected=head, commit=other)

    finish(node)

    assert "another story changed it" in why_it_began_anew(node)
    assert "# More." in main_job.file(report_of(node.execution), path)


def test_a_node_begins_anew_if_its_model_has_changed(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    node = interrupted(main_job, monkeypatch)
    settings.SWARM_CHAT_MODEL = "another"

    finish(node)

    assert "have changed since" in why_it_began_anew(node)


def test_a_node_begins_anew_if_git_has_dropped_what_it_had_written(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch)
    [*_, state] = Turn.objects.exclude(state=None).values_list("state", flat=True)
    for name in state["changes"].values():  # type: ignore[index]
        (main_job.workspace / ".git" / "objects" / name[:2] / name[2:]).unlink()

    finish(node)

    assert "is gone" in why_it_began_anew(node)


def test_what_a_process_taken_for_dead_gets_as_a_reply_does_not_get_into_the_conversation(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch)
    late = Conversation.recorded(Node.objects.get())
    Node.objects.update(status=Node.Status.RUNNING, attempt=2)
    turns = list(Turn.objects.values())

    with pytest.raises(WrongStatus):
        late.take(Completion(ChatReply({"role": "assistant"}, (), "", "stop", Usage(), "m"), 0, 0, 0, 0))
    late.answer(late.turns[-1], [{"role": "tool", "content": "late"}], {})

    assert list(Turn.objects.values()) == turns
    assert node.attempt == 1


def test_a_node_that_was_put_back_is_taken_up_before_fresh_ones_so_that_those_who_wait_for_it_end(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.2 and 1.3 may start once 1.1 is done, and want the path of 2.3, which comes behind them and has died."""
    has_died = threading.Event()

    def die(work: Work, conversation: Conversation) -> None:
        if work.story.id == "2.3" and conversation.turns and not has_died.is_set():
            has_died.set()
            raise Killed

    def write_then_fail(exchange: Exchange) -> None:
        if len(exchange.request.body["messages"]) == 2:
            call_tools(exchange, ("write_file", json.dumps({"path": "shared.py", "content": "x = 1\n"})))
        else:
            exchange.send(400, {"error": {"message": "enough"}})

    def play_later(exchange: Exchange) -> None:
        has_died.wait(60)
        play(exchange)

    monkeypatch.setattr(developer, "_refuse_to_go_on", die)
    main_job.behaviours = dict.fromkeys(("1.2", "1.3", "2.3"), write_then_fail)
    main_job.behaviours["1.1"] = play_later
    with monkeypatch.context() as patch:
        patch.setattr(executor, "submit", lambda run, node_id: None)
        execution = main_job.start(
            "1.1", "1.2", "1.3", "2.3", developers=2, depends_on={"1.2": ["1.1"], "1.3": ["1.1"]}
        )
    Node.objects.filter(story_id="2.3").update(number=9)
    dispatch(execution.pk)
    wait_until(lambda: Conflict.objects.waiting().exists())

    Node.objects.filter(story_id="2.3").update(lease_expires_at=now() - timedelta(seconds=1))
    assert put_back_all_lost() == 1
    dispatch_orphans()
    executor.drain()

    started = Event.objects.filter(type="swarm:node-started").order_by("seq")
    assert [event.data["story"] for event in started] == ["1.1", "2.3", "1.2", "2.3", "1.3"]
    assert report_of(execution)["progress"] == {"completed": 1, "failed": 3, "cancelled": 0, "total": 4}


def test_a_retry_from_the_last_good_turn_keeps_what_was_done_and_leaves_out_what_led_nowhere(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk_in_the_end(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            exchange.send(200, completion("I am tired."))
        else:
            play(exchange)

    main_job.behaviours["1.1"] = talk_in_the_end
    failed = main_job.run("1.1", max_attempts=1)
    assert node_of(failed, "1.1")["error"]["code"] == "no_progress"  # type: ignore[index]
    main_job.behaviours.clear()
    calls = len(main_job.model.received)

    execution = retry(failed["id"], resume=True)
    executor.drain()

    node = node_of(report_of(execution), "1.1")
    assert (node["status"], node["attempt"]) == (Node.Status.COMPLETED, 2)
    assert list(Turn.objects.values_list("attempt", "number", "is_set_aside")) == [
        (1, 1, False), (1, 2, False), (1, 3, True), (1, 4, True), (1, 5, True), (2, 6, False), (2, 7, False),
    ]  # fmt: skip
    first = main_job.model.received[calls].body["messages"]
    assert "I am tired." not in str(first[:-1])
    assert "The model called no tool 3 times" in first[-1]["content"]
    assert "edit_file" not in str([turn.reply for turn in Turn.objects.filter(attempt=2)])


def test_a_retry_from_the_start_knows_what_the_earlier_attempts_did(main_job: MainJob) -> None:
    def fail_behind_a_change(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            exchange.send(400, {"error": {"message": "enough"}})
        else:
            play(exchange)

    main_job.behaviours["1.1"] = fail_behind_a_change
    failed = main_job.run("1.1")
    main_job.behaviours.clear()
    calls = len(main_job.model.received)

    execution = retry(failed["id"])
    executor.drain()

    assert report_of(execution)["status"] == Execution.Status.COMPLETED
    _, opening = main_job.model.received[calls].body["messages"]
    assert "It had changed larder/units.py." in opening["content"]


def test_a_cancelled_node_that_was_put_back_gives_its_claims_up(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch)

    cancel(node.execution_id)

    assert report_of(node.execution)["status"] == Execution.Status.CANCELLED
    assert not FileLock.objects.held(now()).exists()


def test_only_the_time_in_which_somebody_ran_a_node_counts_against_its_own(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = interrupted(main_job, monkeypatch)
    Node.objects.update(started_at=now() - timedelta(days=3))
    Period.objects.update(started_at=now() - timedelta(days=3))

    finish(node)


def let_seconds_pass(seconds: int) -> None:
    """Move what was booked so far back in time."""
    Node.objects.update(started_at=F("started_at") - timedelta(seconds=seconds))
    Period.objects.update(started_at=F("started_at") - timedelta(seconds=seconds))


def test_a_story_that_kills_every_process_that_runs_it_ends_with_its_time(
    main_job: MainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(work: Work, name: str, arguments: dict[str, Any]) -> str:
        work.timesheet.enter(Activity.USING_TOOL, name)
        raise Killed

    monkeypatch.setattr(developer, "call_tool", die)
    execution = main_job.start("2.3", node_timeout=100)
    while True:
        executor.drain()
        node = Node.objects.get()
        if not node.is_active:
            break
        let_seconds_pass(15)
        assert bury_the_dead() == 1
        dispatch_orphans()

    assert node_of(report_of(execution), "2.3")["error"]["code"] == "node_timeout"  # type: ignore[index]
    assert 5 < node.attempt < 10
