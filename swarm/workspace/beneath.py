"""Opens files below a folder so that neither a link, a device nor a race leads out of it.

For folders that a check may have written to, and may still write to: names are resolved beneath a descriptor, by
openat2(2) where the kernel has it, step by step elsewhere, and what was opened is looked at, not what a name meant
before.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

_OPENAT2 = 437
"""The number of the system call, the same on all of Linux but Alpha; the C library has no function for it."""
_RESOLVE = 0x02 | 0x04 | 0x08
"""RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS and RESOLVE_BENEATH of linux/openat2.h."""
_NO_PLAIN_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO, errno.ENODEV, errno.EACCES}
"""What opening answers where a file is gone, unreadable, or something else stands in its place."""


class Folder:
    """A folder held open, so that it stays the same whatever becomes of its name. Raises `OSError` for a link."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._made = {""}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._descriptor)

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        """The bytes of a plain file; None if there is none, or one that is larger or has a second name elsewhere."""
        try:
            # Without O_NONBLOCK a FIFO would hold us up until somebody writes to it.
            descriptor = open_beneath(self._descriptor, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            if error.errno in _NO_PLAIN_FILE:
                return None
            raise
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size > max_bytes:
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                content = file.read(max_bytes + 1)  # it may be growing
        finally:
            os.close(descriptor)
        return content if len(content) <= max_bytes else None

    def write_new(self, path: str, content: bytes, *, permissions: int) -> None:
        """Make a file that is not there yet, and the folders above it. Raises `OSError`."""
        self.make_folder(path.rpartition("/")[0])
        descriptor = open_beneath(self._descriptor, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    def make_link(self, path: str, target: str) -> None:
        """Make a symbolic link, and the folders above it. Raises `OSError`."""
        parent, _, name = path.rpartition("/")
        self.make_folder(parent)
        descriptor = self._open_folder(parent)
        try:
            os.symlink(target, name, dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, unless this was done before. Raises `OSError`."""
        if path in self._made:
            return
        parent, _, name = path.rpartition("/")
        self.make_folder(parent)
        descriptor = self._open_folder(parent)
        try:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        self._made.add(path)

    def _open_folder(self, path: str) -> int:
        return open_beneath(self._descriptor, path or ".", os.O_RDONLY | os.O_DIRECTORY)


def open_beneath(folder: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` beneath the folder that the descriptor `folder` stands for, and return a descriptor.

    Raises `OSError` as open(2) does, for a symbolic link anywhere in the path, and for a path that leads out.
    """
    if "\0" in path:
        raise ValueError(f"{path!r} holds a NUL character")
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    if has_openat2():
        return _openat2(folder, path, flags, mode)
    return _walk(folder, path, flags, mode)


@cache
def has_openat2() -> bool:
    """Whether this kernel has openat2, and the container that this runs in lets it through."""
    if sys.platform != "linux":
        return False
    try:
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(_openat2(root, ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0))
        finally:
            os.close(root)
    except OSError:
        return False
    return True


class _OpenHow(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(folder: int, path: str, flags: int, mode: int) -> int:
    how = _OpenHow(flags, mode if flags & os.O_CREAT else 0, _RESOLVE)
    descriptor: int = _c_library().syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(folder),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return descriptor


def _walk(folder: int, path: str, flags: int, mode: int) -> int:
    """Open one name after another, each in the folder opened before, none through a link."""
    *folders, name = path.split("/")
    if path.startswith("/") or ".." in (*folders, name):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    here = os.dup(folder)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        return os.open(name, flags, mode, dir_fd=here)
    finally:
        os.close(here)
