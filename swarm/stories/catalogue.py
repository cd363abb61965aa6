"""All stories of a workspace together with the board, and where the two disagree.

Pure but for `scan_folder` and `find_stories_folder`: the catalogue is made from bytes by path, which may come from a
folder or from a commit.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from swarm.stories.board import Board, BoardEntry, EntryKind, read_board, set_board_status
from swarm.stories.errors import AmbiguousStory, NoStories, StoriesFolderMissing, StoryFileUnreadable
from swarm.stories.identity import key_of
from swarm.stories.planned import PlannedStory, read_planned
from swarm.stories.reader import MAX_STORY_BYTES, read_story
from swarm.stories.story import Problem, Story, StoryStatus, story_order
from swarm.stories.writer import set_status

DEFAULT_FOLDERS = ("_bmad-output/implementation-artifacts", "docs/stories", "stories")
BOARD_NAMES = ("sprint-status.yaml", "sprint-status.yml")
PLAN_NAMES = ("stories.yaml", "stories.yml")


@dataclass(frozen=True, slots=True)
class Drift:
    """The story's file and the board say different things, or the board knows a story that has no file."""

    key: str
    story_id: str
    file_status: StoryStatus | None
    board_status: StoryStatus
    text: str


@dataclass(frozen=True, slots=True)
class Repair:
    """One edit that ends a drift: in the file at `path` `before` becomes `after`; on the board under `key`."""

    path: str
    key: str
    before: StoryStatus
    after: StoryStatus
    on_board: bool


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A problem of a file that is no story: the board or a plan."""

    path: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The stories in order of epic and number, and the board beside them (`board_path` is "" where there is none)."""

    stories: tuple[Story, ...]
    board: Board
    board_path: str
    problems: tuple[FileProblem, ...]

    def get(self, story_id: str) -> Story | None:
        """The story with an id, None if there is none.

        Of several with one id the one counts whose file the board names; raises `AmbiguousStory` if that does not
        settle it.
        """
        found = self._candidates(story_id)
        if len(found) > 1:
            paths = ", ".join(story.path for story in found)
            raise AmbiguousStory(f"Several files have the story id {story_id}: {paths}. Rename all but one.")
        return found[0] if found else None

    def ready(self) -> list[Story]:
        """The stories that may be started without being asked for by name, in order."""
        ids = Counter(story.id for story in self.stories)
        ready = (story for story in self.stories if story.is_ready)
        return [story for story in ready if ids[story.id] == 1 or self._candidates(story.id) == [story]]

    def raise_if_empty(self, folder: str) -> None:
        """Raise `NoStories`, saying what was looked for, if no file was a story."""
        if not self.stories:
            raise NoStories(
                f"No stories in {folder}. A story is a markdown file such as 1-1-login.md with a heading "
                "“# Story 1.1: …”, a line “Status: ready-for-dev”, acceptance criteria and tasks. Put one there, or "
                "set SWARM_STORIES to another folder."
            )

    @property
    def drift(self) -> list[Drift]:
        """Where files and board disagree, in the stories' order, then what only the board knows."""
        found = []
        matched: set[str] = set()
        for story in self._on_board():
            entry = self.board.entry_for(story)
            if entry is not None:
                matched.add(entry.key)
                found += _drift(story, entry)
        for entry in self.board.entries:
            if entry.kind is EntryKind.STORY and entry.key not in matched and _expects_a_file(entry):
                text = f"the board has {entry.key} as {entry.status}, but there is no file for it"
                found.append(Drift(entry.key, entry.story_id or entry.key, None, entry.status, text))
        return found

    def repairs(self) -> list[Repair]:
        """The edits that would end the drift: whoever is behind follows, so that nothing is ever taken back.

        Where either side is unknown or blocked a person has to decide, and there is no edit.
        """
        edits = []
        for story in self._on_board():
            entry = self.board.entry_for(story)
            if entry is None or not _drift(story, entry) or not _is_comparable(story.status, entry.status):
                continue
            ahead = max(story.status, entry.status, key=lambda status: status.rank or 0)
            on_board = entry.status is not ahead
            path = self.board_path if on_board else story.path
            edits.append(Repair(path, entry.key, entry.status if on_board else story.status, ahead, on_board))
        return edits

    def _candidates(self, story_id: str) -> list[Story]:
        """The stories with an id, reduced to those whose file the board names if there are several."""
        found = [story for story in self.stories if story.id == story_id]
        named = [story for story in found if self.board.entry(key_of(story.path))]
        return named or found

    def _on_board(self) -> Iterable[Story]:
        return (story for story in self.stories if story.has_own_file)


def find_stories_folder(workspace: Path, configured: str | None) -> Path:
    """The folder of stories: the configured one (relative to the workspace), or the first default one that exists.

    Raises `StoriesFolderMissing`, naming what was looked for, where there is none inside the workspace.
    """
    root = workspace.resolve()
    for name in [configured] if configured else DEFAULT_FOLDERS:
        folder = (root / name).resolve()
        if folder.is_dir() and folder.is_relative_to(root):
            return workspace / folder.relative_to(root)
    if configured:
        raise StoriesFolderMissing(
            f"SWARM_STORIES is {configured}, but {workspace} has no such folder inside it. Set it to the folder that "
            "holds the story files, relative to the workspace, or unset it."
        )
    raise StoriesFolderMissing(
        f"No stories folder in {workspace}: looked for {', '.join(DEFAULT_FOLDERS)}. Make one of them, or set "
        "SWARM_STORIES to the folder that holds the story files, relative to the workspace."
    )


