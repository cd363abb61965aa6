"""Ends the drift between story files and the board: shows the exact edits first, then makes those and no others.

Writes to the user's working tree, which nothing else in Swarm does, and only because a person who has seen the preview
asks for it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.conf import settings

from swarm.engine.backlog import open_workspace
from swarm.errors import SwarmError
from swarm.stories.catalogue import (
    Catalogue,
    Drift,
    Repair,
    apply_repairs,
    find_stories_folder,
    read_catalogue,
    scan_folder,
)
from swarm.stories.errors import FileChanged
from swarm.stories.files import replace_file

log = structlog.get_logger(__name__)


class PreviewOutdated(SwarmError):
    """A repair was asked for whose preview is not what would be written now; nothing was written."""

    code = "preview_outdated"


class RepairStopped(SwarmError):
    """A file could not be written in the middle of a repair; the message names it and those written before."""

    code = "repair_stopped"


@dataclass(frozen=True)
class FileEdit:
    """All that a repair changes in one file; `path` is relative to the workspace."""

    path: str
    repairs: tuple[Repair, ...]
    before: bytes
    after: bytes

    @property
    def diff(self) -> list[str]:
        """The lines of a unified diff with one line of context, without their ends."""
        old, new = (data.decode("utf-8", errors="replace").splitlines() for data in (self.before, self.after))
        return list(difflib.unified_diff(old, new, self.path, self.path, n=1, lineterm=""))


@dataclass(frozen=True)
class RepairPreview:
    """Where files and board disagree, what a repair would write, and what is left for a person to decide."""

    workspace: Path
    drift: tuple[Drift, ...]
    edits: tuple[FileEdit, ...]
    undecided: tuple[Drift, ...]

    @property
    def fingerprint(self) -> str:
        """Stands for every byte that is read and written: another one means that another repair was previewed."""
        digest = hashlib.sha256()
        for edit in self.edits:
            for part in (edit.path.encode(), edit.before, edit.after):
                digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()


def preview_repair() -> RepairPreview:
    """What `repair_drift` would do now. Raises the errors of the workspace and of the stories folder."""
    root = open_workspace().root
    files = scan_folder(root, find_stories_folder(root, settings.SWARM_STORIES or None))
    catalogue = read_catalogue(files)
    drift = tuple(catalogue.drift)
    repairs = _safe_repairs(catalogue, drift)
    edits = tuple(
        FileEdit(path, tuple(repair for repair in repairs if repair.path == path), files[path], after)
        for path, after in apply_repairs(files, repairs).items()
        if after != files[path]
    )
    repaired = {repair.key for edit in edits for repair in edit.repairs}
    return RepairPreview(root, drift, edits, tuple(it for it in drift if it.key not in repaired))


def repair_drift(fingerprint: str) -> tuple[FileEdit, ...]:
    """Write the edits of the preview that has this fingerprint, and return them.

    Raises `PreviewOutdated` if a file changed since, `RepairStopped` if one cannot be written, and the errors of
    `preview_repair`.
    """
    preview = preview_repair()
    if preview.fingerprint != fingerprint:
        raise PreviewOutdated("Stories or the board changed since the preview; nothing was written. Look at it again.")
    written: list[str] = []
    for edit in preview.edits:
        try:
            replace_file(preview.workspace / edit.path, before=edit.before, after=edit.after)
        except (FileChanged, OSError) as error:
            done = f"Written before: {', '.join(written)}." if written else "Nothing was written."
            raise RepairStopped(f"{edit.path} could not be written ({error}). {done}") from error
        written.append(edit.path)
    log.info("drift.repaired", files=len(written))
    return preview.edits


def _safe_repairs(catalogue: Catalogue, drift: tuple[Drift, ...]) -> list[Repair]:
    """The repairs of stories whose id is theirs alone: which of two files an entry is about, a person must say."""
    ids = Counter(story.id for story in catalogue.stories)
    shared = {it.key for it in drift if ids[it.story_id] > 1}
    return [repair for repair in catalogue.repairs() if repair.key not in shared]
