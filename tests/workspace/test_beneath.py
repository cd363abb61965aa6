"""Opening beneath a folder: by openat2, and by the walk for kernels without it."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.workspace import beneath
from swarm.workspace.beneath import Folder, has_openat2, open_beneath

SECRET = b"secret\n"


@pytest.fixture(params=["openat2", "walk"], autouse=True)
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "walk":
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    elif not has_openat2():
        pytest.skip("this kernel has no openat2")


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A folder with a file, beside one that nobody may reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_bytes(SECRET)
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "a").write_bytes(b"mine\n")
    return inside


@pytest.fixture
def folder(inside: Path) -> Iterator[Folder]:
    with Folder(inside) as folder:
        yield folder


def test_a_file_is_read_and_written_beneath(inside: Path, folder: Folder) -> None:
    assert folder.read("sub/a", max_bytes=5) == b"mine\n"
    folder.write_new("new/deep/b", b"x", permissions=0o777)
    folder.write_new("new/deep/c", b"y", permissions=0o666)
    assert (inside / "new" / "deep" / "b").read_bytes() == b"x"
    assert os.access(inside / "new" / "deep" / "b", os.X_OK)
    assert not (inside / "new" / "deep" / "c").stat().st_mode & 0o111


def test_nothing_is_written_over(folder: Folder) -> None:
    with pytest.raises(FileExistsError):
        folder.write_new("sub/a", b"x", permissions=0o666)


@pytest.mark.parametrize("path", ["../outside/a", "sub/../../outside/a", "..", "/etc/passwd", "nowhere", "sub"])
def test_a_path_that_leads_out_or_to_no_file_reads_as_nothing(folder: Folder, path: str) -> None:
    assert folder.read(path, max_bytes=100) is None


def test_a_path_that_leads_out_is_not_written(inside: Path, folder: Folder) -> None:
    for path in ("../outside/new", "sub/../../outside/new", "/tmp/swarm-must-not-be-made"):
        with pytest.raises(OSError, match=r"."):
            folder.write_new(path, b"x", permissions=0o666)
    assert [path.name for path in (inside.parent / "outside").iterdir()] == ["a"]


def test_a_nul_does_not_end_a_path_early(folder: Folder) -> None:
    with pytest.raises(ValueError, match="NUL"):
        folder.read("sub/a\0b", max_bytes=100)


@pytest.mark.parametrize("target", ["../outside", "sub", "/proc/self/cwd"])
def test_no_link_is_followed_on_the_way(inside: Path, folder: Folder, target: str) -> None:
    (inside / "link").symlink_to(target)
    assert folder.read("link/a", max_bytes=100) is None
    with pytest.raises(OSError, match=r"."):
        folder.write_new("link/new", b"x", permissions=0o666)
    with pytest.raises(OSError, match=r"."):
        folder.make_link("link/new", "x")


def test_no_link_is_followed_at_the_end(inside: Path, folder: Folder) -> None:
    (inside / "link").symlink_to("../outside/a")
    (inside / "dangling").symlink_to("../outside/new")
    assert folder.read("link", max_bytes=100) is None
    for path in ("link", "dangling"):
        with pytest.raises(OSError, match=r"."):
            folder.write_new(path, b"x", permissions=0o666)
    assert [path.name for path in (inside.parent / "outside").iterdir()] == ["a"]


def test_the_folder_itself_may_be_no_link(inside: Path) -> None:
    (inside.parent / "link").symlink_to(inside)
    with pytest.raises(OSError, match=r"."):
        Folder(inside.parent / "link")


def test_a_folder_held_open_stays_the_same_when_its_name_changes_hands(inside: Path, folder: Folder) -> None:
    inside.rename(inside.parent / "moved")
    inside.symlink_to("outside")
    assert folder.read("sub/a", max_bytes=100) == b"mine\n"
    assert folder.read("a", max_bytes=100) is None


def test_what_is_no_plain_file_reads_as_nothing_and_holds_nobody_up(inside: Path, folder: Folder) -> None:
    os.mkfifo(inside / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        before = Path.cwd()
        os.chdir(inside)  # the path of a socket must be short
        try:
            server.bind("socket")
        finally:
            os.chdir(before)
        for path in ("fifo", "socket", "sub"):
            assert folder.read(path, max_bytes=100) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_reads_as_nothing(inside: Path, folder: Folder) -> None:
    os.mknod(inside / "zero", 0o600 | 0o020000, os.makedev(1, 5))
    assert folder.read("zero", max_bytes=100) is None


def test_a_file_with_a_second_name_may_be_somebody_elses(inside: Path, folder: Folder) -> None:
    (inside / "hard").hardlink_to(inside.parent / "outside" / "a")
    assert folder.read("hard", max_bytes=100) is None


def test_a_file_is_read_up_to_its_limit_and_no_further(inside: Path, folder: Folder) -> None:
    assert folder.read("sub/a", max_bytes=4) is None
    (inside / "sparse").touch()
    os.truncate(inside / "sparse", 1 << 40)
    assert folder.read("sparse", max_bytes=1 << 20) is None


def test_a_descriptor_is_not_left_open(inside: Path, folder: Folder) -> None:
    (inside / "link").symlink_to("sub")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        folder.read("sub/a", max_bytes=100)
        folder.read("link/a", max_bytes=100)
        folder.read("sub/nowhere", max_bytes=100)
        folder.read("sub", max_bytes=100)
    assert len(list(Path("/dev/fd").iterdir())) == before


@pytest.mark.skipif(sys.platform != "linux", reason="renames by exchange are Linux's")
def test_a_folder_that_turns_into_a_link_and_back_lets_nobody_out(inside: Path, folder: Folder) -> None:
    """What a check may do while we read and write: `sub` is now the folder, now a link to the one outside."""
    (inside / "link").symlink_to("../outside")
    folder.write_new("sub/first", b"x", permissions=0o666)
    stopping = threading.Event()
    swaps = [0]

    def swap() -> None:
        while not stopping.is_set():
            (inside / "sub").rename(inside / "away")
            (inside / "link").rename(inside / "sub")
            (inside / "sub").rename(inside / "link")
            (inside / "away").rename(inside / "sub")
            swaps[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes | None] = set()
    written = 0
    try:
        while swaps[0] < 500 or len(seen) < 2 or not written:
            seen.add(folder.read("sub/a", max_bytes=100))
            try:
                folder.write_new(f"sub/new{len(seen)}-{written}", b"x", permissions=0o666)
                written += 1
            except OSError:
                continue
    finally:
        stopping.set()
        thread.join()
    assert seen == {b"mine\n", None}
    assert [path.name for path in (inside.parent / "outside").iterdir()] == ["a"]


def test_both_ways_refuse_with_the_same_kind_of_error(inside: Path) -> None:
    descriptor = os.open(inside, os.O_RDONLY)
    try:
        with pytest.raises(FileNotFoundError):
            open_beneath(descriptor, "sub/nowhere", os.O_RDONLY)
        with pytest.raises(OSError, match="Invalid cross-device link"):
            open_beneath(descriptor, "../outside/a", os.O_RDONLY)
    finally:
        os.close(descriptor)
