"""Make throw-away git workspaces: a small Python package, its stories, and their acceptance tests.

`demo_workspace/` holds the package as plain files. Stories are named by their keys, `1-2-some-title`; the acceptance
tests of that one are `acceptance/test_1_2.py`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pygit2

from swarm.simulator.errors import DirectoryNotEmpty, InvalidOption
from swarm.simulator.plain_stories import EPIC, plain_story

STORIES_FOLDER = "_bmad-output/implementation-artifacts"
BOARD = f"{STORIES_FOLDER}/sprint-status.yaml"

CHECK_COMMAND = f"{shlex.quote(sys.executable)} check.py"
"""What must pass in a checkout: the package's tests, and the acceptance tests of the story in `SWARM_STORY`."""

_DEMO = Path(__file__).parent / "demo_workspace"
_FILES = ("*.py", "*.md", "*.yaml", ".gitignore")
_BOARD_ENTRY = re.compile(r" +((?:epic-)?(\d+)[\w-]*): .*")
_COMMITTED_AT = 1_772_442_000
"""2026-03-02 09:00 UTC, so that the same workspace is the same commit everywhere."""


def make_workspace(directory: Path, stories: int | None = None) -> Path:
    """Make the demo's workspace in `directory`, which must be absent or empty, with one commit on `main`.

    Keeps the first `stories` stories in the order of their numbers, and adds plain ones if there are not so many.
    Returns `directory`. Raises `InvalidOption` if `stories` is below 1, `DirectoryNotEmpty`.
    """
    files = _demo_files()
    keys = _story_keys(files)
    wanted = len(keys) if stories is None else _at_least_one(stories)
    _keep_stories(files, keys[:wanted])
    _add_plain_stories(files, wanted - len(keys))
    return _make_repository(directory, files)


def make_plain_workspace(directory: Path, stories: int) -> Path:
    """Like `make_workspace`, with plain stories only: four turns each, and none touches another's file."""
    files = _demo_files()
    _keep_stories(files, [])
    _add_plain_stories(files, _at_least_one(stories))
    return _make_repository(directory, files)


def run_acceptance(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run all tests and all acceptance tests in a plain directory that holds a workspace's files."""
    command = [sys.executable, "check.py", "--all"]
    return subprocess.run(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def _at_least_one(stories: int) -> int:
    if stories < 1:
        raise InvalidOption(f"A workspace with {stories} stories was asked for: it needs at least one.")
    return stories


def _demo_files() -> dict[str, str]:
    """The text of every file by its path; what tools may have left there is none of it."""
    paths = (path for pattern in _FILES for path in _DEMO.rglob(pattern))
    return {path.relative_to(_DEMO).as_posix(): path.read_text("utf-8") for path in paths}


def _story_keys(files: Iterable[str]) -> list[str]:
    keys = [Path(path).stem for path in files if path.startswith(f"{STORIES_FOLDER}/") and path.endswith(".md")]
    return sorted(keys, key=_numbers)


def _numbers(key: str) -> tuple[int, int]:
    epic, number, _ = key.split("-", 2)
    return int(epic), int(number)


def _story_path(key: str) -> str:
    return f"{STORIES_FOLDER}/{key}.md"


def _acceptance_path(key: str) -> str:
    epic, number = _numbers(key)
    return f"acceptance/test_{epic}_{number}.py"


def _keep_stories(files: dict[str, str], kept: list[str]) -> None:
    """Remove all other stories with their tests, and from the board all entries that are without a story then."""
    for key in set(_story_keys(files)) - set(kept):
        del files[_story_path(key)], files[_acceptance_path(key)]
    epics = {str(_numbers(key)[0]) for key in kept}

    def stays(line: str) -> bool:
        entry = _BOARD_ENTRY.fullmatch(line)
        return entry is None or entry[1] in kept or (entry[1].startswith("epic-") and entry[2] in epics)

    board = "\n".join(line for line in files[BOARD].split("\n") if stays(line))
    files[BOARD] = re.sub(r"\n{3,}", "\n\n", board).rstrip("\n") + "\n"


def _add_plain_stories(files: dict[str, str], count: int) -> None:
    entries = []
    for week in range(1, count + 1):
        story = plain_story(week)
        files[_story_path(story.key)] = story.text
        files[_acceptance_path(story.key)] = story.acceptance_test
        entries.append(f"  {story.key}: ready-for-dev\n")
    if entries:
        files[BOARD] += f"\n  epic-{EPIC}: in-progress\n{''.join(entries)}  epic-{EPIC}-retrospective: optional\n"


def _make_repository(directory: Path, files: dict[str, str]) -> Path:
    """Write the files and commit them; whatever git is configured to on this machine plays no part."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise DirectoryNotEmpty(f"{directory} is not empty: name a folder that is, or one to be made.")
    repository = pygit2.init_repository(str(directory), initial_head="main")
    for path, text in sorted(files.items()):
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8", newline="\n")
        blob = repository.create_blob(text.encode())
        repository.index.add(pygit2.IndexEntry(path, blob, pygit2.enums.FileMode.BLOB))
    repository.index.write()
    author = pygit2.Signature("Larder", "larder@swarm.invalid", _COMMITTED_AT, 0)
    tree = repository.index.write_tree()
    repository.create_commit("refs/heads/main", author, author, "Start the larder library\n", tree, [])
    repository.free()
    return directory
