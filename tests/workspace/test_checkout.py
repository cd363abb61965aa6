"""Plain files for checks, made and removed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygit2
import pytest
from pygit2.enums import FileMode

from swarm.workspace.checkout import checked_out, remove_leftovers, rewritten_files
from swarm.workspace.errors import PathOutsideWorkspace, UnsafeFolder
from swarm.workspace.repository import Repository
from tests.workspace.repositories import USER, commit_all, make_repository

FILES = {"README.md": b"# Title\r\n", "src/app.py": b"x = 1\n", "src/gone.py": b"\0\xff"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository", FILES)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkouts"


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_checkout_holds_the_commit_with_the_changes_and_nothing_of_git(repository: Repository, root: Path) -> None:
    changes = {"src/app.py": b"x = 2\n", "src/gone.py": None, "new/deep/a": b"\r\n"}
    with checked_out(repository, commit=repository.head_commit(), changes=changes, root=root) as folder:
        assert files_below(folder) == {"README.md": b"# Title\r\n", "src/app.py": b"x = 2\n", "new/deep/a": b"\r\n"}
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "new", "src"]
    assert list(root.iterdir()) == []


def test_a_checkout_is_removed_when_its_block_fails_with_what_was_put_there(repository: Repository, root: Path) -> None:
    def fail() -> None:
        with checked_out(repository, commit=repository.head_commit(), changes={}, root=root) as folder:
            (folder / "left" / "over").mkdir(parents=True)
            (folder.parent / "beside").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(root.iterdir()) == []


def test_modes_and_links_are_as_in_the_commit_and_a_submodule_is_an_empty_folder(
    repository: Repository, root: Path
) -> None:
    script = repository.root / "run.sh"
    script.write_text("true\n")
    script.chmod(0o755)
    (repository.root / "link").symlink_to("src")
    commit_all(repository.handle, "Script")
    index = repository.handle.index
    index.add(pygit2.IndexEntry("vendor/lib", pygit2.Oid(hex=repository.head_commit()), FileMode.COMMIT))
    repository.handle.create_commit("HEAD", USER, USER, "Module", index.write_tree(), [repository.handle.head.target])
    commit = repository.head_commit()
    with checked_out(repository, commit=commit, changes={"run.sh": b"false\n"}, root=root) as folder:
        assert (folder / "run.sh").stat().st_mode & 0o111
        assert not (folder / "README.md").stat().st_mode & 0o111
        assert (folder / "link").readlink() == Path("src")
        assert list((folder / "vendor" / "lib").iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".git"])
def test_a_commit_made_to_break_out_is_refused(repository: Repository, root: Path, name: str) -> None:
    git = repository.handle
    blob = git.create_blob(b"evil")
    folder = git.odb.write(pygit2.enums.ObjectType.TREE, b"100644 evil\0" + blob.raw)
    top = git.odb.write(pygit2.enums.ObjectType.TREE, f"40000 {name}\0".encode() + folder.raw)
    header = f"tree {top}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx".encode()
    commit = str(git.odb.write(pygit2.enums.ObjectType.COMMIT, header))
    with (
        pytest.raises(PathOutsideWorkspace, match="must not be checked out"),
        checked_out(repository, commit=commit, changes={}, root=root),
    ):
        pass
    assert list(root.iterdir()) == []


def test_20_checkouts_at_once_do_not_disturb_each_other(repository: Repository, root: Path) -> None:
    barrier = threading.Barrier(20, timeout=30)
    seen: dict[int, dict[str, bytes]] = {}

    def work(number: int) -> None:
        barrier.wait()
        changes = {"src/app.py": str(number).encode()}
        with checked_out(repository, commit=repository.head_commit(), changes=changes, root=root) as folder:
            barrier.wait()
            assert remove_leftovers(root) == 0
            barrier.wait()
            seen[number] = files_below(folder)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {number: {**FILES, "src/app.py": str(number).encode()} for number in range(20)}
    assert list(root.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(repository: Repository, root: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from swarm.workspace.checkout import checked_out;"
        "from swarm.workspace.repository import Repository; repository = Repository.open(Path(sys.argv[1]));"
        "block = checked_out(repository, commit=repository.head_commit(), changes={}, root=Path(sys.argv[2]));"
        "block.__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.call([sys.executable, "-c", script, str(repository.root), str(root)]) == -9
    assert len(list(root.iterdir())) == 2
    with checked_out(repository, commit=repository.head_commit(), changes={}, root=root) as folder:
        assert remove_leftovers(root) == 1
        assert files_below(folder) == FILES
        assert len(list(root.iterdir())) == 2
    assert list(root.iterdir()) == []


def test_a_lock_file_that_a_cleaner_took_for_a_dead_ones_is_given_up(
    repository: Repository, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkstemp = tempfile.mkstemp
    cleaned: list[int] = []

    def mkstemp_and_clean_up(**arguments: Any) -> tuple[int, str]:
        made = mkstemp(**arguments)
        if not cleaned:
            cleaned.append(remove_leftovers(root))
        return made

    monkeypatch.setattr(tempfile, "mkstemp", mkstemp_and_clean_up)
    with checked_out(repository, commit=repository.head_commit(), changes={}, root=root):
        assert cleaned == [1]
        assert len(list(root.glob("*.lock"))) == 1
    assert list(root.iterdir()) == []


def test_removing_leftovers_where_nothing_was_ever_made_is_harmless(root: Path) -> None:
    assert remove_leftovers(root) == 0


# The folder for checkouts


def test_the_folder_for_checkouts_is_made_for_its_user_alone(repository: Repository, root: Path) -> None:
    with checked_out(repository, commit=repository.head_commit(), changes={}, root=root):
        assert root.stat().st_mode & 0o777 == 0o700


def make_link(root: Path) -> None:
    (root.parent / "elsewhere").mkdir(mode=0o700)
    root.symlink_to("elsewhere")


def make_open(root: Path) -> None:
    root.mkdir()
    root.chmod(0o750)


def make_foreign(root: Path) -> None:
    root.mkdir(mode=0o700)
    os.chown(root, 65534, 65534)


@pytest.mark.parametrize(
    "make",
    [
        make_link,
        make_open,
        pytest.param(make_foreign, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")),
    ],
)
def test_a_folder_that_others_could_have_prepared_is_refused(
    repository: Repository, root: Path, make: Callable[[Path], None]
) -> None:
    make(root)
    with (
        pytest.raises(UnsafeFolder, match="remove it, or set TMPDIR"),
        checked_out(repository, commit=repository.head_commit(), changes={}, root=root),
    ):
        pass
    assert list(root.iterdir()) == []
    (root / "checkout-1.lock").touch()
    assert remove_leftovers(root) == 0
    assert (root / "checkout-1.lock").exists()


# What a check has changed


def test_of_what_changed_in_a_checkout_the_new_content_is_given(repository: Repository, root: Path) -> None:
    changes = {"src/app.py": b"x = 2\n", "new.py": b"n\n", "src/gone.py": None}
    commit = repository.head_commit()
    with checked_out(repository, commit=commit, changes=changes, root=root) as folder:
        assert rewritten_files(repository, commit=commit, changes=changes, directory=folder) == {}
        (folder / "README.md").write_bytes(b"# Title\n")
        (folder / "new.py").write_bytes(b"N\n")
        (folder / "src" / "gone.py").write_bytes(b"back")
        (folder / "cache").write_bytes(b"")
        (folder / "src" / "app.py").unlink()
        assert rewritten_files(repository, commit=commit, changes=changes, directory=folder) == {
            "README.md": b"# Title\n",
            "new.py": b"N\n",
            "src/app.py": None,
        }


def test_a_file_written_again_as_it_was_has_not_changed(repository: Repository, root: Path) -> None:
    commit = repository.head_commit()
    with checked_out(repository, commit=commit, changes={}, root=root) as folder:
        (folder / "README.md").unlink()
        (folder / "README.md").write_bytes(FILES["README.md"])
        assert rewritten_files(repository, commit=commit, changes={}, directory=folder) == {}


def test_in_a_checkout_that_has_become_a_link_nothing_is_read(repository: Repository, root: Path) -> None:
    commit = repository.head_commit()
    with checked_out(repository, commit=commit, changes={}, root=root) as folder:
        folder.rename(folder.parent / "away")
        folder.symlink_to("away")
        assert rewritten_files(repository, commit=commit, changes={}, directory=folder) == dict.fromkeys(FILES)
