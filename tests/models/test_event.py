"""Event rows: numbered within an execution, unnumbered outside, read in order."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from swarm.models import Event
from tests.factories import make_execution

pytestmark = pytest.mark.django_db


def test_events_after_a_number_are_those_behind_it_in_order_of_their_numbers() -> None:
    execution, other = make_execution(), make_execution()
    for seq in (3, 1, 2):
        Event.objects.create(execution=execution, seq=seq, type="swarm:progress")
    Event.objects.create(execution=other, seq=4, type="swarm:progress")
    assert [event.seq for event in Event.objects.after(execution.pk, 1)] == [2, 3]


def test_a_number_is_given_once_within_an_execution() -> None:
    execution = make_execution()
    Event.objects.create(execution=execution, seq=1, type="swarm:progress")
    Event.objects.create(execution=make_execution(), seq=1, type="swarm:progress")
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(execution=execution, seq=1, type="swarm:progress")


@pytest.mark.parametrize("is_within", [True, False])
def test_an_event_has_a_number_exactly_when_it_has_an_execution(is_within: bool) -> None:
    wrong: dict[str, Any] = {"execution": make_execution(), "seq": None} if is_within else {"seq": 1}
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(type="file:locked", **wrong)
    right = {**wrong, "seq": 1 if is_within else None}
    Event.objects.create(type="file:locked", **right)