def scan_folder(workspace: Path, folder: Path) -> dict[str, bytes]:
    """The markdown files, boards and plans in a folder and its subfolders, by their paths relative to the workspace.

    Symbolic links and hidden folders are left out. Of a file above `MAX_STORY_BYTES` one byte more than that is read,
    which is enough for the readers to see that it is too large. A file that vanishes meanwhile is not there.

    Raises `StoryFileUnreadable` for a file without read permission.
    """
    root = workspace.resolve()
    files: dict[str, bytes] = {}
    for place, folders, names, descriptor in os.fwalk(folder.resolve(), follow_symlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".md") or name in BOARD_NAMES or name in PLAN_NAMES:
                data = _read(name, descriptor, Path(place))
                if data is not None:
                    files[(Path(place) / name).relative_to(root).as_posix()] = data
    return files


class ReadStory(Protocol):
    """`read_story`, or something that remembers what it read."""

    def __call__(self, data: bytes, path: str, *, on_board: bool) -> Story | None: ...


def read_catalogue(files: Mapping[str, bytes], read: ReadStory = read_story) -> Catalogue:
    """Read the stories, the plans and the board among `files`, given by their paths relative to the workspace."""
    boards = sorted((path for path in files if _name(path) in BOARD_NAMES), key=lambda path: (path.count("/"), path))
    board_path = boards[0] if boards else ""
    board = read_board(files[board_path]) if board_path else Board()
    problems = [FileProblem(board_path, problem) for problem in board.problems]
    second = Problem(None, f"a second board; {board_path} is the one that counts")
    problems += [FileProblem(path, second) for path in boards[1:]]
    stories = []
    for path in sorted(files):
        if path.endswith(".md"):
            story = read(files[path], path, on_board=_names_a_story(board, key_of(path)))
            stories += [story] if story else []
    for path in sorted(path for path in files if _name(path) in PLAN_NAMES):
        planned, plan_problems = read_planned(files[path])
        problems += [FileProblem(path, problem) for problem in plan_problems]
        stories = _with_plan(stories, path, planned)
    ordered = sorted(_with_duplicates_marked(stories), key=lambda story: (story_order(story.id), story.path))
    return Catalogue(tuple(ordered), board, board_path, tuple(problems))


def apply_repairs(files: Mapping[str, bytes], repairs: Iterable[Repair]) -> dict[str, bytes]:
    """The new bytes of the files that the repairs change; nothing is written."""
    changed: dict[str, bytes] = {}
    for repair in repairs:
        data = changed.get(repair.path, files[repair.path])
        if repair.on_board:
            changed[repair.path] = set_board_status(data, repair.key, repair.after)
        else:
            changed[repair.path] = set_status(data, repair.after)
    return changed


def _read(name: str, descriptor: int, place: Path) -> bytes | None:
    try:
        # Opened in the folder that was walked and examined after that: no swap leads outside, and no pipe blocks.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
    except PermissionError as error:
        raise StoryFileUnreadable(f"{place / name} cannot be read: give Swarm's user permission.") from error
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        return None
    with os.fdopen(file, "rb") as opened:
        return opened.read(MAX_STORY_BYTES + 1)


def _names_a_story(board: Board, key: str) -> bool:
    entry = board.entry(key)
    return entry is not None and entry.kind in (EntryKind.STORY, EntryKind.OTHER)


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _with_plan(stories: Sequence[Story], plan_path: str, planned: Iterable[PlannedStory]) -> list[Story]:
    """Give planned stories the ids of their plan, and add those that have no file."""
    folder = PurePosixPath(plan_path).parent
    places = (str(folder), str(folder / "stories"))
    by_path = {story.path: story for story in stories}
    near = {path: key_of(path) for path in by_path if str(PurePosixPath(path).parent) in places}
    for plan in planned:
        own = [path for path, key in near.items() if key == plan.id or key.startswith(f"{plan.id}-")]
        for path in own:
            by_path[path] = replace(by_path[path], id=plan.id)
        if not own:
            by_path[f"{plan_path}#{plan.id}"] = plan.as_story(plan_path)
    return list(by_path.values())


def _with_duplicates_marked(stories: Sequence[Story]) -> list[Story]:
    paths: dict[str, list[str]] = {}
    for story in stories:
        paths.setdefault(story.id, []).append(story.path)
    return [_with_others(story, paths[story.id]) for story in stories]


def _with_others(story: Story, paths: list[str]) -> Story:
    others = [path for path in paths if path != story.path]
    if not others:
        return story
    problem = Problem(None, f"{', '.join(others[:5])} has the same id {story.id}; rename all but one")
    return replace(story, problems=(*story.problems, problem))


def _drift(story: Story, entry: BoardEntry) -> list[Drift]:
    if story.status is entry.status or {story.status, entry.status} == {StoryStatus.DRAFT, StoryStatus.BACKLOG}:
        return []
    text = f"the file says {story.status}, the board {entry.status}"
    return [Drift(entry.key, story.id, story.status, entry.status, text)]


def _is_comparable(*statuses: StoryStatus) -> bool:
    return not {StoryStatus.UNKNOWN, StoryStatus.BLOCKED} & set(statuses)


def _expects_a_file(entry: BoardEntry) -> bool:
    return entry.status not in (StoryStatus.BACKLOG, StoryStatus.UNKNOWN)
