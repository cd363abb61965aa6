"""Names of files: what is let in, what is one and the same, what a pattern means."""

from __future__ import annotations

import posixpath
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.workspace.errors import BadPath, PathOutsideWorkspace, Refused
from swarm.workspace.paths import lock_key, match_glob, normalise

PIECES = st.sampled_from(["..", ".", "", "/", "\\", ".git", ".GIT", "git~1", "C:", "~", "a", "é", " ", "\0", "\u200d"])
HOSTILE = st.lists(st.one_of(PIECES, st.text(max_size=4))).map("/".join) | st.lists(PIECES).map("".join)
ORDINARY = st.lists(st.from_regex(r"[a-z_][a-z0-9_.-]{0,8}[a-z0-9]", fullmatch=True), min_size=1, max_size=6)


@given(HOSTILE)
@example("a/../../b")
@example("/etc/passwd")
@example("a/.git/config")
def test_no_path_that_is_let_in_leaves_the_workspace_or_reaches_git(path: str) -> None:
    try:
        normal = normalise(path)
    except Refused:
        return
    assert posixpath.normpath(posixpath.join("/workspace", normal)) == f"/workspace/{normal}"
    assert ".git" not in normal.casefold().split("/")
    assert normal.isprintable()
    assert normalise(normal) == normal


@given(ORDINARY)
def test_an_ordinary_path_stays_as_it_is(names: list[str]) -> None:
    assert normalise("/".join(names)) == "/".join(names)


@pytest.mark.parametrize("path", ["./src//app.py", "src/./app.py", "src/app.py/"])
def test_empty_and_dot_parts_are_dropped(path: str) -> None:
    assert normalise(path) == "src/app.py"


@pytest.mark.parametrize("path", ["..", "../x", "a/../b", "a/..", "/x", "//x"])
def test_a_path_that_points_outside_is_refused(path: str) -> None:
    with pytest.raises(PathOutsideWorkspace, match="relative to the workspace"):
        normalise(path)


@pytest.mark.parametrize(
    "path",
    [".git", ".git/config", "a/.git", ".GIT/HEAD", ".Git.", ".git. .", ".git ", "git~1/x", ".git:s", ".ｇｉｔ/config"],
)
def test_git_is_refused_in_every_spelling(path: str) -> None:
    with pytest.raises(PathOutsideWorkspace, match="belongs to git"):
        normalise(path)


@pytest.mark.parametrize("path", [".gitignore", ".github/workflows/ci.yml", "git/x", "a.git"])
def test_names_that_only_resemble_git_are_let_in(path: str) -> None:
    assert normalise(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\u202eb",
        ".g\u200cit/x",
        "\ud800",
        "a./b",
        "a /b",
        " a",
        "x" * 256,
        "xx/" * 400,
    ],
)
def test_a_name_that_is_not_portable_is_refused(path: str) -> None:
    with pytest.raises(BadPath):
        normalise(path)


@given(st.text())
def test_unicode_forms_of_a_path_share_one_lock(path: str) -> None:
    assert lock_key(unicodedata.normalize("NFC", path)) == lock_key(path)
    assert lock_key(unicodedata.normalize("NFD", path)) == lock_key(path)


@given(st.text())
def test_a_lock_key_is_its_own_lock_key(path: str) -> None:
    assert lock_key(lock_key(path)) == lock_key(path)


def test_case_does_not_make_another_lock_but_another_name_does() -> None:
    assert lock_key("Docs/README.md") == lock_key("docs/readme.MD")
    assert lock_key("straße.txt") == lock_key("STRASSE.TXT")
    assert lock_key("a.py") != lock_key("b.py")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.py", "app.py", True),
        ("*.py", "src/deep/app.py", True),
        ("src/*.py", "src/app.py", True),
        ("src/*.py", "src/deep/app.py", False),
        ("src/**/*.py", "src/app.py", True),
        ("src/**/*.py", "src/a/b/app.py", True),
        ("src/**/*.py", "lib/app.py", False),
        ("**/test_*.py", "test_a.py", True),
        ("**/test_*.py", "tests/unit/test_a.py", True),
        ("src/**", "src/a/b", True),
        ("src/", "src/a/b", True),
        ("./src/", "src/a", True),
        ("src/", "lib/src/a", False),
        ("a/**/b/**/c", "a/x/b/y/z/c", True),
        ("a/**/b/**/c", "a/x/y/c", False),
        ("src/a?p.[cp]*", "src/app.py", True),
        ("src/A*", "src/app.py", False),
    ],
)
def test_a_glob_matches_as_in_gitignore(pattern: str, path: str, expected: bool) -> None:
    assert match_glob(pattern, path) is expected


def test_a_hostile_glob_is_matched_in_linear_time() -> None:
    assert match_glob("**/a/" * 40 + "b", "a/" * 100 + "a") is False
