"""Through the tools, from the first call to the commit: renames, modes, spellings, and what is refused."""

from __future__ import annotations

import subprocess
import unicodedata
from typing import Any

import pygit2
import pytest
from pygit2.enums import FileMode

from swarm.models import FileLock, Node
from tests.engine.scripts import FINISH, Call, answers, delete, script, write
from tests.main_job import MainJob, node_of
from tests.workspace.repositories import USER

SCRIPT = "#!/bin/sh\nset -e\necho one\necho two\n"
NFC, NFD = (unicodedata.normalize(form, "docs/café.md") for form in ("NFC", "NFD"))


@pytest.fixture(autouse=True)
def files(main_job: MainJob, settings: Any) -> pygit2.Repository:
    """A workspace with files of every kind that git knows."""
    settings.SWARM_CHECK_COMMAND = ""
    git = pygit2.Repository(str(main_job.workspace))
    held: dict[str, tuple[bytes, FileMode]] = {
        "run.sh": (SCRIPT.encode(), FileMode.BLOB_EXECUTABLE),
        "logo.png": (b"\x89PNG\0\1", FileMode.BLOB),
        "model.bin": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", FileMode.BLOB),
        "passwords": (b"/etc/passwd", FileMode.LINK),
        "folder": (b"/etc", FileMode.LINK),
        NFC: (b"Coffee\n", FileMode.BLOB),
    }
    for path, (content, mode) in held.items():
        git.index.add(pygit2.IndexEntry(path, git.create_blob(content), mode))
    git.index.add(pygit2.IndexEntry("vendor", git.head.peel(pygit2.Commit).id, FileMode.COMMIT))
    git.create_commit("HEAD", USER, USER, "Every kind", git.index.write_tree(), [git.head.target])
    return git


def do(main_job: MainJob, *calls: Call) -> tuple[list[str], pygit2.Commit]:
    """Make the calls, then finish: their answers, and the story's commit."""
    main_job.behaviours["1.1"] = script([*calls, write("a.py", "a = 1\n"), *FINISH])
    execution = main_job.run("1.1", max_attempts=1)
    assert node_of(execution, "1.1")["status"] == Node.Status.COMPLETED, answers("1.1")
    [commit] = main_job.commits(execution)
    return answers("1.1")[: len(calls)], commit


def git_show(main_job: MainJob, commit: pygit2.Commit) -> str:
    """What git itself says that a commit did."""
    command = ["git", "show", "--format=", "--summary", "--find-renames", str(commit.id)]
    return subprocess.run(command, cwd=main_job.workspace, capture_output=True, text=True, check=True).stdout


def test_a_rename_claims_both_paths_and_git_shows_it_as_one(main_job: MainJob) -> None:
    _, commit = do(main_job, delete("larder/units.py"), write("larder/measures.py", read(main_job, "larder/units.py")))

    assert " rename larder/{units.py => measures.py} (100%)" in git_show(main_job, commit)
    assert set(FileLock.objects.values_list("path", flat=True)) == {"larder/units.py", "larder/measures.py", "a.py"}


def read(main_job: MainJob, path: str) -> str:
    return (main_job.workspace / path).read_text()


@pytest.mark.parametrize("name", ["tools/start.sh", "RUN.sh"])
def test_a_script_stays_executable_when_it_is_moved_and_mended(main_job: MainJob, settings: Any, name: str) -> None:
    settings.SWARM_CHECK_COMMAND = f"./{name}"  # so it must be executable in the checkout already

    _, commit = do(main_job, delete("run.sh"), write(name, SCRIPT.replace("two", "2")))

    assert commit.tree[name].filemode == FileMode.BLOB_EXECUTABLE
    assert "run.sh" not in commit.tree


