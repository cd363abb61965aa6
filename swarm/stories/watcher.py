"""Watches the folder of stories and tells what became of which story: one thread, however many subscribers.

An event of the file system only says where to look: what is told comes from comparing the catalogue with the one told
before, so that bursts merge and nothing is lost. Knows nothing of Django or of who listens.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from watchfiles import watch

from swarm.errors import SwarmError
from swarm.stories.catalogue import DEFAULT_FOLDERS, Catalogue, find_stories_folder, read_catalogue, scan_folder
from swarm.stories.errors import StoriesFolderMissing
from swarm.stories.reader import read_story
from swarm.stories.story import Story, StoryStatus

log = logging.getLogger(__name__)

QUIET_MS = 50
"""A burst is over when nothing changed for so long."""
LONGEST_BURST_MS = 300
"""A burst that goes on is looked at so often."""
TICK_MS = 100
"""How soon after a burst, and after a watch was set up, the folder is looked at once more."""
RETRY_S = 0.5
"""Before a watch that could not be set up is tried again."""


class ChangeKind(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class StoryChange:
    """What became of one story; of a deleted one the last path, title and status."""

    kind: ChangeKind
    story_id: str
    path: str
    title: str
    status: StoryStatus


Subscriber = Callable[[StoryChange], None]
Key = tuple[str, str]
"""A story's id and path: two files may have one id, and one `stories.yaml` many stories."""


@dataclass(frozen=True, slots=True)
class Known:
    """A story and what the board says of it."""

    story: Story
    board_key: str
    board_status: StoryStatus


def known_stories(catalogue: Catalogue) -> dict[Key, Known]:
    """The stories of a catalogue in its order."""
    known = {}
    for story in catalogue.stories:
        entry = catalogue.board.entry_for(story)
        seen = Known(story, entry.key, entry.status) if entry else Known(story, "", StoryStatus.UNKNOWN)
        known[story.id, story.path] = seen
    return known


def compare(before: Mapping[Key, Known], after: Mapping[Key, Known]) -> dict[Key, StoryChange]:
    """What became of which story; one whose file was renamed is updated, under its new path."""
    changes = {}
    gone = {key: known for key, known in before.items() if key not in after}
    for key, known in after.items():
        if key in before:
            if known != before[key]:
                changes[key] = _change(ChangeKind.UPDATED, known)
        elif moved := next((old for old in gone if old[0] == key[0]), None):
            del gone[moved]
            changes[key] = _change(ChangeKind.UPDATED, known)
        else:
            changes[key] = _change(ChangeKind.CREATED, known)
    return changes | {key: _change(ChangeKind.DELETED, known) for key, known in gone.items()}


