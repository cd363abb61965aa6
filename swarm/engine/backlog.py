"""Reads the stories of the workspace, and says what stands in the way of running them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from swarm.errors import Misconfigured
from swarm.stories.catalogue import Catalogue, find_stories_folder, read_catalogue, scan_folder
from swarm.workspace.repository import Repository


@dataclass(frozen=True)
class Backlog:
    """The stories as they lie in the user's working tree; `folder` is relative to the workspace."""

    folder: str
    catalogue: Catalogue
    warnings: list[str]


def open_workspace() -> Repository:
    """Open the repository that the stories change. Raises `Misconfigured`, `NotARepository` or `NoCommits`."""
    if not settings.SWARM_WORKSPACE:
        raise Misconfigured(
            "SWARM_WORKSPACE is not set: set it to the folder of the git repository that the stories change."
        )
    return Repository.open(Path(settings.SWARM_WORKSPACE))


def read_backlog() -> Backlog:
    """Read every story file. Raises `SwarmError` where the workspace or the stories folder cannot be used."""
    repository = open_workspace()
    folder = find_stories_folder(repository.root, settings.SWARM_STORIES or None)
    catalogue = read_catalogue(scan_folder(repository.root, folder))
    name = folder.relative_to(repository.root.resolve()).as_posix()
    catalogue.raise_if_empty(name)
    return Backlog(folder=name, catalogue=catalogue, warnings=_warnings(repository))


def require_model() -> None:
    """Raise `Misconfigured` unless a model was chosen."""
    if not settings.SWARM_CHAT_MODEL:
        raise Misconfigured(_no_model())


def _no_model() -> str:
    return (
        "SWARM_CHAT_MODEL is not set: set it to the name of the model that the endpoint at "
        f"{settings.SWARM_CHAT_BASE_URL} should use."
    )


def _warnings(repository: Repository) -> list[str]:
    warnings = [] if settings.SWARM_CHAT_MODEL else [_no_model()]
    if uncommitted := repository.uncommitted_paths():
        shown = ", ".join(uncommitted[:5]) + (" …" if len(uncommitted) > 5 else "")
        warnings.append(
            f"Uncommitted changes are left alone and not seen by a run ({shown}): commit what the stories need."
        )
    return warnings
