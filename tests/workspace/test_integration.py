"""One commit for a story, and the race for the branch."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.workspace import integration
from swarm.workspace.errors import BranchLocked, NoSuchBranch, PathClash
from swarm.workspace.integration import advance_branch, build_commit
from swarm.workspace.leftovers import LEFT_OVER_S
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot
from tests.workspace.repositories import commit_all, commit_on, history, make_repository

BRANCH = "swarm/e1"
FILES = {"README.md": b"# Title\n", "src/app.py": b"x = 1\n", "src/util.py": b"y = 1\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = make_repository(tmp_path / "repository", FILES)
    repository.create_branch(BRANCH, repository.head_commit())
    return repository


def test_a_commit_holds_exactly_the_parents_files_with_the_changes(repository: Repository) -> None:
    head = repository.head_commit()
    commit = commit_on(repository, head, {"src/app.py": b"x = 2\r\n", "src/util.py": None, "new/deep/a": b"\0"})
    assert repository.read_files(commit, "") == {
        "README.md": b"# Title\n",
        "src/app.py": b"x = 2\r\n",
        "new/deep/a": b"\0",
    }
    assert repository.branch_head(BRANCH) == head


def test_a_commit_names_its_developer_and_carries_its_trailers_last(repository: Repository) -> None:
    commit = build_commit(
        repository,
        parent=repository.head_commit(),
        changes={"a": b""},
        author="developer-3",
        message="1.1 Greet\n\nDone.\0\ud800\nStory: 9.9\n\n",
        trailers={"Story": "1.1", "Execution": "e1\nEvil: yes"},
    )
    found = history(repository, commit)[0]
    assert (found.author.name, found.author.email) == ("developer-3", "developer-3@swarm.invalid")
    assert (found.committer.name, found.committer.email) == ("developer-3", "developer-3@swarm.invalid")
    assert (
        found.message
        == "1.1 Greet\n\nDone.\N{REPLACEMENT CHARACTER}?\nStory: 9.9\n\nStory: 1.1\nExecution: e1 Evil: yes\n"
    )
    assert [str(parent) for parent in found.parent_ids] == [repository.head_commit()]


def test_modes_are_kept_and_new_files_are_not_executable(repository: Repository) -> None:
    script = repository.root / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    (repository.root / "link").symlink_to("run.sh")
    commit_all(repository.handle, "Script")
    commit = commit_on(repository, repository.head_commit(), {"run.sh": b"#!/bin/sh\ntrue\n", "new.sh": b"#!/bin/sh\n"})
    modes = {path: oct(entry.mode) for path, entry in repository.entries(commit) if "/" not in path}
    assert modes == {"README.md": "0o100644", "run.sh": "0o100755", "new.sh": "0o100644", "link": "0o120000"}


def test_deleting_what_the_parent_does_not_have_changes_nothing(repository: Repository) -> None:
    head = repository.head_commit()
    assert repository.changed_paths(head, commit_on(repository, head, {"nowhere": None})) == set()


@pytest.mark.parametrize("path", ["readme.md", "Src/new.py", "src", "README.md/x"])
def test_a_path_that_clashes_with_what_others_committed_is_loud(repository: Repository, path: str) -> None:
    with pytest.raises(PathClash):
        commit_on(repository, repository.head_commit(), {path: b""})


def test_two_changes_that_clash_with_each_other_are_loud(repository: Repository) -> None:
    with pytest.raises(PathClash):
        commit_on(repository, repository.head_commit(), {"new.md": b"", "New.md": b""})
    with pytest.raises(PathClash):
        commit_on(repository, repository.head_commit(), {"new": b"", "new/a": b""})


def test_a_file_can_be_renamed_by_case_and_replaced_by_a_folder(repository: Repository) -> None:
    head = repository.head_commit()
    changes = {"README.md": None, "Readme.md": b"r", "src/app.py/main.py": b"m", "src/app.py": None}
    commit = commit_on(repository, head, changes)
    assert repository.read_files(commit, "") == {
        "Readme.md": b"r",
        "src/app.py/main.py": b"m",
        "src/util.py": b"y = 1\n",
    }


@pytest.fixture(scope="module")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("shared"), FILES)


@given(st.lists(st.tuples(st.sampled_from([*FILES, "a", "b/c"]), st.one_of(st.none(), st.text("xy", max_size=3)))))
def test_the_commit_of_a_snapshot_holds_what_the_snapshot_shows(
    shared_repository: Repository, steps: list[tuple[str, str | None]]
) -> None:
    head = shared_repository.head_commit()
    snapshot = Snapshot(shared_repository, head)
    expected = dict(FILES)
    for path, text in steps:
        if text is not None:
            snapshot.write(path, text)
            expected[path] = text.encode()
        elif path in expected:
            snapshot.delete(path)
            del expected[path]
    assert snapshot.list_files() == sorted(expected)
    assert {path: snapshot.read(path).encode() for path in expected} == expected
    assert shared_repository.read_files(commit_on(shared_repository, head, snapshot.changes), "") == expected


# The race for the branch


def test_the_branch_moves_only_from_where_it_is_expected(repository: Repository) -> None:
    head = repository.head_commit()
    first, second = (commit_on(repository, head, {"a": text}) for text in (b"1", b"2"))
    assert advance_branch(repository, BRANCH, expected=head, commit=first) is True
    assert advance_branch(repository, BRANCH, expected=head, commit=second) is False
    assert repository.branch_head(BRANCH) == first


def test_a_deleted_branch_is_not_made_again(repository: Repository) -> None:
    head = repository.head_commit()
    repository.handle.references.delete(f"refs/heads/{BRANCH}")
    with pytest.raises(NoSuchBranch):
        advance_branch(repository, BRANCH, expected=head, commit=head)
    assert not list((repository.root / ".git" / "refs" / "heads").rglob("*.lock"))


def test_a_branch_that_git_has_packed_moves_too(repository: Repository) -> None:
    head = repository.head_commit()
    repository.handle.compress_references()
    assert not (repository.root / ".git" / "refs" / "heads" / BRANCH).exists()
    commit = commit_on(repository, head, {"a": b"1"})
    assert advance_branch(repository, BRANCH, expected=head, commit=commit) is True
    assert Repository.open(repository.root).branch_head(BRANCH) == commit


def test_gits_own_lock_on_the_branch_is_respected(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integration, "LOCK_WAIT_S", 0.01)
    head = repository.head_commit()
    commit = commit_on(repository, head, {"a": b"1"})
    lock = repository.root / ".git" / "refs" / "heads" / f"{BRANCH}.lock"
    lock.touch()
    with pytest.raises(BranchLocked, match="by another git process"):
        advance_branch(repository, BRANCH, expected=head, commit=commit)
    assert repository.branch_head(BRANCH) == head
    lock.unlink()
    assert advance_branch(repository, BRANCH, expected=head, commit=commit) is True


@pytest.mark.parametrize("is_linked", [False, True])
def test_the_lock_that_a_killed_process_left_is_removed_once_it_is_old(
    repository: Repository, tmp_path: Path, is_linked: bool
) -> None:
    head = repository.head_commit()
    commit = commit_on(repository, head, {"a": b"1"})
    lock = repository.root / ".git" / "refs" / "heads" / f"{BRANCH}.lock"
    lock.touch()
    long_ago = time.time() - LEFT_OVER_S
    os.utime(lock, (long_ago, long_ago))
    if is_linked:
        repository.handle.add_worktree("linked", str(tmp_path / "linked"))
        repository = Repository.open(tmp_path / "linked")
    assert advance_branch(repository, BRANCH, expected=head, commit=commit) is True
    assert repository.branch_head(BRANCH) == commit
    assert not lock.exists()


def add_file(repository: Repository, path: str) -> None:
    """Add one file to the branch, however often others are faster."""
    while True:
        head = repository.branch_head(BRANCH)
        if advance_branch(repository, BRANCH, expected=head, commit=commit_on(repository, head, {path: b"x"})):
            return


def test_of_16_threads_that_commit_at_once_none_is_lost(repository: Repository) -> None:
    barrier = threading.Barrier(16, timeout=30)

    def work(number: int) -> None:
        barrier.wait()
        add_file(repository, f"new{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history(repository, repository.branch_head(BRANCH))) == 17
    names = {name for name in repository.names(repository.branch_head(BRANCH), "") if name.startswith("new")}
    assert names == {f"new{number}" for number in range(16)}


def test_of_processes_that_commit_at_once_none_is_lost(repository: Repository) -> None:
    script = (
        "import sys; from pathlib import Path; from swarm.workspace.repository import Repository;"
        "from tests.workspace.test_integration import add_file; repository = Repository.open(Path(sys.argv[1]));"
        "sys.stdin.read(); [add_file(repository, f'{sys.argv[2]}-{n}') for n in range(10)]"
    )
    command = [sys.executable, "-c", script, str(repository.root)]
    processes = [subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE) for number in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()  # all start their work now
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(history(repository, repository.branch_head(BRANCH))) == 31
    added = {name for name in repository.names(repository.branch_head(BRANCH), "") if "-" in name}
    assert added == {f"{process}-{number}" for process in range(3) for number in range(10)}
