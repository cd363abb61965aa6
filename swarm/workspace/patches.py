"""Writes commits as a mailbox of patches, which `git am` applies in any clone of the repository.

The form is that of `git format-patch`, without the statistics. Text that came from a model is kept from being read as
a header or as the beginning of a patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from email.header import Header
from email.utils import format_datetime, formataddr

import pygit2
from pygit2.enums import DiffOption

from swarm.workspace.repository import Repository

_MEANS_MORE = ("From ", ">From ", "From:", "Date:", "Subject:", "Content-", "diff -", "Index: ", "---", "[PATCH")
"""How lines begin that `git mailsplit` or `git mailinfo` takes for more than text."""


def mailbox(repository: Repository, commits: Sequence[str]) -> bytes:
    """The changes of commits, in the order given, as a mailbox; a commit that changes nothing is left out."""
    found = [repository.handle[commit].peel(pygit2.Commit) for commit in commits]
    mails = [(commit, diff) for commit in found if (diff := _diff(commit))]
    return b"".join(
        _mail(commit, diff, f"[PATCH {number}/{len(mails)}]") for number, (commit, diff) in enumerate(mails, start=1)
    )


def _diff(commit: pygit2.Commit) -> bytes:
    diff = commit.parents[0].tree.diff_to_tree(commit.tree, flags=DiffOption.SHOW_BINARY)
    return b"".join(patch.data for patch in diff if patch is not None)


def _mail(commit: pygit2.Commit, diff: bytes, prefix: str) -> bytes:
    subject, _, rest = commit.message.partition("\n")
    author = commit.author
    at = datetime.fromtimestamp(author.time, timezone(timedelta(minutes=author.offset)))
    head = [
        f"From {commit.id} Mon Sep 17 00:00:00 2001",  # git's own mark of a patch, whatever the date
        f"From: {formataddr((author.name, author.email))}",
        f"Date: {format_datetime(at)}",
        f"Subject: {_encoded(f'{prefix} {subject}')}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    body = [f" {line}" if line.startswith(_MEANS_MORE) else line for line in rest.strip().splitlines()]
    text = "\n".join([*head, "", *body, "---", "", ""])
    return text.encode(errors="replace") + diff + b"-- \nswarm\n\n"


def _encoded(header: str) -> str:
    return header if header.isascii() else Header(header, "utf-8").encode()
