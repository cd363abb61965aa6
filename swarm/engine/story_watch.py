"""Records what happens to the story files of the workspace as events, for the sockets that follow everything.

Only the user's working tree is watched, not the branches of executions. Every serving process watches for itself: where
several serve one database, each records the same change once, which costs a page one more refresh and does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections, connections

from swarm.events.record import record_outside_executions
from swarm.stories.watcher import StoryChange, StoryWatcher


@contextmanager
def recording_story_changes() -> Iterator[None]:
    """Record the changes that are made meanwhile; without a workspace there is nothing to watch."""
    if not settings.SWARM_WORKSPACE:
        yield
        return
    watcher = StoryWatcher(Path(settings.SWARM_WORKSPACE), settings.SWARM_STORIES or None)
    watcher.subscribe(record_change)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


def record_change(change: StoryChange) -> None:
    """Record one change, from the watcher's thread, which keeps no database connection between two bursts."""
    close_old_connections()
    try:
        record_outside_executions(
            f"story:{change.kind}",
            story=change.story_id,
            title=change.title,
            path=change.path,
            status=change.status,
        )
    finally:
        connections.close_all()
