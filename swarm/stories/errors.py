"""What can go wrong with stories, apart from what stands in a file: that is a `Problem` on the story, not an error."""

from __future__ import annotations

from swarm.errors import SwarmError


class StoriesFolderMissing(SwarmError):
    """The workspace has no folder of stories, under the configured name or under any of the default ones."""

    code = "stories_folder_missing"


class NoStories(SwarmError):
    """The folder of stories is there, but no file in it is a story."""

    code = "no_stories"


class AmbiguousStory(SwarmError):
    """A story was asked for by an id that several files have."""

    code = "ambiguous_story"


class UnknownTask(SwarmError):
    """A task was named by a number that the story does not have."""

    code = "unknown_task"


class StatusNotWritable(SwarmError):
    """The file has no status and no heading under which one could be written, or the status is not one to write."""

    code = "status_not_writable"


class NotOnBoard(SwarmError):
    """`sprint-status.yaml` has no such key, or no value that could be changed under it."""

    code = "not_on_board"


class FileChanged(SwarmError):
    """A file is not what it was when it was read, so that writing would undo somebody's change."""

    code = "file_changed"


class StoryFileUnreadable(SwarmError):
    """A file in the folder of stories exists, but may not be read."""

    code = "story_file_unreadable"
