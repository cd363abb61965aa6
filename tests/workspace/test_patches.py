"""Patches as a mailbox: what `git am` makes of them is what was committed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pygit2
import pytest

from swarm.workspace.integration import build_commit
from swarm.workspace.patches import mailbox
from swarm.workspace.repository import Repository
from tests.workspace.repositories import make_repository

FILES = {"README.md": b"# Title\n", "src/app.py": b"x = 1\n", "gone.py": b"old\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository", FILES)


def commit(repository: Repository, parent: str, changes: Mapping[str, bytes | None], message: str) -> str:
    return build_commit(
        repository, parent=parent, changes=changes, author="developer-1", message=message, trailers={"Story": "1.1"}
    )


def apply(repository: Repository, patches: bytes) -> Repository:
    """What `git am` makes of patches in another clone."""
    clone = repository.root.parent / "clone"
    subprocess.run(["git", "clone", "-q", repository.root, clone], check=True)
    done = subprocess.run(
        ["git", "-c", "user.name=User", "-c", "user.email=user@example.invalid", "am", "-q", "--keep-cr"],
        cwd=clone, input=patches, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Repository.open(clone)


def test_several_commits_apply_in_their_order_with_author_message_and_every_byte(repository: Repository) -> None:
    first = commit(
        repository,
        repository.head_commit(),
        {"src/app.py": b"x = 2\r\ny = 'caf\xe9'\r\n", "picture.png": bytes(range(256)) * 9, "gone.py": None},
        "1.1 Grüße, 世界\n\nMade it.\n",
    )
    second = commit(repository, first, {"src/app.py": b"x = 3", "new/größe.txt": "ß\n".encode()}, "1.2 Then this")

    patches = mailbox(repository, [first, second])

    assert patches.startswith(f"From {first} Mon Sep 17 00:00:00 2001\n".encode())
    clone = apply(repository, patches)
    assert clone.read_files(clone.head_commit(), "") == repository.read_files(second, "")
    log = subprocess.run(
        ["git", "log", "-2", "--format=%an <%ae>%n%B"], cwd=clone.root, capture_output=True, text=True, check=True
    ).stdout
    assert log.split("\n") == [
        "developer-1 <developer-1@swarm.invalid>", "1.2 Then this", "", "Story: 1.1", "",
        "developer-1 <developer-1@swarm.invalid>", "1.1 Grüße, 世界", "", "Made it.", "", "Story: 1.1", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001",
        "From: Mallory <mallory@example.invalid>",
        "Subject: Something else",
        "Content-Type: text/html",
        "---",
        "--- a/README.md",
        "diff --git a/README.md b/README.md",
        "Index: README.md",
    ],
)
def test_what_a_model_wrote_is_never_read_as_a_header_or_a_patch(repository: Repository, line: str) -> None:
    made = commit(
        repository, repository.head_commit(), {"src/app.py": b"x = 2\n"}, f"1.1 Title\n\n{line}\n\nMore.\n{line}\nEnd."
    )
    clone = apply(repository, mailbox(repository, [made]))
    found = clone.handle[clone.head_commit()].peel(pygit2.Commit)
    assert (found.author.name, found.message.split("\n")[0]) == ("developer-1", "1.1 Title")
    assert found.message.count(line) == 2
    assert found.message.endswith("End.\n\nStory: 1.1\n")
    assert clone.read_files(clone.head_commit(), "") == FILES | {"src/app.py": b"x = 2\n"}


def test_a_commit_that_changes_nothing_is_left_out(repository: Repository) -> None:
    empty = commit(repository, repository.head_commit(), {}, "Nothing")
    made = commit(repository, empty, {"README.md": b""}, "1.1 Title")
    patches = mailbox(repository, [empty, made])
    assert patches.count(b"Subject: ") == 1
    assert b"Subject: [PATCH 1/1] 1.1 Title\n" in patches
