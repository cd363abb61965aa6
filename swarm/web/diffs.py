"""Cuts a unified diff into its files, for a page to show. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_LINES = 2_000
"""Lines of one diff that a page shows; the rest is counted."""
LONGEST_LINE = 1_000


@dataclass
class FileDiff:
    """What changed in one file; `left_out` counts the lines that are too many to show."""

    path: str
    lines: list[str] = field(default_factory=list)
    added: int = 0
    removed: int = 0
    left_out: int = 0


def file_diffs(diff: str) -> list[FileDiff]:
    """The files of a diff as git writes it, in its order; headers are left out but for what makes or removes a file."""
    files: list[FileDiff] = []
    shown = 0
    in_hunk = False
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            files.append(FileDiff(line.rpartition(" b/")[2]))
            in_hunk = False
            continue
        in_hunk = in_hunk or line.startswith("@@")
        if not files or not line or not (in_hunk or line.startswith(("new file", "deleted file", "Binary"))):
            continue
        file = files[-1]
        file.added += in_hunk and line.startswith("+")
        file.removed += in_hunk and line.startswith("-")
        if shown < MOST_LINES:
            file.lines.append(line[:LONGEST_LINE])
            shown += 1
        else:
            file.left_out += 1
    return files
