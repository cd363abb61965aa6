"""What the operating system refuses gets a name, whoever passes its words on."""

from __future__ import annotations

import errno
import os

import pygit2
import pytest
from django.db import OperationalError

from swarm.workspace.errors import DiskFull, WorkspaceReadOnly
from swarm.workspace.trouble import disk_trouble


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x"), DiskFull),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), DiskFull),
        (pygit2.GitError("failed to write object: No space left on device"), DiskFull),
        (OperationalError("database or disk is full"), DiskFull),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), WorkspaceReadOnly),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/repo/.git/objects"), WorkspaceReadOnly),
        (pygit2.GitError("could not create '/repo/.git/x': Read-only file system"), WorkspaceReadOnly),
    ],
    ids=str,
)
def test_it_is_told_by_its_words(error: Exception, kind: type) -> None:
    trouble = disk_trouble(error)
    assert type(trouble) is kind
    assert str(error) in str(trouble)


@pytest.mark.parametrize("error", [ValueError("no"), FileNotFoundError(errno.ENOENT, "No such"), pygit2.GitError("x")])
def test_everything_else_is_something_else(error: Exception) -> None:
    assert disk_trouble(error) is None
