"""What must hold once an execution has ended, whatever happened to it: each function yields what does not, in words.

Reads the rows and the repository of the one execution that the database holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pygit2
from django.conf import settings

from swarm.engine.errors import InternalError
from swarm.models import Call, Conflict, Event, Execution, FileLock, Node
from swarm.workspace.checkout import checked_out
from swarm.workspace.repository import Repository

END_EVENTS = ("swarm:completed", "swarm:cancelled")


def print_verdict() -> None:
    """Print, as JSON, how each story's node ended, and all problems; for a process of its own."""
    execution = Execution.objects.get()
    nodes = {node.story_id: node.error_code or node.status for node in execution.nodes.all()}
    json.dump({"status": execution.status, "nodes": nodes, "problems": list(find_problems(execution))}, sys.stdout)


def find_problems(execution: Execution) -> Iterator[str]:
    """Everything that is wrong with an execution that should have ended well."""
    for find in (
        wrong_ends, stories_not_once, wrong_history, failing_stories, things_left,
        wrong_numbers, wrong_tales, touched_checkout,
    ):  # fmt: skip
        yield from (f"{find.__name__}: {problem}" for problem in find(execution))


def wrong_ends(execution: Execution) -> Iterator[str]:
    """Every node has ended, with a named reason if it failed, and the execution as its nodes say."""
    for node in execution.nodes.all():
        if node.is_active or node.finished_at is None:
            yield f"{node} is {node.status}"
        if node.status == Node.Status.FAILED and node.error_code in ("", InternalError.code):
            yield f"{node} failed without a name: {node.error_code} {node.error_message}"
    completed = [node.status == Node.Status.COMPLETED for node in execution.nodes.all()]  # nobody cancels here
    expected = "completed" if all(completed) else "partial" if any(completed) else "failed"
    if execution.status != expected or execution.finished_at is None:
        yield f"the execution is {execution.status}, its nodes make it {expected}"


def stories_not_once(execution: Execution) -> Iterator[str]:
    """A completed node's story is on the branch once, as the commit that the row names; any other's is not."""
    found: dict[str, list[str]] = {}
    for commit in _commits(execution):
        found.setdefault(_trailer(commit, "Story"), []).append(str(commit.id))
    for node in execution.nodes.all():
        expected = [node.commit] if node.status == Node.Status.COMPLETED else []
        if (commits := found.pop(node.story_id, [])) != expected:
            yield f"{node} is {node.status} as {node.commit or 'no commit'}, on the branch are {commits}"
    if found:
        yield f"nobody's commits: {found}"


def wrong_history(execution: Execution) -> Iterator[str]:
    """The branch leads in one line from the base to the head that the row names."""
    head = _git(execution).lookup_reference(f"refs/heads/{execution.branch}").target
    if str(head) != execution.head_commit:
        yield f"the branch is at {head}, the row says {execution.head_commit}"
    at = execution.base_commit
    for commit in _commits(execution):
        if [str(parent) for parent in commit.parent_ids] != [at]:
            yield f"{commit.id} does not follow {at}"
        at = str(commit.id)


def failing_stories(execution: Execution) -> Iterator[str]:
    """In the integrated result every completed story's checks pass."""
    repository = Repository.open(Path(execution.workspace))
    with (
        tempfile.TemporaryDirectory() as folder,
        checked_out(repository, commit=execution.head_commit, changes={}, root=Path(folder)) as tree,
    ):
        for node in execution.nodes.filter(status=Node.Status.COMPLETED):
            environment = {**os.environ, "SWARM_STORY": node.story_id}
            command = ["sh", "-c", settings.SWARM_CHECK_COMMAND]
            check = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
            if check.returncode:
                yield f"the checks of {node} fail: {check.stdout[-500:]}"


def things_left(execution: Execution) -> Iterator[str]:
    """No claim, no place in a line, no call in flight; every completed node has its proof."""
    for lock in FileLock.objects.exclude(node=None):
        yield f"{lock.path} is still held by {lock.node}"
    for conflict in Conflict.objects.waiting():
        yield f"{conflict} still stands in line"
    for call in Call.objects.filter(outcome=Call.IN_FLIGHT):
        yield f"call {call} of {call.node} is still in flight"
    for node in execution.nodes.filter(status=Node.Status.COMPLETED):
        if not any(run.has_passed for run in node.check_runs.all()):
            yield f"{node} is completed without a check that passed"
    for lock_file in _git_folder(execution).rglob("*.lock"):
        yield f"{lock_file} is left in the repository"


def wrong_numbers(execution: Execution) -> Iterator[str]:
    """Events are numbered from 1 without a gap, in the order of their rows."""
    numbers = list(execution.events.order_by("id").values_list("seq", flat=True))
    if numbers != list(range(1, execution.last_seq + 1)):
        yield f"{len(numbers)} events, the last of them {execution.last_seq}: {numbers}"


def wrong_tales(execution: Execution) -> Iterator[str]:
    """Who only reads the events, from the first to the last, knows the same as who reads the rows."""
    told: dict[object, dict[str, object]] = {}
    held: dict[str, object] = {}
    for event in Event.objects.after(execution.pk, 0):
        if event.type == "file:locked":
            held[event.data["path"]] = event.node_id
        elif event.type == "file:unlocked":
            held.pop(event.data["path"], None)
        elif event.node_id and "status" in event.data:
            told.setdefault(event.node_id, {}).update(event.data)
    if held:
        yield f"the events leave {held} locked"
    for node in execution.nodes.all():
        row = {"status": node.status, "attempt": node.attempt, "commit": node.commit}
        tale = {name: told.get(node.pk, {}).get(name, "") for name in row}
        if tale != row:
            yield f"of {node} the events tell {tale}, the row {row}"
    ends = [(event.seq, event.data["status"]) for event in execution.events.filter(type__in=END_EVENTS)]
    if ends != [(execution.last_seq, execution.status)]:
        yield f"the events end it with {ends}, the row as {execution.status} after {execution.last_seq}"


def touched_checkout(execution: Execution) -> Iterator[str]:
    """The user's branch, index and working tree are as they were."""
    git = _git(execution)
    if str(git.head.target) != execution.base_commit or git.head.shorthand != "main":
        yield f"HEAD is {git.head.shorthand} at {git.head.target}"
    if git.status():
        yield f"the working tree has changed: {git.status()}"


def _git(execution: Execution) -> pygit2.Repository:
    return pygit2.Repository(execution.workspace)


def _git_folder(execution: Execution) -> Path:
    return Path(_git(execution).path)


def _commits(execution: Execution) -> list[pygit2.Commit]:
    """What the branch holds, oldest first."""
    git = _git(execution)
    head = git.lookup_reference(f"refs/heads/{execution.branch}").target
    walker = git.walk(head, pygit2.enums.SortMode.REVERSE | pygit2.enums.SortMode.TOPOLOGICAL)
    walker.hide(execution.base_commit)
    return list(walker)


def _trailer(commit: pygit2.Commit, name: str) -> str:
    lines = commit.message.splitlines()
    return next((line.removeprefix(f"{name}: ") for line in lines if line.startswith(f"{name}: ")), "")
