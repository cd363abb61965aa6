"""What an attempt is told of those before it."""

from __future__ import annotations

from typing import Any

import pytest

from swarm.engine.lessons import MOST, lessons_of
from swarm.engine.timesheet import progress_data
from swarm.events.record import recording
from swarm.models import Node
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def node() -> Node:
    return make_node(make_execution(), tasks_total=3)


def end(node: Node, code: str, message: str, *, kind: str = "swarm:node-retrying", **progress: Any) -> None:
    with recording(node.execution_id) as record:
        record(kind, node, **progress_data(node) | progress, error={"code": code, "message": message})


def test_an_attempt_knows_why_the_earlier_ones_ended_and_how_far_they_had_come(node: Node) -> None:
    end(node, "no_progress", "It only talked.", files=["a.py", "b.py"], tasks_done=2)
    end(node, "too_many_turns", "It took too long.", kind="swarm:node-failed", tasks_done=1)
    assert lessons_of(node) == [
        "It only talked. It had changed a.py, b.py and had ticked 2 of 3 tasks.",
        "It took too long. It had ticked 1 of 3 tasks.",
    ]


def test_ends_that_others_went_on_from_and_failures_of_other_stories_teach_nothing(node: Node) -> None:
    end(node, "worker_lost", "Its process died.")
    end(node, "worker_stopped", "Its process stopped.")
    end(node, "dependency_failed", "It waited for story 1.1.", kind="swarm:node-failed", attempt=0)
    end(make_node(node.execution), "no_progress", "It only talked.")
    assert lessons_of(node) == []


def test_the_same_lesson_is_taught_once_and_only_the_newest_are_told(node: Node) -> None:
    for number in range(MOST + 2):
        end(node, "rate_limited", f"Lesson {number}.")
        end(node, "rate_limited", f"Lesson {number}.")
    assert lessons_of(node) == [f"Lesson {number}." for number in range(2, MOST + 2)]
