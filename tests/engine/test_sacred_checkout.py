"""The user's checkout is sacred: the same before and after whole executions in which everything goes wrong."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pygit2
import pytest

from swarm.engine import lifecycle
from swarm.models import Conflict, Execution
from tests.chat.server import Exchange
from tests.factories import wait_until
from tests.main_job import MainJob, play
from tests.workspace.repositories import USER

SWARMS_OWN = (".git/refs/heads/swarm/", ".git/logs/refs/heads/swarm/")
HOOKS = (
    "applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-checkout", "post-commit", "post-index-change",
    "post-merge", "post-rewrite", "post-update", "pre-auto-gc", "pre-commit", "pre-merge-commit", "pre-push",
    "pre-rebase", "pre-receive", "prepare-commit-msg", "push-to-checkout", "reference-transaction", "update",
)  # fmt: skip


def state_of(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and bytes of every file and link, git's own included: HEAD, index, config, refs, reflogs, packs.

    Left out are Swarm's own refs with their logs, and loose objects, to which it may add.
    """
    found = {}
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            name = path.relative_to(root).as_posix()
            is_loose = name.startswith(".git/objects/") and len(path.parent.name) == 2
            if not is_loose and not name.startswith(SWARMS_OWN):
                content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
                found[name] = (path.lstat().st_mode, path.lstat().st_mtime_ns, content)
    return found


def loose_objects(root: Path) -> set[str]:
    return {path.name for path in (root / ".git" / "objects").glob("??/*")}


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.fsmonitor=false", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that every trap below writes to when it is run."""
    return tmp_path / "a-trap-was-run"


@pytest.fixture
def root(main_job: MainJob, marker: Path) -> Path:
    """The demo's workspace as a busy person leaves it, with packs and a trap wherever git runs things."""
    root = main_job.workspace
    repository = pygit2.Repository(str(root))
    git(root, "gc", "--quiet")
    git(root, "branch", "other")
    git(root, "tag", "v1")
    git(root, "update-ref", "refs/remotes/origin/main", "HEAD")
    (root / "README.md").write_text("stashed\n")
    repository.stash(USER)
    (root / "larder" / "units.py").write_text("# staged\n")
    repository.index.add("larder/units.py")
    repository.index.write()
    (root / "larder" / "units.py").write_text("# staged, then changed\n")
    (root / "README.md").unlink()
    (root / "untracked.txt").write_text("mine\n")
    (root / "link").symlink_to("/etc/passwd")
    trap = root / ".git" / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho $0 >> {marker}\n")
    trap.chmod(0o755)
    for hook in HOOKS:
        (root / ".git" / "hooks" / hook).unlink(missing_ok=True)
        (root / ".git" / "hooks" / hook).symlink_to(trap)
    (root / ".gitattributes").write_text("* filter=trap diff=trap merge=trap text eol=crlf\n")
    for key in ("core.fsmonitor", "core.editor", "gpg.program", "filter.trap.clean", "filter.trap.smudge",
                "diff.trap.command", "diff.external", "merge.trap.driver", "credential.helper"):  # fmt: skip
        repository.config[key] = str(trap)
    repository.config["gc.auto"] = 1
    repository.config["gc.autoDetach"] = False
    repository.config["commit.gpgSign"] = True
    return root


def run_everything(main_job: MainJob) -> None:
    """One execution with a conflict, a mended and a failed story; one that is cancelled while its nodes work."""
    main_job.behaviours["3.3"] = lambda exchange: exchange.send(400, {"error": {"message": "no"}})
    report = main_job.run("1.1", "1.2", "1.3", "3.3", max_attempts=1)
    assert (report["status"], report["progress"]["completed"]) == (Execution.Status.PARTIAL, 3)
    assert Conflict.objects.exists()

    at_work = threading.Semaphore(0)

    def stall(exchange: Exchange) -> None:
        if "is changed in your snapshot" in str(exchange.request.body):
            at_work.release()
            wait_until(lambda: cancelled.is_set())
        play(exchange)

    cancelled = threading.Event()
    main_job.behaviours = {"2.2": stall, "2.3": stall}
    execution = main_job.start("2.2", "2.3")
    for _ in range(2):
        assert at_work.acquire(timeout=30)
    lifecycle.cancel(execution.pk)
    cancelled.set()
    assert main_job.finish(execution)["status"] == Execution.Status.CANCELLED


def test_whole_executions_leave_the_users_checkout_as_it_was(main_job: MainJob, root: Path, marker: Path) -> None:
    before, objects = state_of(root), loose_objects(root)

    run_everything(main_job)

    after = state_of(root)
    assert {name for name in before | after if before.get(name) != after.get(name)} == set()
    assert loose_objects(root) > objects
    assert not marker.exists()
    branches = {f"swarm/{execution.pk}" for execution in Execution.objects.all()}
    heads = git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    assert set(heads) == {"main", "other"} | branches
    assert git(root, "fsck", "--full", "--strict", "--no-dangling") == ""


def test_the_traps_would_have_told(root: Path, marker: Path) -> None:
    """The proof above proves something: git itself falls into them."""
    subprocess.run(["git", "commit", "--all", "--message", "x"], cwd=root, capture_output=True, check=False)
    assert "pre-commit" in marker.read_text()
