"""How pages write durations, numbers, events and what a model did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from swarm.templatetags import pages
from swarm.web.sentences import sentence
from swarm.web.transcript import LONGEST, shown_calls, spoken


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
        (timedelta(minutes=3, seconds=5), "3 min 05 s"),
    ],
)
def test_a_duration(seconds: Any, text: str) -> None:
    assert pages.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "just now"), (9, "just now"), (42, "42 s ago"), (125, "2 min ago"), (7300, "2 h ago"), (200_000, "2 d ago")],
)
def test_an_instant(seconds: int, text: str) -> None:
    assert pages.ago(now() - timedelta(seconds=seconds)) == text


def test_a_moment_keeps_the_exact_time() -> None:
    html = pages.moment(datetime(2026, 3, 2, 9, 5, 7, tzinfo=UTC))
    assert 'datetime="2026-03-02T09:05:07+00:00" title="02 Mar 2026, 09:05:07 UTC"' in html


def test_a_number_a_ratio_and_a_code() -> None:
    assert pages.number(1234567) == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"
    assert (pages.times(1.0836), pages.times(None)) == ("1.08 ×", "–")
    assert (pages.words("waiting_for_lock"), pages.words("ready-for-dev")) == ("Waiting for lock", "Ready for dev")


def test_a_status_is_told_by_shape_word_and_colour() -> None:
    badge = pages.status_badge("failed")
    assert all(part in badge for part in ('data-status="failed"', "#cross", "Failed"))


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("swarm:node-progress", {"activity": "checking", "detail": "pytest -q"}, "Checking: pytest -q"),
        ("swarm:node-progress", {"activity": "thinking", "detail": ""}, "Thinking."),
        ("swarm:node-failed", {"story": "1.1", "error": {"message": "It broke."}}, "Failed story 1.1: It broke."),
        (
            "swarm:conflict",
            {"path": "a.py", "held_by": "developer-2", "outcome": "waiting"},
            "Waits for a.py, held by developer-2.",
        ),
        ("file:unlocked", {"path": "a.py"}, "Gave up a.py."),
        (
            "file:unlocked",
            {"path": "a.py", "broken_by": "ada", "reason": "hotfix"},
            "Lost a.py: ada broke the lock (hotfix).",
        ),
        ("swarm:node-failed", {}, "Failed story …: …"),
        ("swarm:node-failed", {"story": "{0} {x.y}", "error": {"message": "{"}}, "Failed story {0} {x.y}: {"),
        ("something:new", {"path": "a.py"}, "something:new"),
    ],
)
def test_an_event_in_words(kind: str, data: dict[str, Any], text: str) -> None:
    assert sentence(kind, data) == text


def call(arguments: Any, name: str = "read_file") -> dict[str, Any]:
    return {"tool_calls": [{"id": "1", "function": {"name": name, "arguments": arguments}}]}


def test_a_call_has_its_arguments_and_its_answer() -> None:
    [shown] = shown_calls(call('{"path": "a.py", "start_line": 3}'), [{"tool_call_id": "1", "content": "Error: no"}])
    assert (shown.name, shown.arguments) == ("read_file", {"path": "a.py", "start_line": "3"})
    assert (shown.answer, shown.has_failed, shown.target) == ("Error: no", True, "a.py")


@pytest.mark.parametrize("arguments", ["{", "[1]", "", None, 7, "[" * 100_000, {"path": None}])
def test_whatever_a_model_sends_as_arguments_is_shown(arguments: Any) -> None:
    [shown] = shown_calls(call(arguments), [])
    assert shown.answer is None
    assert isinstance(shown.target, str)


@pytest.mark.parametrize("reply", [{}, {"tool_calls": None, "content": None}, {"content": [{"type": "text"}]}])
def test_a_reply_without_calls(reply: dict[str, Any]) -> None:
    assert shown_calls(reply, []) == []
    assert isinstance(spoken(reply), str)


def test_a_long_text_is_cut_and_the_rest_counted() -> None:
    assert spoken({"content": "x" * (LONGEST + 1234)}).endswith("x\n… 1,234 more characters")
