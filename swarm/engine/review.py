"""What a person decides about a story's commit: approve it, reject it with a comment, or take it back.

One door for page, JSON API and command line. A rejected story is worked on again, on top of what it committed; a
reverted one is as if it had never been, until it is retried.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from django.contrib.auth.models import User
from django.utils.timezone import now

from swarm.engine.lifecycle import dispatch
from swarm.engine.timesheet import progress_data
from swarm.errors import SwarmError
from swarm.events.record import Recorder, recording
from swarm.locks.errors import PathHeld
from swarm.models import Execution, FileLock, Node
from swarm.stories.board import read_board, set_board_status
from swarm.stories.reader import read_story
from swarm.workspace.branches import Person, build_restoration, story_paths
from swarm.workspace.errors import BuiltUpon
from swarm.workspace.history import REVERTS, branch_log
from swarm.workspace.integration import advance_branch
from swarm.workspace.paths import lock_key
from swarm.workspace.repository import Repository

log = structlog.get_logger(__name__)

OPERATOR = "the operator"
"""Who decides at the command line, where nobody signs in."""


class CommentMissing(SwarmError):
    """A story was rejected without a word of what is wrong with it, which its next attempt must know."""

    code = "comment_missing"


class BranchMoved(SwarmError):
    """An execution's branch moved while a story was to be taken back from it; nothing was changed."""

    code = "branch_moved"
    retryable = True


def approve(node_id: uuid.UUID, *, user: User | None) -> Node:
    """Record that a completed story is fine; again is no error. Raises `Node.DoesNotExist` and `WrongStatus`."""
    with _reviewing(node_id) as (record, node):
        if node.review != Node.Review.APPROVED:
            node.approve(by=name_of(user))
            _tell(record, "swarm:node-approved", node)
    return node


def reject(node_id: uuid.UUID, *, comment: str, user: User | None) -> Node:
    """Have a completed story worked on again by what `comment` says, also after its execution has ended.

    Raises `Node.DoesNotExist`, `WrongStatus` and `CommentMissing`.
    """
    if not comment.strip():
        raise CommentMissing("Say what is wrong with the story; its next attempt is told.")
    with _reviewing(node_id) as (record, node):
        node.reject(by=name_of(user), comment=comment.strip(), attempts=record.execution.max_attempts)
        record.execution.take_back()
        _tell(record, "swarm:node-rejected", node)
    dispatch(node.execution_id)
    return node


def revert(node_id: uuid.UUID, *, comment: str = "", user: User | None) -> Node:
    """Take a story's commits back, by one that makes its files, the story's own and the board as they were before.

    Raises `Node.DoesNotExist`, `WrongStatus` while it is worked on, `BuiltUpon` if later work builds on it, `PathHeld`
    if a node works on one of its files, `BranchMoved`, and the errors of the workspace; nothing has changed then.
    """
    node = Node.objects.select_related("execution").get(pk=node_id)
    node.refuse_without_commit()
    repository = Repository.open(Path(node.execution.workspace))
    head = repository.branch_head(node.execution.branch)
    reversal = _reversal(repository, node, head, comment, user)
    with _reviewing(node_id) as (record, node):
        node.revert(by=name_of(user), comment=comment.strip())
        _refuse_if_awaited(node)
        _refuse_if_held(node, reversal.paths)
        if not reversal.has_landed:
            _land(repository, node.execution.branch, head, reversal.commit)
            head = reversal.commit
        Execution.objects.filter(pk=node.execution_id).update(head_commit=head)
        _tell(record, "swarm:node-reverted", node, revert_commit=reversal.commit)
    return node


def name_of(user: User | None) -> str:
    """Who it was, as events and nodes record it."""
    return user.get_username() if user else OPERATOR


def person(user: User | None) -> Person:
    """Who a commit of theirs is by."""
    if user is None:
        return Person("swarm", "swarm@swarm.invalid")
    return Person(user.get_username(), user.email or f"{user.get_username()}@swarm.invalid")


