"""The user's checkout is sacred: after all that Swarm does, every file of it is what it was."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from swarm.cancellation import Cancellation
from swarm.workspace.checkout import checked_out
from swarm.workspace.checks import run_checks
from swarm.workspace.integration import advance_branch, build_commit
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot
from tests.workspace.repositories import USER, history, make_repository

BRANCH = "swarm/e1"
SWARMS_OWN = (".git/objects", ".git/refs/heads/swarm", ".git/logs/refs/heads/swarm")
HOOKS = ["pre-commit", "post-commit", "commit-msg", "reference-transaction", "post-checkout", "update", "pre-auto-gc"]


def state_of(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and bytes of every file below `root`, git's own included, but for what Swarm may write."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_file() and not name.startswith(SWARMS_OWN):
            found[name] = (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with staged, changed and untracked files, a stash, and traps that leave a file if they are run."""
    root = tmp_path / "repository"
    trap = root / "trap.sh"
    repository = make_repository(root, {"a.txt": b"a\n", "b.txt": b"b\n", "c.txt": b"c\n", "sub/d.txt": b"d\n"})
    git = repository.handle
    (root / "a.txt").write_text("stashed\n")
    git.stash(USER)
    (root / "a.txt").write_text("changed\n")
    (root / "b.txt").write_text("staged\n")
    git.index.add("b.txt")
    git.index.write()
    (root / "untracked.txt").write_text("untracked\n")
    (root / ".gitattributes").write_text("* filter=trap diff=trap merge=trap text eol=crlf\n")
    trap.write_text(f"#!/bin/sh\ntouch {root}/trap-was-run\ncat\n")
    trap.chmod(0o755)
    for hook in HOOKS:
        (root / ".git" / "hooks").mkdir(exist_ok=True)
        (root / ".git" / "hooks" / hook).symlink_to(trap)
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.smudge", "diff.trap.command", "diff.external"):
        git.config[key] = str(trap)
    return Repository.open(root)


def do_a_story(repository: Repository, root: Path, number: int) -> None:
    """Everything a node does, from its snapshot to its commit on the branch."""
    snapshot = Snapshot(repository, repository.branch_head(BRANCH))
    assert snapshot.search("^c$") == ["c.txt:1: c"]
    snapshot.write(f"new{number}.txt", "new\n")
    with checked_out(repository, commit=snapshot.base, changes=snapshot.changes, root=root) as folder:
        result = run_checks("cat a.txt b.txt", folder, environment={}, timeout_s=60, cancellation=Cancellation())
        assert result.output == "a\nb\n"
    while True:
        head = repository.branch_head(BRANCH)
        snapshot.advance(head)
        commit = build_commit(
            repository,
            parent=head,
            changes=snapshot.changes,
            author=f"developer-{number}",
            message="Story",
            trailers={"Story": f"1.{number}"},
        )
        if advance_branch(repository, BRANCH, expected=head, commit=commit):
            return


def test_20_stories_at_once_leave_the_users_checkout_as_it_was(repository: Repository, tmp_path: Path) -> None:
    before = state_of(repository.root)
    head = repository.head_commit()
    repository.create_branch(BRANCH, head)
    assert repository.uncommitted_paths() == [".gitattributes", "a.txt", "b.txt", "trap.sh", "untracked.txt"]
    barrier = threading.Barrier(20, timeout=30)
    done = []

    def work(number: int) -> None:
        barrier.wait()
        do_a_story(repository, tmp_path / "checkouts", number)
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(20))
    assert len(history(repository, repository.branch_head(BRANCH))) == 21
    assert repository.diff(head, repository.branch_head(BRANCH)).count("\n+new\n") == 20
    assert state_of(repository.root) == before