class StoryWatcher:
    """Tells its subscribers, between `start` and `stop`, what changes in a workspace's stories.

    Subscribers are called one after the other in the watcher's thread. The folder, and the workspace itself, may appear
    and vanish meanwhile.
    """

    def __init__(self, workspace: Path, configured: str | None) -> None:
        """Watch the folder that `find_stories_folder` finds for these."""
        self._workspace = workspace.absolute()
        self._configured = configured
        self._subscribers: list[Subscriber] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._files: dict[str, bytes] = {}
        self._seen: dict[Key, Known] = {}
        self._told: dict[Key, Known] = {}
        self._missed: Set[Key] = frozenset()
        self._reader = _RememberingReader()
        self._trouble = ""

    def subscribe(self, subscriber: Subscriber) -> None:
        """Let a subscriber hear of all that changes from now on."""
        self._subscribers.append(subscriber)

    def start(self) -> None:
        """Begin: every change after this call is told. Does nothing if it has begun."""
        if self._thread is None:
            self._stopping.clear()
            self._read()
            self._told, self._missed = self._seen, frozenset()
            self._thread = threading.Thread(target=self._look_on, name="swarm-stories", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _look_on(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except Exception as error:
                # A folder vanished before it could be watched, or the system's limit of watches is reached.
                self._complain(f"stories.watch_failed error={error}")
                self._stopping.wait(RETRY_S)

    def _watch(self) -> None:
        """Follow the folders that are there now, until others are to be followed."""
        targets, places = self._find()
        must_look = True  # once the watch is set up, for what happened before
        for events in watch(
            *places,
            recursive=False,
            watch_filter=None,
            step=QUIET_MS,
            debounce=LONGEST_BURST_MS,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            stop_event=self._stopping,
        ):
            paths = [path for _, event in events if _is_on_the_way(path := Path(event), targets)]
            if not paths and not must_look:
                continue
            self._look()
            must_look = bool(paths or self._missed or self._trouble)
            if not places.isdisjoint(paths) or self._find() != (targets, places):
                return

    def _find(self) -> tuple[list[Path], set[Path]]:
        """Where the folder of stories is or may be, and the folders to watch: all on the way there, and its own."""
        targets = [self._workspace / name for name in ([self._configured] if self._configured else DEFAULT_FOLDERS)]
        places: set[Path] = set()
        try:
            folder = find_stories_folder(self._workspace, self._configured).resolve()
        except StoriesFolderMissing:
            pass
        else:
            targets.append(folder)
            places.update(_visible_folders(folder))
        roots = {self._workspace, self._workspace.resolve()}
        for target in targets:
            places.update(_above(target, roots))
        return targets, places

    def _look(self) -> None:
        """Read the folder and tell what changed.

        That a story is gone is told when it is still gone at the next look: an editor that saves by renaming takes the
        file away for a moment, and one that writes in place leaves it empty for a moment.
        """
        self._read()
        changes = compare(self._told, self._seen)
        gone = {key for key, change in changes.items() if change.kind is ChangeKind.DELETED}
        doubtful = gone - self._missed
        self._told = self._seen | {key: known for key, known in self._told.items() if key in doubtful}
        self._missed = doubtful
        for key, change in changes.items():
            if key not in doubtful:
                self._tell(change)

    def _read(self) -> None:
        """See what is there. What cannot be read counts as it was until it can be read again."""
        try:
            folder = find_stories_folder(self._workspace, self._configured)
            files = scan_folder(self._workspace, folder)
        except StoriesFolderMissing:
            files = {}
        except (OSError, SwarmError) as error:
            self._complain(f"stories.unreadable error={error}")
            return
        self._trouble = ""
        if files != self._files:
            self._seen = known_stories(read_catalogue(files, self._reader))
            self._files = files

    def _complain(self, trouble: str) -> None:
        """Log what lasts until the next read that succeeds, once."""
        if trouble != self._trouble:
            log.warning(trouble)
        self._trouble = trouble

    def _tell(self, change: StoryChange) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(change)
            except Exception:
                # Whatever one subscriber trips over, the others must hear of it.
                log.exception("stories.subscriber_failed story=%s change=%s", change.story_id, change.kind)


class _RememberingReader:
    """Reads a story again only when its bytes have changed: of a thousand files a change concerns one."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[bytes, bool, Story | None]] = {}

    def __call__(self, data: bytes, path: str, *, on_board: bool) -> Story | None:
        known = self._read.get(path)
        if known is None or known[:2] != (data, on_board):
            known = self._read[path] = (data, on_board, read_story(data, path, on_board=on_board))
        return known[2]


def _change(kind: ChangeKind, known: Known) -> StoryChange:
    story = known.story
    return StoryChange(kind, story.id, story.path, story.title, story.status)


def _visible_folders(folder: Path) -> Iterator[Path]:
    """A folder and those below it that `scan_folder` reads too."""
    for place, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield Path(place)


def _above(target: Path, roots: Set[Path]) -> Iterator[Path]:
    """The existing folders above a target, up to the first outside the workspace, in which that may (dis)appear."""
    for folder in target.parents:
        if folder.is_dir():
            yield folder
            if not any(folder.is_relative_to(root) for root in roots):
                return


def _is_on_the_way(path: Path, targets: list[Path]) -> bool:
    """Whether a path is a target, lies below one, or leads to one."""
    return any(path.is_relative_to(target) or target.is_relative_to(path) for target in targets)
