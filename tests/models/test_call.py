"""A call's row from its reservation to its end."""

from __future__ import annotations

from decimal import Decimal
from importlib import import_module

import pytest
from django.apps import apps

from swarm.models import Call, Node, Turn
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


def make_call(node: Node, **values: object) -> Call:
    return Call.objects.create(node=node, attempt=1, number=1, model="m", **values)


def test_a_call_reserves_until_it_is_answered_and_then_counts_what_it_used() -> None:
    node = make_node(make_execution())
    call = make_call(node, charged_tokens=500)
    assert Call.objects.filter(node=node).tokens() == (0, 500, None)
    call.settle(prompt_tokens=90, completion_tokens=10, charged_tokens=100, cost=Decimal("0.5"), queued_s=1.5)
    assert Call.objects.filter(node=node).tokens() == (100, 0, 10)
    row = Call.objects.get()
    assert (row.outcome, row.queued_s, row.cost) == ("ok", 1.5, Decimal("0.5"))


def test_a_failed_call_gives_its_reservation_back_and_says_why() -> None:
    node = make_node(make_execution())
    call = make_call(node, charged_tokens=500)
    call.fail("upstream_timeout", retries=3)
    assert Call.objects.filter(node=node).tokens() == (0, 0, None)
    row = Call.objects.get()
    assert (row.outcome, row.retries, row.charged_tokens) == ("upstream_timeout", 3, 0)


def test_only_calls_in_flight_are_abandoned() -> None:
    node = make_node(make_execution())
    make_call(node, charged_tokens=500)
    make_call(node, charged_tokens=100, outcome="ok")
    node.call_rows.abandon("worker_lost")
    assert [(call.outcome, call.charged_tokens) for call in Call.objects.all()] == [("worker_lost", 0), ("ok", 100)]


def test_what_a_late_call_used_counts_all_the_same() -> None:
    node = make_node(make_execution())
    call = make_call(node, charged_tokens=500)
    node.call_rows.abandon("worker_lost")
    call.settle(prompt_tokens=1, completion_tokens=2, charged_tokens=3, cost=None)
    assert Call.objects.filter(node=node).tokens() == (3, 0, 2)


def test_turns_from_before_there_were_calls_are_entered_as_calls() -> None:
    node = make_node(make_execution())
    for number in (1, 2):
        Turn.objects.create(
            node=node, attempt=1, number=number, reply={"content": "long"}, prompt_tokens=90, completion_tokens=10,
            queued_s=0.5, upstream_s=1.5,
        )  # fmt: skip
    import_module("swarm.migrations.0004_calls_of_turns").enter_calls(apps, None)
    assert Call.objects.filter(node=node).tokens() == (200, 0, 10)
    row = Call.objects.get(number=2)
    assert (row.outcome, row.queued_s, row.upstream_s) == ("ok", 0.5, 1.5)
    assert row.started_at == Turn.objects.get(number=2).created_at
