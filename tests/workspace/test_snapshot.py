"""What one node sees and may change."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygit2.enums import FileMode

from swarm.workspace import search
from swarm.workspace.errors import (
    BadPattern,
    EditNotUnique,
    FileTooLarge,
    LostUpdate,
    NoSuchFile,
    NotAFile,
    NotText,
    PathClash,
    PathOutsideWorkspace,
    SearchTooSlow,
)
from swarm.workspace.repository import Repository
from swarm.workspace.snapshot import Snapshot
from tests.workspace.repositories import USER, commit_all, commit_on, make_repository

FILES = {
    "README.md": b"# Title\n",
    "src/app.py": b"def run():\n    return 1\n",
    "src/util.py": b"def help():\n    return 1\n",
    "dos.txt": b"one\r\ntwo\r\nthree\r\n",
    "logo.png": b"\x89PNG\0\1",
    "latin.txt": b"caf\xe9\n",
}
AB = st.text("ab\n", max_size=8)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository", FILES)


@pytest.fixture
def snapshot(repository: Repository) -> Snapshot:
    return Snapshot(repository, repository.head_commit())


@pytest.fixture(scope="module")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return make_repository(tmp_path_factory.mktemp("empty"), {})


def snapshot_with(tmp_path: Path, files: dict[str, bytes]) -> Snapshot:
    repository = make_repository(tmp_path / "other", files)
    return Snapshot(repository, repository.head_commit())


def test_a_node_sees_the_commit_and_not_the_working_tree(repository: Repository, snapshot: Snapshot) -> None:
    (repository.root / "README.md").write_text("changed by the user")
    (repository.root / "new.md").write_text("new")
    assert snapshot.read("README.md") == "# Title\n"
    assert snapshot.list_files() == sorted(FILES)


def test_a_node_sees_its_own_changes_and_no_other_node_does(repository: Repository, snapshot: Snapshot) -> None:
    other = Snapshot(repository, snapshot.base)
    snapshot.write("README.md", "mine\n")
    snapshot.write("new/a.py", "x = 1\n")
    snapshot.delete("dos.txt")
    assert snapshot.read("README.md") == "mine\n"
    assert set(snapshot.list_files()) == (FILES.keys() - {"dos.txt"}) | {"new/a.py"}
    assert snapshot.changes == {"README.md": b"mine\n", "new/a.py": b"x = 1\n", "dos.txt": None}
    assert other.read("README.md") == "# Title\n"
    assert other.list_files() == sorted(FILES)
    assert other.changes == {}


def test_a_list_can_be_narrowed_by_a_glob(snapshot: Snapshot) -> None:
    snapshot.write("src/new.py", "")
    assert snapshot.list_files("src/*.py") == ["src/app.py", "src/new.py", "src/util.py"]


def test_a_path_is_normalised_before_use(snapshot: Snapshot) -> None:
    snapshot.write("./src//app.py", "x\n")
    assert snapshot.read("src/app.py") == "x\n"
    for act in (snapshot.read, snapshot.delete, lambda path: snapshot.write(path, "")):
        with pytest.raises(PathOutsideWorkspace):
            act("../secret")


def test_names_that_would_break_a_list_are_left_out(tmp_path: Path) -> None:
    assert snapshot_with(tmp_path, {"a\nb": b"", "c": b""}).list_files() == ["c"]


# Reading


def test_some_lines_of_a_file_can_be_read(snapshot: Snapshot) -> None:
    snapshot.write("lines", "1\n2\n3\n4")
    assert snapshot.read("lines", 2, 3) == "2\n3\n"
    assert snapshot.read("lines", 3) == "3\n4"
    assert snapshot.read("lines", None, 1) == "1\n"
    assert snapshot.read("lines", 1, 99) == "1\n2\n3\n4"
    assert snapshot.read("lines", 9) == "[lines has only 4 lines.]"
    assert snapshot.read("lines", 3, 2) == ""


def test_an_empty_file_reads_as_empty(snapshot: Snapshot) -> None:
    snapshot.write("empty", "")
    assert snapshot.read("empty") == ""


def test_unusual_line_breaks_do_not_count_as_lines(snapshot: Snapshot) -> None:
    snapshot.write("odd", "a\x0cb\u2028c\rd\ne\n")
    assert snapshot.read("odd", 2) == "e\n"


def test_line_endings_are_shown_and_kept_as_they_are(snapshot: Snapshot) -> None:
    assert snapshot.read("dos.txt") == "one\r\ntwo\r\nthree\r\n"
    snapshot.write("mixed", "a\r\nb\n")
    assert snapshot.changes["mixed"] == b"a\r\nb\n"


def test_a_long_file_is_shown_in_pages_that_add_up_to_it(snapshot: Snapshot) -> None:
    lines = [f"{number} {'é' * 40}\n" for number in range(1, 8001)]
    snapshot.write("long", "".join(lines))
    pages, start = "", 1
    while True:
        page, _, notice = snapshot.read("long", start).partition("\n[long has 8000 lines; read on with start_line=")
        assert len(page.encode()) <= 256 << 10
        pages += page
        if not notice:
            break
        start = int(notice.removesuffix(".]"))
    assert pages == "".join(lines)


def test_of_a_line_that_is_too_long_the_beginning_is_shown(snapshot: Snapshot) -> None:
    snapshot.write("minified", "é" * 200_000 + "\nnext\n")
    shown = snapshot.read("minified")
    assert shown.startswith("é" * 1000)
    assert "the rest of this line is left out" in shown
    assert shown.endswith("[minified has 2 lines; read on with start_line=2.]")
    assert snapshot.read("minified", 2) == "next\n"


def test_a_file_too_large_to_read_is_refused(tmp_path: Path) -> None:
    snapshot = snapshot_with(tmp_path, {"big": b"x" * ((16 << 20) + 1)})
    with pytest.raises(FileTooLarge, match="more than the 16777216"):
        snapshot.read("big")


@pytest.mark.parametrize(("path", "reason"), [("logo.png", "a binary file"), ("latin.txt", "not UTF-8")])
def test_a_file_that_is_not_text_is_refused_in_words(snapshot: Snapshot, path: str, reason: str) -> None:
    with pytest.raises(NotText, match=reason):
        snapshot.read(path)
    with pytest.raises(NotText, match=reason):
        snapshot.edit(path, "a", "b")


def test_a_missing_file_is_said_with_the_spelling_that_exists(snapshot: Snapshot) -> None:
    with pytest.raises(NoSuchFile, match="list_files shows"):
        snapshot.read("nowhere.py")
    with pytest.raises(NoSuchFile, match=r"differs from README\.md"):
        snapshot.read("Readme.md")
    snapshot.delete("README.md")
    for act in (snapshot.read, snapshot.delete, lambda path: snapshot.edit(path, "a", "b")):
        with pytest.raises(NoSuchFile):
            act("README.md")


def test_a_folder_is_no_file(snapshot: Snapshot) -> None:
    for act in (snapshot.read, snapshot.delete, lambda path: snapshot.write(path, "")):
        with pytest.raises(NotAFile, match="src is a folder"):
            act("src")


def test_what_a_node_looked_at_is_remembered(snapshot: Snapshot) -> None:
    snapshot.read("README.md")
    snapshot.search("def run")
    with pytest.raises(NoSuchFile):
        snapshot.read("nowhere")
    snapshot.write("new", "")
    assert snapshot.read_paths == {"README.md", "src/app.py", "nowhere"}


# Links, submodules, LFS


def test_links_and_submodules_are_refused_and_nothing_goes_through_them(repository: Repository) -> None:
    (repository.root / "link").symlink_to("/etc/passwd")
    (repository.root / "folder").symlink_to("/etc")
    commit_all(repository.handle, "Links")
    index = repository.handle.index
    index.add(pygit2.IndexEntry("vendor", pygit2.Oid(hex=repository.head_commit()), FileMode.COMMIT))
    repository.handle.create_commit("HEAD", USER, USER, "Module", index.write_tree(), [repository.handle.head.target])
    snapshot = Snapshot(repository, repository.head_commit())
    assert snapshot.list_files() == sorted(FILES)
    for path, kind in (("link", "a symbolic link"), ("folder", "a symbolic link"), ("vendor", "a submodule")):
        for act in (snapshot.read, snapshot.delete, lambda path: snapshot.write(path, "")):
            with pytest.raises(NotAFile, match=f"{path} is {kind}"):
                act(path)
    for path in ("folder/passwd", "vendor/a.py"):
        with pytest.raises(NoSuchFile, match="is not a folder"):
            snapshot.read(path)
        with pytest.raises(PathClash, match="is not a folder"):
            snapshot.write(path, "")


def test_an_lfs_file_is_refused_in_words(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    snapshot = snapshot_with(tmp_path, {"model.bin": pointer})
    for act in (snapshot.read, snapshot.delete, lambda path: snapshot.write(path, "")):
        with pytest.raises(NotAFile, match="kept by Git LFS"):
            act("model.bin")


# Searching


def test_a_search_gives_path_number_and_line(snapshot: Snapshot) -> None:
    snapshot.write("src/new.py", "x\ndef run_new():\n")
    snapshot.delete("src/util.py")
    assert snapshot.search(r"^def \w+") == ["src/app.py:1: def run():", "src/new.py:2: def run_new():"]
    assert snapshot.search("return", "*.md") == []


def test_a_search_sees_the_end_of_lines_that_end_as_in_dos(snapshot: Snapshot) -> None:
    assert snapshot.search("two$") == ["dos.txt:2: two"]


def test_a_search_leaves_binary_files_out_and_reads_what_is_nearly_text(snapshot: Snapshot) -> None:
    assert snapshot.search("PNG") == []
    assert snapshot.search("caf") == ["latin.txt:1: caf\N{REPLACEMENT CHARACTER}"]


def test_a_search_shows_200_lines_and_says_that_there_are_more(snapshot: Snapshot) -> None:
    snapshot.write("many", "needle\n" * 200)
    assert len(snapshot.search("needle")) == 200
    snapshot.write("many", "needle\n" * 201)
    assert snapshot.search("needle")[200:] == ["[More than 200 lines match; narrow the pattern or the glob.]"]


def test_a_long_line_is_cut(snapshot: Snapshot) -> None:
    snapshot.write("long", "x" * 10_000)
    assert snapshot.search("xx") == ["long:1: " + "x" * 300]


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?=x)", r"(a)\1", "(?R)", "\ud800", "x" * 1001])
def test_a_pattern_that_cannot_be_used_is_refused_in_words(snapshot: Snapshot, pattern: str) -> None:
    with pytest.raises(BadPattern, match="pattern"):
        snapshot.search(pattern)


def test_a_search_that_takes_too_long_is_given_up(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_SECONDS", -1)
    with pytest.raises(SearchTooSlow, match="narrow the glob"):
        snapshot.search("def")


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(x|x)*z", "(((x*)*)*)*$y"])
def test_a_pattern_that_ruins_backtracking_engines_does_no_harm(snapshot: Snapshot, pattern: str) -> None:
    snapshot.write("trap", "x" * 500_000)
    assert snapshot.search(pattern, "trap") == []


# Writing


def test_text_that_git_or_a_reader_could_not_hold_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(NotText, match="surrogate"):
        snapshot.write("a", "\ud800")
    with pytest.raises(NotText, match="NUL"):
        snapshot.write("a", "x\0")
    with pytest.raises(FileTooLarge, match="more than 1048576; split the file"):
        snapshot.write("a", "x" * ((1 << 20) + 1))
    assert snapshot.changes == {}


@pytest.mark.parametrize("path", ["readme.md", "SRC/new.py", "Src/app.py", "src/APP.py"])
def test_a_new_path_that_differs_only_in_case_is_refused(snapshot: Snapshot, path: str) -> None:
    with pytest.raises(PathClash, match="only in case or Unicode form; use that spelling"):
        snapshot.write(path, "")


def test_a_new_path_in_another_unicode_form_is_refused(snapshot: Snapshot) -> None:
    snapshot.write(unicodedata.normalize("NFC", "café.md"), "")
    with pytest.raises(PathClash, match="Unicode form"):
        snapshot.write(unicodedata.normalize("NFD", "café.md"), "")


def test_a_file_is_not_a_folder_and_a_folder_not_a_file(snapshot: Snapshot) -> None:
    with pytest.raises(PathClash, match=r"README\.md is not a folder"):
        snapshot.write("README.md/x", "")
    snapshot.write("new/deep/x", "")
    with pytest.raises(PathClash, match="new/deep is a folder"):
        snapshot.write("new/deep", "")
    with pytest.raises(PathClash, match="new/deep/x is not a folder"):
        snapshot.write("new/deep/x/y", "")


def test_a_deleted_file_is_in_nobodys_way(snapshot: Snapshot) -> None:
    snapshot.delete("README.md")
    snapshot.write("Readme.md", "renamed\n")
    snapshot.delete("dos.txt")
    snapshot.write("dos.txt/now_a_folder", "")
    snapshot.delete("src/app.py")
    snapshot.write("src/app.py", "again\n")
    assert snapshot.read("src/app.py") == "again\n"
    assert snapshot.read("Readme.md") == "renamed\n"


def test_deleting_a_file_of_ones_own_leaves_no_change(snapshot: Snapshot) -> None:
    snapshot.write("new", "")
    snapshot.delete("new")
    assert snapshot.changes == {}


def test_whole_contents_are_replaced_all_or_none_and_only_of_files_that_are_there(snapshot: Snapshot) -> None:
    snapshot.write("mine", "x\n")
    snapshot.overwrite({"mine": b"y\n", "logo.png": b"\x89PNG\0\2"})
    assert snapshot.changes == {"mine": b"y\n", "logo.png": b"\x89PNG\0\2"}
    with pytest.raises(NoSuchFile):
        snapshot.overwrite({"mine": b"z\n", "nowhere": b""})
    with pytest.raises(NotAFile):
        snapshot.overwrite({"mine": b"z\n", "src": b""})
    assert snapshot.changes["mine"] == b"y\n"


# Editing


def test_an_edit_replaces_the_one_occurrence(snapshot: Snapshot) -> None:
    snapshot.edit("src/app.py", "return 1", r"return \1 + 2")
    assert snapshot.read("src/app.py") == "def run():\n    return \\1 + 2\n"


def test_an_edit_of_what_is_not_there_says_how_to_mend_it(snapshot: Snapshot) -> None:
    with pytest.raises(EditNotUnique, match=r"occurs 0 times in src/app\.py; read the file again"):
        snapshot.edit("src/app.py", "return 2", "x")
    with pytest.raises(EditNotUnique, match="with other spaces or line breaks"):
        snapshot.edit("src/app.py", "def run():\n  return 1", "x")
    with pytest.raises(EditNotUnique, match="occurs 0 times"):
        snapshot.edit("src/app.py", "", "x")
    assert snapshot.changes == {}


def test_an_edit_of_what_is_there_more_than_once_says_where(snapshot: Snapshot) -> None:
    snapshot.write("many", "a\nb\na\na\n")
    with pytest.raises(EditNotUnique, match=r"occurs 3 times in many \(lines 1, 3, 4\); it must occur once"):
        snapshot.edit("many", "a", "x")


def test_overlapping_occurrences_are_ambiguous_too(snapshot: Snapshot) -> None:
    snapshot.write("many", "aaa")
    with pytest.raises(EditNotUnique, match="occurs 2 times"):
        snapshot.edit("many", "aa", "x")


def test_an_edit_of_a_dos_file_keeps_its_line_endings(snapshot: Snapshot) -> None:
    snapshot.edit("dos.txt", "one\ntwo", "1\n1.5\n2")
    assert snapshot.changes["dos.txt"] == b"1\r\n1.5\r\n2\r\nthree\r\n"


def test_an_edit_of_a_file_with_mixed_line_endings_changes_only_the_passage(snapshot: Snapshot) -> None:
    snapshot.write("mixed", "a\r\nb\nc\n")
    snapshot.edit("mixed", "b\nc", "b\nd")
    assert snapshot.changes["mixed"] == b"a\r\nb\nd\n"


@given(before=AB, old=st.text("ab\n", min_size=1, max_size=3), after=AB)
def test_an_edit_is_done_exactly_when_the_passage_occurs_once(
    empty_repository: Repository, before: str, old: str, after: str
) -> None:
    text = before + old + after
    starts = [start for start in range(len(text)) if text.startswith(old, start)]
    snapshot = Snapshot(empty_repository, empty_repository.head_commit())
    snapshot.write("f", text)
    if len(starts) == 1:
        snapshot.edit("f", old, "NEW")
        assert snapshot.read("f") == f"{before}NEW{after}"
    else:
        lines = ", ".join(str(text.count("\n", 0, start) + 1) for start in starts[:5])
        with pytest.raises(EditNotUnique, match=rf"occurs {len(starts)} times in f \(lines {lines}[,)]"):
            snapshot.edit("f", old, "NEW")


# Meeting what others did


def test_a_path_is_stale_when_another_version_of_it_is_on_the_branch(
    repository: Repository, snapshot: Snapshot
) -> None:
    head = commit_on(repository, snapshot.base, {"README.md": b"new\n", "added": b"", "dos.txt": None})
    assert [path for path in [*FILES, "added", "other"] if snapshot.is_stale(path, head)] == [
        "README.md",
        "dos.txt",
        "added",
    ]
    assert not snapshot.is_stale("README.md", snapshot.base)


def test_a_new_path_is_stale_when_the_branch_has_it_in_another_spelling(
    repository: Repository, snapshot: Snapshot
) -> None:
    head = commit_on(repository, snapshot.base, {"Docs/a.md": b""})
    assert snapshot.is_stale("docs/a.md", head)
    assert snapshot.is_stale("docs/b.md", head)
    assert not snapshot.is_stale("Docs/b.md", head)


def test_advancing_shows_the_new_version_and_keeps_the_nodes_own_changes(
    repository: Repository, snapshot: Snapshot
) -> None:
    snapshot.read("README.md")
    snapshot.read("src/util.py")
    snapshot.write("src/app.py", "mine\n")
    head = commit_on(repository, snapshot.base, {"README.md": b"theirs\n", "unread": b""})
    assert snapshot.advance(head) == frozenset({"README.md"})
    assert snapshot.base == head
    assert snapshot.read("README.md") == "theirs\n"
    assert snapshot.read("src/app.py") == "mine\n"
    assert "unread" in snapshot.list_files()
    assert snapshot.advance(head) == frozenset()


def test_a_broken_claim_is_loud(repository: Repository, snapshot: Snapshot) -> None:
    snapshot.write("README.md", "mine\n")
    head = commit_on(repository, snapshot.base, {"README.md": b"theirs\n"})
    with pytest.raises(LostUpdate, match=r"README\.md changed on the branch"):
        snapshot.advance(head)
    assert snapshot.base != head