@contextmanager
def _reviewing(node_id: uuid.UUID) -> Iterator[tuple[Recorder, Node]]:
    """Lock the node's execution, and with it the node, until the decision is recorded."""
    with recording(Node.objects.values_list("execution_id", flat=True).get(pk=node_id)) as record:
        yield record, record.execution.nodes.get(pk=node_id)


def _tell(record: Recorder, kind: str, node: Node, **more: str) -> None:
    told = {"commit": node.commit, "by": node.reviewed_by, "comment": node.review_comment}
    record(kind, node, **progress_data(node), **told, **more)
    log.info("node.reviewed", node=str(node.pk), decision=node.review, by=node.reviewed_by)


def _refuse_if_awaited(node: Node) -> None:
    """Stories that depend on this one were made, are being made, or wait to be made on top of it."""
    others = node.execution.nodes.filter(status__in=[*Node.ACTIVE, Node.Status.COMPLETED]).order_by("number")
    names = [it.story_id for it in others if node.story_id in it.depends_on and (it.is_active or it.is_done)]
    if names:
        raise BuiltUpon(f"Stories depend on it: {', '.join(names)}. Revert or cancel those first.")


def _refuse_if_held(node: Node, paths: Iterable[str]) -> None:
    """A node that works on a file has seen it as it is now; its work would be lost."""
    keys = map(lock_key, paths)
    held = FileLock.objects.held(now()).filter(node__execution=node.execution_id, key__in=keys)
    for lock in held.select_related("node"):
        raise PathHeld(lock.path, holder=lock.holder, since=lock.locked_at or now())


def _land(repository: Repository, branch: str, head: str, commit: str) -> None:
    if not advance_branch(repository, branch, expected=head, commit=commit, reason="story reverted"):
        raise BranchMoved(f"{branch} moved meanwhile, so nothing was reverted; try again.")


@dataclass(frozen=True)
class _Reversal:
    """The commit that takes a story back, the paths that it changes, and whether the branch holds it already."""

    commit: str
    paths: frozenset[str] = frozenset()
    has_landed: bool = False


def _reversal(repository: Repository, node: Node, head: str, comment: str, user: User | None) -> _Reversal:
    """Write the commit; or find it on the branch, where a process may have died before it could record it."""
    commits = branch_log(repository, base=node.execution.base_commit, head=head)
    newest = next((it for it in commits if str(node.pk) in (it.node, it.reverts)), None)
    if newest is not None and newest.reverts:
        return _Reversal(newest.id, has_landed=True)
    board_path = node.execution.board_path
    source, paths = story_paths(repository, commits, str(node.pk), apart_from={board_path})
    board = _board_as_it_was(repository, node, head, source)
    commit = build_restoration(
        repository,
        head=head,
        source=source,
        paths=paths,
        files={} if board is None else {board_path: board},
        person=person(user),
        message=f'Revert "{node.story_id} {node.story_title}"\n\n{comment}',
        trailers={REVERTS: str(node.pk), "Execution": str(node.execution_id)},
    )
    return _Reversal(commit, frozenset(paths))


def _board_as_it_was(repository: Repository, node: Node, head: str, source: str) -> bytes | None:
    """The board at `head` with this story's status as in `source`; None if there is nothing to take back."""
    path = node.execution.board_path
    story = read_story(repository.read_file(head, node.story_path) or b"", node.story_path, on_board=True)
    now_there, before = (repository.read_file(commit, path) if path else None for commit in (head, source))
    if story is None or now_there is None or before is None:
        return None
    story = replace(story, id=node.story_id)  # a plan may have named it otherwise than its file does
    entry, earlier = read_board(now_there).entry_for(story), read_board(before).entry_for(story)
    if entry is None or earlier is None or earlier.status.rank is None:
        return None
    return set_board_status(now_there, entry.key, earlier.status, repair=True)
