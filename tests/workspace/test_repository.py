"""Opening a repository and reading it."""

from __future__ import annotations

import threading
from pathlib import Path

import pygit2
import pytest

from swarm.workspace.errors import BranchExists, NoCommits, NoSuchBranch, NoSuchCommit, NotARepository
from swarm.workspace.repository import Repository
from tests.workspace.repositories import commit_all, commit_on, make_repository


def test_a_folder_that_does_not_exist_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="is not a folder: set SWARM_WORKSPACE"):
        Repository.open(tmp_path / "nowhere")


def test_a_folder_without_git_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="run `git init`"):
        Repository.open(tmp_path)


def test_a_repository_without_commits_is_refused_in_words(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path))
    with pytest.raises(NoCommits, match="make a first one"):
        Repository.open(tmp_path)


def test_a_bare_repository_is_refused_in_words(tmp_path: Path) -> None:
    pygit2.init_repository(str(tmp_path), bare=True)
    with pytest.raises(NotARepository, match="bare repository: clone it"):
        Repository.open(tmp_path)


def test_a_repository_in_a_format_of_the_future_is_refused_in_words(tmp_path: Path) -> None:
    make_repository(tmp_path, {"a": b""})
    config = tmp_path / ".git" / "config"
    config.write_text(config.read_text().replace("repositoryformatversion = 0", "repositoryformatversion = 99"))
    with pytest.raises(NotARepository, match="cannot be read"):
        Repository.open(tmp_path)


def test_a_folder_inside_a_repository_is_refused_with_the_folder_to_name(tmp_path: Path) -> None:
    make_repository(tmp_path, {"src/a.py": b""})
    with pytest.raises(NotARepository, match=f"set SWARM_WORKSPACE to {tmp_path}"):
        Repository.open(tmp_path / "src")


def test_a_linked_worktree_is_opened_with_its_own_head(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "main", {"a": b"1"})
    repository.handle.add_worktree("other", str(tmp_path / "other"))
    other = Repository.open(tmp_path / "other")
    assert other.head_branch() == "other"
    other.create_branch("swarm/x", other.head_commit())
    assert repository.branch_head("swarm/x") == repository.head_commit()


def test_head_names_its_branch_or_none_when_detached(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    assert repository.head_branch() == "main"
    repository.handle.set_head(repository.handle.head.target)
    assert repository.head_branch() is None
    assert repository.head_commit() == str(repository.handle.head.target)


def test_uncommitted_paths_are_the_staged_the_changed_and_the_new_but_not_the_ignored(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1", "b": b"1", "c": b"1", ".gitignore": b"*.log\n"})
    (tmp_path / "a").write_text("22")
    (tmp_path / "b").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "x").touch()
    (tmp_path / "x.log").touch()
    (tmp_path / "staged").touch()
    repository.handle.index.add("staged")
    repository.handle.index.write()
    assert repository.uncommitted_paths() == ["a", "b", "new/", "staged"]


def test_a_clean_working_tree_has_no_uncommitted_paths(tmp_path: Path) -> None:
    assert make_repository(tmp_path, {"a": b"1"}).uncommitted_paths() == []


def test_the_list_of_uncommitted_paths_is_capped(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    for number in range(120):
        (tmp_path / f"new{number}").touch()
    assert len(repository.uncommitted_paths()) == 100


def test_a_branch_is_made_once_and_again_without_harm(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    head = repository.head_commit()
    repository.create_branch("swarm/x", head)
    repository.create_branch("swarm/x", head)
    assert repository.branch_head("swarm/x") == head


def test_a_branch_that_points_elsewhere_is_left_alone(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    head = repository.head_commit()
    repository.create_branch("swarm/x", head)
    with pytest.raises(BranchExists, match="delete or rename it"):
        repository.create_branch("swarm/x", commit_on(repository, head, {"a": b"2"}))
    assert repository.branch_head("swarm/x") == head


def test_a_branch_called_swarm_is_said_to_be_in_the_way(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    repository.handle.create_reference("refs/heads/swarm", repository.handle.head.target)
    with pytest.raises(BranchExists, match="rename a branch called 'swarm'"):
        repository.create_branch("swarm/x", repository.head_commit())


def test_no_other_branch_than_swarms_own_can_be_named(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    with pytest.raises(ValueError, match="not a branch of Swarm's"):
        repository.create_branch("main2", repository.head_commit())


def test_a_deleted_branch_and_a_lost_commit_are_said_in_words(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    with pytest.raises(NoSuchBranch, match="swarm/x is gone"):
        repository.branch_head("swarm/x")
    with pytest.raises(NoSuchCommit, match="is gone"):
        repository.read_file("0" * 40, "a")
    with pytest.raises(NoSuchCommit, match="is gone"):
        repository.create_branch("swarm/x", "0" * 40)


def test_files_are_read_from_the_commit_not_from_the_working_tree(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"docs/1.md": b"one\r\n", "docs/sub/2.md": b"\xff", "a": b"1"})
    (tmp_path / "docs" / "1.md").write_text("changed")
    head = repository.head_commit()
    assert repository.read_files(head, "docs") == {"docs/1.md": b"one\r\n", "docs/sub/2.md": b"\xff"}
    assert repository.read_files(head, "nowhere") == {}
    assert repository.read_files(head, "a") == {}
    assert repository.read_file(head, "docs/1.md") == b"one\r\n"
    assert repository.read_file(head, "docs") is None
    assert repository.read_file(head, "nowhere") is None


def test_a_symbolic_link_is_not_read_as_a_file(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    (tmp_path / "link").symlink_to("/etc/passwd")
    commit_all(repository.handle, "Link")
    assert repository.read_file(repository.head_commit(), "link") is None
    assert repository.read_files(repository.head_commit(), "") == {"a": b"1"}


def test_a_diff_shows_changed_new_and_deleted_files(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a.txt": b"one\ntwo\n", "gone.txt": b"x\n", "latin.txt": b"caf\xe9\n"})
    head = repository.head_commit()
    changes = {"a.txt": b"one\n2\n", "gone.txt": None, "new.txt": b"n\n", "latin.txt": b"th\xe9\n"}
    commit = commit_on(repository, head, changes)
    assert repository.changed_paths(head, commit) == set(changes)
    diff = repository.diff(head, commit)
    assert "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n" in diff
    assert "--- a/gone.txt\n+++ /dev/null" in diff
    assert "--- /dev/null\n+++ b/new.txt" in diff
    assert "-caf\N{REPLACEMENT CHARACTER}\n" in diff
    assert repository.diff(head, head) == ""
    assert repository.changed_paths(head, head) == set()


def test_each_thread_has_a_handle_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    repository = make_repository(tmp_path, {"a": b"1"})
    seen: list[pygit2.Repository] = []
    thread = threading.Thread(target=lambda: seen.extend([repository.handle, repository.handle]))
    thread.start()
    thread.join()
    assert seen[0] is seen[1]
    assert seen[0] is not repository.handle
