"""Names of files in a workspace: which are safe, which are one and the same, which a pattern means.

Pure: works on strings and knows no file system. A path that passes `normalise` cannot leave the workspace by its
name; that it does not leave it by a symbolic link is the business of whoever opens it.
"""

from __future__ import annotations

import unicodedata
from fnmatch import fnmatchcase

from swarm.workspace.errors import BadPath, PathOutsideWorkspace

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255
"""The longest file name on the usual file systems."""


def normalise(path: str) -> str:
    """Return `path` as the workspace spells paths: relative, `/`-separated, without `.` and empty parts.

    Raises `PathOutsideWorkspace` or `BadPath`. Refuses `.git` in every spelling that some file system takes for it
    (case, trailing dots and spaces, streams and short names of NTFS; git's own protectHFS and protectNTFS).
    """
    if "\\" in path:
        raise BadPath(f"{path!r} contains a backslash; separate folders with /.")
    if path.startswith("/"):
        raise PathOutsideWorkspace(f"{path!r} is absolute; give the path relative to the workspace.")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if not names:
        raise BadPath("The path is empty; name a file, relative to the workspace.")
    for name in names:
        _refuse_name(name, path)
    normal = "/".join(names)
    if len(normal.encode()) > MAX_PATH_BYTES:
        raise BadPath(f"The path is longer than {MAX_PATH_BYTES} bytes; choose a shorter one.")
    return normal


def _refuse_name(name: str, path: str) -> None:
    if name == "..":
        raise PathOutsideWorkspace(f"{path!r} contains '..'; give the path relative to the workspace, without it.")
    if not name.isprintable():  # controls, formatting marks (some file systems drop them), surrogates, odd spaces
        raise BadPath(f"{path!r} contains an invisible character; leave it out.")
    if _means_git(name):
        raise PathOutsideWorkspace(f"{path!r} belongs to git; nodes may not touch it.")
    if name.endswith((".", " ")) or name.startswith(" "):
        raise BadPath(f"{path!r} has a name that starts with a space or ends with a space or dot; leave that out.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise BadPath(f"{name[:40]!r}… is longer than {MAX_NAME_BYTES} bytes; choose a shorter name.")


def _means_git(name: str) -> bool:
    plain = unicodedata.normalize("NFKC", name).casefold()
    return plain.split(":")[0].rstrip(". ") in (".git", "git~1")


def lock_key(path: str) -> str:
    """Return the one name under which all spellings of a path are locked.

    Paths that a case-insensitive or Unicode-normalising file system takes for one file have the same key.
    Source: The Unicode Standard, 3.13, D145 (canonical caseless matching), in composed form.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def match_glob(pattern: str, path: str) -> bool:
    """Tell whether `path` matches `pattern`, both relative to the workspace.

    `*`, `?` and `[…]` match within one name, `**` any number of folders. A pattern without `/` matches the file's
    name in every folder, one that ends in `/` everything below that folder, both as in `.gitignore`.
    """
    pattern = pattern.removeprefix("./")
    if "/" not in pattern:
        return fnmatchcase(path.rpartition("/")[2], pattern)
    if pattern.endswith("/"):
        pattern += "**"
    names = path.split("/")
    used = {0}
    """How many of the path's names the pattern's parts so far can have used up; linear, however many `**` there are."""
    for part in pattern.lstrip("/").split("/"):
        if part == "**":
            used = set(range(min(used), len(names) + 1))
        else:
            used = {count + 1 for count in used if count < len(names) and fnmatchcase(names[count], part)}
        if not used:
            return False
    return len(names) in used
