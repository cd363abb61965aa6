"""What can go wrong between a node and the repository.

Subclasses of `Refused` answer a tool call: their message is read by a model, which must be able to act on it. The
others are for the person who runs Swarm, or for the engine.
"""

from __future__ import annotations

from swarm.errors import SwarmError


class NotARepository(SwarmError):
    """The workspace is no git repository with a working tree that this program can read."""

    code = "not_a_repository"


class NoCommits(SwarmError):
    """The workspace is a git repository without a first commit."""

    code = "no_commits"


class NoSuchCommit(SwarmError):
    """A commit that was recorded earlier is no longer in the repository."""

    code = "no_such_commit"


class NoSuchObject(SwarmError):
    """A file's content that was put aside earlier is no longer in the repository."""

    code = "no_such_object"


class NoSuchBranch(SwarmError):
    """A branch is not there: an execution's, which somebody deleted or renamed, or one that a person named."""

    code = "no_such_branch"


class BranchExists(SwarmError):
    """An execution's branch cannot be made, because a branch of that name or of its first part is there already."""

    code = "branch_exists"


class DiskFull(SwarmError):
    """Nothing more could be written: the disk, or the quota on it, is full."""

    code = "disk_full"


class WorkspaceReadOnly(SwarmError):
    """The repository, or the folder for checkouts, may not be written."""

    code = "workspace_read_only"


class BranchLocked(SwarmError):
    """Another git process has held the lock of an execution's branch for too long."""

    code = "branch_locked"
    retryable = True


class UnsafeFolder(SwarmError):
    """The folder for checkouts is a link, or belongs to or is open to other users of the machine."""

    code = "unsafe_folder"


class BranchCheckedOut(SwarmError):
    """A merge was asked for into a branch that a working tree shows, and that would no longer fit its branch."""

    code = "branch_checked_out"


class MergeConflict(SwarmError):
    """A merge was asked for of branches that changed the same lines; the message names the files."""

    code = "merge_conflict"


class NotMergeable(SwarmError):
    """A merge was asked for that makes no sense: of an empty branch, of unrelated ones, into one of Swarm's own."""

    code = "not_mergeable"


class BuiltUpon(SwarmError):
    """A story cannot be reverted, because what came later builds on it; the message names it."""

    code = "built_upon"


class LostUpdate(SwarmError):
    """A file that a node has changed was changed on the branch too, which its claim should have made impossible."""

    code = "lost_update"
    retryable = True


class Refused(SwarmError):
    """A node asked for something that the workspace does not allow."""

    code = "refused"


class PathOutsideWorkspace(Refused):
    """A tool named a path that leaves the workspace, or that git keeps for itself."""

    code = "path_outside_workspace"


class BadPath(Refused):
    """A tool named a path that is no portable file name: empty, too long, or with characters that cannot be seen."""

    code = "bad_path"


class PathClash(Refused):
    """A new path would differ from an existing one in case or Unicode form alone, or use a file as a folder."""

    code = "path_clash"


class NoSuchFile(Refused):
    """A tool named a file that the snapshot does not hold."""

    code = "no_such_file"


class NotAFile(Refused):
    """A tool named a folder, a symbolic link, a submodule or a Git LFS pointer."""

    code = "not_a_file"


class NotText(Refused):
    """A file is not UTF-8 text, or the text to be written is not."""

    code = "not_text"


class FileTooLarge(Refused):
    """A file is larger than a node may read or write."""

    code = "file_too_large"


class EditNotUnique(Refused):
    """The passage to be replaced occurs in the file more than once, or not at all."""

    code = "edit_not_unique"


class BadPattern(Refused):
    """A search pattern is not a valid regular expression, or is too long."""

    code = "bad_pattern"


class SearchTooSlow(Refused):
    """A search was given up because it took too long."""

    code = "search_too_slow"
