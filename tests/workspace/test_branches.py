"""What a person does with an execution's branch: take a story back, and merge into a branch of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pygit2
import pytest

from swarm.workspace.branches import (
    MergeKind,
    Person,
    build_restoration,
    merge,
    merge_targets,
    story_paths,
)
from swarm.workspace.errors import (
    BranchCheckedOut,
    BuiltUpon,
    MergeConflict,
    NoSuchBranch,
    NoSuchCommit,
    NotMergeable,
)
from swarm.workspace.history import REVERTS, branch_log, standing
from swarm.workspace.integration import advance_branch, build_commit
from swarm.workspace.repository import Repository
from tests.workspace.repositories import commit_all, make_repository

BRANCH = "swarm/e1"
ADA = Person("ada", "ada@example.invalid")
FILES = {"README.md": b"# Title\n", "src/app.py": b"x = 1\n", "src/util.py": b"y = 1\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """On `main`, which is checked out, with a branch of Swarm's and one of the user's at the same commit."""
    repository = make_repository(tmp_path / "repository", FILES)
    repository.create_branch(BRANCH, repository.head_commit())
    repository.handle.branches.local.create("release", repository.handle.head.peel(pygit2.Commit))
    return repository


def land(repository: Repository, story: str, changes: Mapping[str, bytes | None], **trailers: str) -> str:
    """Commit a story to the branch; its node is called like it."""
    head = repository.branch_head(BRANCH)
    commit = build_commit(
        repository, parent=head, changes=changes, author="developer-1", message=f"{story} Title\n\nDone.",
        trailers={"Story": story, "Execution": "e1", "Node": f"node {story}"} | trailers,
    )  # fmt: skip
    assert advance_branch(repository, BRANCH, expected=head, commit=commit)
    return commit


def take_back(repository: Repository, story: str, files: Mapping[str, bytes] | None = None) -> str:
    """Revert a story on the branch."""
    base, head = repository.head_commit(), repository.branch_head(BRANCH)
    log = branch_log(repository, base=base, head=head)
    source, paths = story_paths(repository, log, f"node {story}", apart_from=files or {})
    commit = build_restoration(
        repository, head=head, source=source, paths=paths, files=files or {}, person=ADA, message=f"Revert {story}",
        trailers={REVERTS: f"node {story}"},
    )  # fmt: skip
    assert advance_branch(repository, BRANCH, expected=head, commit=commit)
    return commit


def stories_on(repository: Repository) -> list[str]:
    log = branch_log(repository, base=repository.head_commit(), head=repository.branch_head(BRANCH))
    return [commit.story for commit in standing(log)]


def git(repository: Repository, *arguments: str) -> str:
    identity = ["-c", "user.name=User", "-c", "user.email=user@example.invalid"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=repository.root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


# Taking a story back


def test_a_story_taken_back_leaves_the_files_as_they_were_before_it_and_keeps_what_came_later(
    repository: Repository,
) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n", "src/util.py": None, "new/deep.py": b"1"})
    land(repository, "1.2", {"README.md": b"# New\n"})

    commit = take_back(repository, "1.1")

    assert repository.read_files(commit, "") == FILES | {"README.md": b"# New\n"}
    assert stories_on(repository) == ["1.2"]
    found = repository.handle[commit].peel(pygit2.Commit)
    assert (found.author.name, found.committer.name) == ("ada", "swarm")


def test_modes_come_back_too(repository: Repository) -> None:
    (repository.root / "run.sh").write_text("#!/bin/sh\n")
    (repository.root / "run.sh").chmod(0o755)
    commit_all(repository.handle, "Script")
    advance_branch(
        repository, BRANCH, expected=repository.branch_head(BRANCH), commit=repository.head_commit(), reason="test"
    )
    before = repository.entry(repository.head_commit(), "run.sh")
    land(repository, "1.1", {"run.sh": None})
    assert repository.entry(take_back(repository, "1.1"), "run.sh") == before


def test_all_commits_of_a_story_are_taken_back_at_once(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    land(repository, "1.2", {"README.md": b"# New\n"})
    land(repository, "1.1", {"src/app.py": b"x = 3\n", "src/util.py": b"y = 2\n"}, Attempt="2")
    assert repository.read_files(take_back(repository, "1.1"), "") == FILES | {"README.md": b"# New\n"}
    assert stories_on(repository) == ["1.2"]


def test_a_story_that_others_have_built_upon_is_not_taken_back_and_they_are_named(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    land(repository, "1.2", {"src/app.py": b"x = 3\n", "README.md": b""})
    land(repository, "1.3", {"src/app.py": b"x = 4\n"})
    with pytest.raises(BuiltUpon, match=r"story 1\.3 changed src/app\.py; story 1\.2 changed src/app\.py"):
        take_back(repository, "1.1")


def test_what_was_taken_back_is_not_in_the_way_of_what_came_before_it(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    land(repository, "1.2", {"src/app.py": b"x = 3\n"})
    take_back(repository, "1.2")
    assert repository.read_files(take_back(repository, "1.1"), "") == FILES


def test_a_change_between_two_commits_of_a_story_is_in_the_way(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    land(repository, "1.2", {"src/app.py": b"x = 3\n"})
    land(repository, "1.1", {"src/app.py": b"x = 4\n"}, Attempt="2")
    with pytest.raises(BuiltUpon, match=r"story 1\.2"):
        take_back(repository, "1.1")


def test_a_persons_own_commit_on_the_branch_is_in_the_way_and_named(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    git(repository, "worktree", "add", "-q", str(repository.root.parent / "other"), BRANCH)
    other = Repository.open(repository.root.parent / "other")
    (other.root / "src" / "app.py").write_text("x = 5\n")
    commit_all(other.handle, "By hand")
    with pytest.raises(BuiltUpon, match=f"commit {other.head_commit()[:8]} changed src/app.py"):
        take_back(repository, "1.1")


def test_a_file_whose_place_is_taken_now_does_not_come_back(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": None})
    land(repository, "1.2", {"src/app.py/main.py": b""})
    with pytest.raises(BuiltUpon, match=r"src/app\.py cannot come back, because a later commit made src/app\.py/main"):
        take_back(repository, "1.1")


def test_files_with_a_new_content_of_their_own_are_written_besides(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n", "README.md": b"1.1\n"})
    land(repository, "1.2", {"README.md": b"1.1\n1.2\n"})
    commit = take_back(repository, "1.1", {"README.md": b"1.2\n"})
    assert repository.read_files(commit, "") == FILES | {"README.md": b"1.2\n"}


def test_a_story_that_is_not_on_the_branch_cannot_be_taken_back(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    take_back(repository, "1.1")
    with pytest.raises(NoSuchCommit, match="nothing to revert"):
        take_back(repository, "1.1")


def test_a_story_done_again_after_it_was_taken_back_stands(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})
    take_back(repository, "1.1")
    land(repository, "1.1", {"src/app.py": b"x = 3\n"})
    assert stories_on(repository) == ["1.1"]
    assert repository.read_files(take_back(repository, "1.1"), "") == FILES


# Merging


def test_a_branch_that_has_not_moved_is_fast_forwarded(repository: Repository) -> None:
    before = repository.head_commit()
    head = land(repository, "1.1", {"a.py": b"1"})
    done = merge(repository, BRANCH, into="release", person=ADA, message="Merge")
    assert (done.kind, done.before, done.after) == (MergeKind.FAST_FORWARD, before, head)
    assert git(repository, "rev-parse", "release") == head
    assert git(repository, "reflog", "-1", "--format=%gs", "release") == "swarm: merge swarm/e1 for ada"


def test_a_branch_that_has_moved_gets_a_merge_commit_of_the_person(repository: Repository) -> None:
    before = git(repository, "commit-tree", "-p", "release", "-m", "Theirs", "release^{tree}")
    git(repository, "branch", "-f", "release", before)
    head = land(repository, "1.1", {"a.py": b"1"})
    done = merge(repository, BRANCH, into="release", person=ADA, message="Merge it\n\nMerged-by: ada\n")
    assert done.kind == MergeKind.MERGE_COMMIT
    assert git(repository, "rev-parse", "release", "release^1", "release^2").split() == [done.after, before, head]
    assert (
        git(repository, "log", "-1", "--format=%an %ae %cn %s", "release") == "ada ada@example.invalid swarm Merge it"
    )
    assert repository.read_files(done.after, "") == FILES | {"a.py": b"1"}
    assert git(repository, "fsck", "--strict") == ""


def test_merging_again_changes_nothing(repository: Repository) -> None:
    land(repository, "1.1", {"a.py": b"1"})
    first = merge(repository, BRANCH, into="release", person=ADA, message="Merge")
    again = merge(repository, BRANCH, into="release", person=ADA, message="Merge")
    assert (again.kind, again.before, again.after) == (MergeKind.ALREADY_MERGED, first.after, first.after)


def test_a_conflict_names_the_files_and_changes_nothing(repository: Repository) -> None:
    land(repository, "1.1", {"src/app.py": b"x = 2\n", "README.md": None})
    git(repository, "worktree", "add", "-q", str(repository.root.parent / "other"), "release")
    other = Repository.open(repository.root.parent / "other")
    (other.root / "src" / "app.py").write_text("x = 9\n")
    (other.root / "README.md").write_text("# Theirs\n")
    commit_all(other.handle, "Theirs")
    git(repository, "worktree", "remove", "--force", str(other.root))
    before = git(repository, "rev-parse", "release")
    with pytest.raises(MergeConflict, match=r"in README\.md, src/app\.py"):
        merge(repository, BRANCH, into="release", person=ADA, message="Merge")
    assert git(repository, "rev-parse", "release") == before


@pytest.mark.parametrize("name", ["nowhere", "", "..", "a b", "refs/heads/main", "HEAD", "x\ny", "ä" * 300])
def test_a_branch_that_is_not_there_is_named(repository: Repository, name: str) -> None:
    with pytest.raises(NoSuchBranch):
        merge(repository, BRANCH, into=name, person=ADA, message="Merge")


def test_a_branch_that_stands_for_another_is_refused(repository: Repository) -> None:
    git(repository, "symbolic-ref", "refs/heads/alias", "refs/heads/release")
    with pytest.raises(NoSuchBranch, match="stands for another branch"):
        merge(repository, BRANCH, into="alias", person=ADA, message="Merge")


def test_swarms_own_branches_are_not_merged_into(repository: Repository) -> None:
    repository.create_branch("swarm/e2", repository.head_commit())
    with pytest.raises(NotMergeable, match="belongs to an execution"):
        merge(repository, BRANCH, into="swarm/e2", person=ADA, message="Merge")


def test_branches_without_a_common_commit_are_not_merged(repository: Repository) -> None:
    orphan = git(repository, "commit-tree", "-m", "Alone", "release^{tree}")
    git(repository, "branch", "-f", "release", orphan)
    with pytest.raises(NotMergeable, match="no commit in common"):
        merge(repository, BRANCH, into="release", person=ADA, message="Merge")


def test_a_checked_out_branch_is_never_moved(repository: Repository) -> None:
    land(repository, "1.1", {"a.py": b"1"})
    before = repository.head_commit()
    with pytest.raises(BranchCheckedOut, match="run `git merge swarm/e1` there"):
        merge(repository, BRANCH, into="main", person=ADA, message="Merge")
    assert repository.head_commit() == before


@pytest.mark.parametrize("seen_from", ["the main working tree", "the worktree"])
def test_a_branch_that_a_worktree_shows_is_never_moved(repository: Repository, seen_from: str) -> None:
    other = repository.root.parent / "other"
    git(repository, "worktree", "add", "-q", str(other), "release")
    opened = repository if seen_from == "the main working tree" else Repository.open(other)
    assert merge_targets(opened) == {"main": True, "release": True}
    for name in ("main", "release"):
        with pytest.raises(BranchCheckedOut):
            merge(opened, BRANCH, into=name, person=ADA, message="Merge")


def test_a_worktree_whose_folder_is_out_of_reach_keeps_its_branch(repository: Repository) -> None:
    other = repository.root.parent / "other"
    git(repository, "worktree", "add", "-q", str(other), "release")
    other.rename(repository.root.parent / "unmounted")
    assert merge_targets(repository) == {"main": True, "release": True}


def test_a_branch_that_is_being_rebased_is_never_moved(repository: Repository) -> None:
    other = Repository.open(repository.root)
    git(other, "checkout", "-q", "release")
    (other.root / "README.md").write_text("# Mine\n")
    commit_all(other.handle, "Mine")
    git(other, "checkout", "-q", "main")
    (other.root / "README.md").write_text("# Theirs\n")
    commit_all(other.handle, "Theirs")
    with pytest.raises(subprocess.CalledProcessError):
        git(other, "rebase", "main", "release")
    assert merge_targets(repository) == {"main": False, "release": True}


def test_a_merge_runs_no_hook_and_touches_no_index_and_no_working_tree(repository: Repository) -> None:
    hooks = repository.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "pre-merge-commit", "post-merge", "update", "post-commit", "commit-msg"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {repository.root}/hook-{name}\n")
        (hooks / name).chmod(0o755)
    (repository.root / "src" / "app.py").write_text("unsaved = 1\n")
    git(repository, "add", "README.md")
    git(
        repository,
        "branch",
        "-f",
        "release",
        git(repository, "commit-tree", "-p", "release", "-m", "T", "release^{tree}"),
    )
    for hook in repository.root.glob("hook-*"):
        hook.unlink()  # what git itself has run just now
    index = (repository.root / ".git" / "index").read_bytes()
    land(repository, "1.1", {"src/app.py": b"x = 2\n"})

    assert merge(repository, BRANCH, into="release", person=ADA, message="M").kind == MergeKind.MERGE_COMMIT

    assert (repository.root / ".git" / "index").read_bytes() == index
    assert (repository.root / "src" / "app.py").read_text() == "unsaved = 1\n"
    assert list(repository.root.glob("hook-*")) == []


def test_a_merge_that_meets_another_writer_starts_again_from_where_the_branch_is_then(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(repository, "1.1", {"a.py": b"1"})
    moved: list[str] = []
    move_ref = merge.__globals__["move_ref"]

    def move_after_somebody_else(*arguments: object, **options: object) -> bool:
        if not moved:
            moved.append(git(repository, "commit-tree", "-p", "release", "-m", "Theirs", "release^{tree}"))
            git(repository, "branch", "-f", "release", moved[0])
        return bool(move_ref(*arguments, **options))

    monkeypatch.setattr("swarm.workspace.branches.move_ref", move_after_somebody_else)
    done = merge(repository, BRANCH, into="release", person=ADA, message="Merge")
    assert (done.kind, done.before) == (MergeKind.MERGE_COMMIT, moved[0])
