"""`manage.py swarm plan`, and dependencies of `swarm execute`, as a person at a terminal meets them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from swarm.models import Execution
from tests.main_job import MainJob


def swarm(*arguments: str) -> str:
    out = StringIO()
    call_command("swarm", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_plan_tells_when_each_story_starts_and_what_will_be_shared(main_job: MainJob) -> None:
    text = " ".join(swarm("plan", "--depends-on", "2.3:1.1", "--developers", "20").split())

    assert "10 stories, 20 developers" in text
    assert "At once." in text
    assert "Waits for 1.1 to be done." in text
    assert "larder/units.py: 1.1, 1.2 will likely touch it." in text
    assert not Execution.objects.exists()


def test_a_plan_as_json_is_that_of_the_api(main_job: MainJob) -> None:
    plan = json.loads(swarm("plan", "1.1", "1.2", "--depends-on", "1.2:1.1", "--json"))

    assert plan["starts_at_once"] == ["1.1"]
    assert [it["why"] for it in plan["stories"]] == [None, "Waits for 1.1 to be done."]


def test_stories_of_a_run_wait_for_what_they_are_told_to(main_job: MainJob) -> None:
    execution = json.loads(
        swarm("execute", "1.1", "2.3", "3.3", "--json", "--depends-on", "2.3:1.1", "--depends-on", "2.3:3.3")
    )

    assert execution["status"] == "completed"
    assert execution["nodes"][2]["depends_on"] == ["1.1", "3.3"]


@pytest.mark.parametrize("verb", ["plan", "execute"])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["1.1", "--depends-on", "1.1"], "is no dependency"),
        (["1.1", "1.2", "--depends-on", "1.1:1.2", "--depends-on", "1.2:1.1"], "1.1 → 1.2 → 1.1"),
        (["9.9"], "There is no story 9.9"),
        (["1.1", "--developers", "0"], "developers is 0"),
    ],
)
def test_what_cannot_be_kept_is_said_with_status_2(
    main_job: MainJob, verb: str, options: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence) as caught:
        swarm(verb, *options)
    assert caught.value.returncode == 2
    assert not Execution.objects.exists()


def test_without_a_ready_story_there_is_nothing_to_plan(main_job: MainJob, monkeypatch: Any) -> None:
    monkeypatch.setattr("swarm.stories.catalogue.Catalogue.ready", lambda self: [])

    with pytest.raises(CommandError, match="No story is ready"):
        swarm("plan")