def test_a_script_stays_executable_when_it_is_edited_and_another_new_file_is_not(main_job: MainJob) -> None:
    _, commit = do(
        main_job,
        ("edit_file", {"path": "run.sh", "old_text": "two", "new_text": "three"}),
        write("new.sh", SCRIPT),
    )

    assert commit.tree["run.sh"].filemode == FileMode.BLOB_EXECUTABLE
    assert commit.tree["new.sh"].filemode == FileMode.BLOB
    assert (commit.tree / "run.sh").read_raw().endswith(b"echo three\n")


def test_a_binary_file_can_be_deleted_or_replaced_but_not_read(main_job: MainJob) -> None:
    told, commit = do(
        main_job,
        ("read_file", {"path": "logo.png"}),
        ("edit_file", {"path": "logo.png", "old_text": "PNG", "new_text": "GIF"}),
        delete("logo.png"),
    )

    assert told[0].startswith("Error: not_text. logo.png is a binary file")
    assert told[1].startswith("Error: not_text. logo.png is a binary file")
    assert "logo.png" not in commit.tree


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("vendor", "vendor is a submodule;"),
        ("model.bin", "model.bin is kept by Git LFS;"),
        ("passwords", "passwords is a symbolic link;"),
        ("larder", "larder is a folder;"),
    ],
)
def test_what_is_no_plain_file_is_refused_with_a_sentence_and_left_alone(
    main_job: MainJob, files: pygit2.Repository, path: str, says: str
) -> None:
    before = files.head.peel(pygit2.Commit).tree[path].id
    told, commit = do(
        main_job,
        ("read_file", {"path": path}),
        write(path, "x"),
        ("edit_file", {"path": path, "old_text": "x", "new_text": "y"}),
        delete(path),
    )

    assert all(answer.startswith("Error: not_a_file. ") and says in answer for answer in told), told
    assert commit.tree[path].id == before


@pytest.mark.parametrize("path", ["folder/passwd", "vendor/lib.py", "passwords/x"])
def test_nothing_is_reached_through_a_link_or_a_submodule(main_job: MainJob, path: str) -> None:
    told, _ = do(main_job, ("read_file", {"path": path}), write(path, "x"), delete(path))

    assert all("is not a folder" in answer for answer in told), told


@pytest.mark.parametrize("path", [".GIT/config", ".git./x", "GIT~1/x", ".g\u200cit/x", ".git::$INDEX_ALLOCATION/x"])
def test_git_is_out_of_reach_in_every_spelling(main_job: MainJob, path: str) -> None:
    told, _ = do(main_job, ("read_file", {"path": path}), write(path, "x"), delete(path))

    assert all(answer.startswith(("Error: path_outside_workspace. ", "Error: bad_path. ")) for answer in told), told
    assert list(FileLock.objects.values_list("path", flat=True)) == ["a.py"]


def test_a_path_has_one_lock_whatever_its_case_and_form_and_one_spelling(main_job: MainJob) -> None:
    told, commit = do(main_job, write(NFD, "x"), write("DOCS/CAFÉ.MD", "x"), write("Larder/new.py", "x"))

    assert all(answer.startswith("Error: path_clash. ") and "use that spelling" in answer for answer in told), told
    assert FileLock.objects.filter(key=NFC.casefold()).count() == 1
    assert (commit.tree / NFC).read_raw() == b"Coffee\n"


def test_a_file_can_be_renamed_by_case_alone(main_job: MainJob) -> None:
    told, commit = do(main_job, delete("README.md"), write("Readme.md", "# Larder\n"))

    assert told == ["README.md is changed in your snapshot.", "Readme.md is changed in your snapshot."]
    assert "README.md" not in commit.tree
    assert (commit.tree / "Readme.md").read_raw() == b"# Larder\n"


def test_files_and_names_have_limits(main_job: MainJob) -> None:
    told, _ = do(main_job, write("x" * 256, ""), write("x/" * 600, ""), write("big", "x" * ((1 << 20) + 1)))

    assert [answer.split(".")[0] for answer in told] == ["Error: bad_path", "Error: bad_path", "Error: file_too_large"]
