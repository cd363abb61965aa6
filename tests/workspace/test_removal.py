"""Removing what checks have left: deep, read-only, and full of links."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.workspace.removal import remove_folder


def test_links_are_removed_and_not_what_they_point_to(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "top").symlink_to(tmp_path / "outside")
    assert remove_folder(tmp_path / "folder") is True
    assert remove_folder(tmp_path / "top") is True
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside" / "kept").exists()


def test_nothing_to_remove_is_no_error(tmp_path: Path) -> None:
    assert remove_folder(tmp_path / "nowhere") is True


def test_a_folder_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    here = os.open(tmp_path / "folder", os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert remove_folder(tmp_path / "folder") is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody whom permissions bind")
def test_what_its_owner_may_not_write_or_enter_is_removed_too(tmp_path: Path) -> None:
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    root = tmp_path / "root"
    (root / "folder" / "sealed" / "sub").mkdir(parents=True)
    (root / "folder" / "sealed" / "sub" / "file").touch()
    subprocess.run(["chown", "-R", "65534:65534", root], check=True)
    subprocess.run(["chmod", "0500", root / "folder" / "sealed" / "sub"], check=True)
    subprocess.run(["chmod", "0000", root / "folder" / "sealed"], check=True)
    code = (
        "import os, sys; from pathlib import Path; from swarm.workspace.removal import remove_folder;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(not remove_folder(Path(sys.argv[1])))"
    )
    assert subprocess.call([sys.executable, "-c", code, str(root / "folder")]) == 0
    assert list(root.iterdir()) == []
