"""What a whole node does when a path is held: it waits as long as it may, or is told, and again when it is free."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.contrib.auth.models import User

from swarm.locks.people import lock_path, unlock_path
from swarm.models import Conflict, Event, Node
from tests.chat.server import Exchange
from tests.factories import PATIENCE_S, wait_until
from tests.main_job import MainJob, call_tools, node_of, play, story_of

PATH = "larder/units.py"  # stories 1.1 and 1.2 both change it


def test_a_node_waits_for_a_path_no_longer_than_is_set_and_tries_again(main_job: MainJob, settings: Any) -> None:
    settings.SWARM_LOCK_WAIT = 0.05
    held = threading.Event()

    def hold_until_the_other_gave_up(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            held.set()
            wait_until(lambda: Event.objects.filter(type="swarm:node-retrying").exists())
        play(exchange)

    def come_second(exchange: Exchange) -> None:
        assert held.wait(PATIENCE_S)
        play(exchange)

    main_job.behaviours = {"1.1": come_second, "1.2": hold_until_the_other_gave_up}

    execution = main_job.run("1.1", "1.2", max_attempts=20)

    error = Event.objects.filter(type="swarm:node-retrying").order_by("seq")[0].data["error"]
    assert error["code"] == "lock_timeout"
    assert error["message"].startswith(f"{PATH} stayed held by developer-2 on story 1.2 for 0 s")
    assert "SWARM_LOCK_WAIT" in error["message"]
    assert Conflict.objects.order_by("id")[0].outcome == Conflict.Outcome.TIMED_OUT
    assert {node_of(execution, story)["status"] for story in ("1.1", "1.2")} == {Node.Status.COMPLETED}


def test_of_two_nodes_that_are_told_that_a_path_is_free_the_slower_one_is_refused_and_told_again(
    main_job: MainJob, operator: User
) -> None:
    lock_path(operator, PATH, reason="release", ttl_s=3600)
    both_are_told = threading.Barrier(2)

    def write_when_told(exchange: Exchange) -> None:
        refused = said(exchange, "Error: path_held.")
        told = said(exchange, f"Free now: {PATH}.")
        if refused and len(told) == 1 == len(refused) and exchange.request.body["messages"][-1] == told[0]:
            both_are_told.wait(PATIENCE_S)
        if len(refused) > len(told):
            time.sleep(0.05)  # the model thinks; it has 100 turns
            call_tools(exchange, ("list_files", "{}"))
        else:
            play(exchange)

    main_job.behaviours = {"1.1": write_when_told, "1.2": write_when_told}

    execution = main_job.start("1.1", "1.2", on_conflict="notify")
    wait_until(lambda: Conflict.objects.count() == 2)
    unlock_path(operator, PATH)
    report = main_job.finish(execution)

    assert report["progress"]["completed"] == 2
    by_person, again = Conflict.objects.order_by("id")[:2], Conflict.objects.order_by("id")[2:]
    assert {(entry.node.story_id, entry.held_by, entry.outcome) for entry in by_person} == {
        ("1.1", "operator", "notified"), ("1.2", "operator", "notified"),
    }  # fmt: skip
    [slower] = again
    assert slower.held_by.startswith("developer-")
    conversation = [it.body for it in main_job.model.received if story_of(it.body) == slower.node.story_id][-1]
    answers = [str(it["content"]) for it in conversation["messages"] if "Error: path_held." in str(it.get("content"))]
    assert answers[0].startswith(f"Error: path_held. {PATH} is held by operator since ")
    assert answers[1].startswith(f"Error: path_held. {PATH} is held by {slower.held_by} since ")
    assert [it["content"] for it in conversation["messages"] if "Free now" in str(it.get("content"))] == [
        f"Free now: {PATH}. You can write there."
    ] * 2


def said(exchange: Exchange, start: str) -> list[dict[str, Any]]:
    messages = exchange.request.body["messages"]
    return [message for message in messages if str(message.get("content")).startswith(start)]
