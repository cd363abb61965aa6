"""Locks and conflicts at the command line: broken with a reason, listed by filters."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from swarm.models import Conflict, FileLock
from tests.factories import make_execution, make_node

pytestmark = pytest.mark.django_db


def listed(capsys: pytest.CaptureFixture[str], *arguments: Any) -> list[dict[str, Any]]:
    call_command("swarm", *map(str, arguments), "--json")
    items: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["items"]
    return items


def test_a_lock_is_broken_and_the_rest_listed(capsys: pytest.CaptureFixture[str]) -> None:
    node = make_node(make_execution())
    for path in ("a.py", "b.py"):
        FileLock.objects.create(key=path, path=path, node=node, locked_at=now(), expires_at=now() + timedelta(hours=1))
    with pytest.raises(CommandError, match="Say why"):
        call_command("swarm", "locks", "--break", "a.py")
    assert [lock["path"] for lock in listed(capsys, "locks")] == ["a.py", "b.py"]
    assert [lock["path"] for lock in listed(capsys, "locks", "--break", "a.py", "--reason", "stuck")] == ["b.py"]
    with pytest.raises(CommandError, match="Nobody holds") as refusal:
        call_command("swarm", "locks", "--break", "a.py", "--reason", "stuck")
    assert refusal.value.returncode == 2


def test_conflicts_are_listed_by_filters(capsys: pytest.CaptureFixture[str]) -> None:
    execution = make_execution()
    lock = FileLock.objects.create(key="a.py", path="a.py")
    for story, seconds in (("1.1", 5), ("2.7", 1)):
        Conflict.objects.create(
            lock=lock, path=f"{story}.py", execution=execution, node=make_node(execution, story_id=story),
            policy="wait", held_by="x", outcome="granted", asked_at=now() - timedelta(seconds=seconds), ended_at=now(),
        )  # fmt: skip

    def paths(*arguments: Any) -> list[str]:
        return [row["path"] for row in listed(capsys, "conflicts", *arguments)]

    assert paths() == ["2.7.py", "1.1.py"]
    assert paths("--execution", execution.pk, "--longer-than", 3) == ["1.1.py"]
    assert paths("--story", "2.7", "--outcome", "granted", "--policy", "wait") == ["2.7.py"]
    assert paths("--path", "1.1") == ["1.1.py"]
    assert paths("--node", execution.nodes.get(number=2).pk) == ["2.7.py"]


@pytest.mark.parametrize("arguments", [["--outcome", "bogus"], ["--longer-than", "nan"], ["--node", "x"]])
def test_a_filter_that_cannot_be_used_is_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("swarm", "conflicts", *arguments)
