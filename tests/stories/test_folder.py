"""Finding the folder of stories in a workspace, reading it, and writing to it only what was read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from swarm.stories.catalogue import DEFAULT_FOLDERS, find_stories_folder, read_catalogue, scan_folder
from swarm.stories.errors import FileChanged, StoriesFolderMissing, StoryFileUnreadable
from swarm.stories.files import replace_file
from swarm.stories.reader import MAX_STORY_BYTES

from .variants import V6


def test_the_default_folders_are_tried_in_order(tmp_path: Path) -> None:
    for name in reversed(DEFAULT_FOLDERS):
        (tmp_path / name).mkdir(parents=True)
        assert find_stories_folder(tmp_path, None) == tmp_path / name


def test_a_configured_folder_goes_before_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "stories").mkdir()
    (tmp_path / "my" / "backlog").mkdir(parents=True)
    assert find_stories_folder(tmp_path, "my/backlog") == tmp_path / "my" / "backlog"
    assert find_stories_folder(tmp_path, "my/../stories/") == tmp_path / "stories"


def test_where_there_is_no_folder_the_error_names_all_that_were_tried(tmp_path: Path) -> None:
    (tmp_path / "stories").write_text("a file")
    with pytest.raises(StoriesFolderMissing) as caught:
        find_stories_folder(tmp_path, None)
    assert all(name in caught.value.message for name in DEFAULT_FOLDERS)
    assert "SWARM_STORIES" in caught.value.message


@pytest.mark.parametrize("configured", ["missing", "file", "..", "/", "outside"])
def test_a_configured_folder_must_be_a_folder_inside_the_workspace(tmp_path: Path, configured: str) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "stories").mkdir()
    (workspace / "file").write_text("")
    (workspace / "outside").symlink_to(tmp_path)
    with pytest.raises(StoriesFolderMissing, match=f"SWARM_STORIES is {configured},"):
        find_stories_folder(workspace, configured)


def test_stories_boards_and_plans_are_read_from_all_subfolders(tmp_path: Path) -> None:
    folder = tmp_path / "docs" / "stories"
    (folder / "epic-1").mkdir(parents=True)
    (folder / ".trash").mkdir()
    contents = {
        "docs/stories/1-2-brew.md": V6.encode(),
        "docs/stories/epic-1/1-1-boil.md": b"\xff\0",
        "docs/stories/sprint-status.yaml": b"development_status:\n",
        "docs/stories/stories.yml": b"[]",
    }
    for path, data in contents.items():
        (tmp_path / path).write_bytes(data)
    (folder / "picture.png").write_bytes(b"png")
    (folder / "other.yaml").write_bytes(b"a: b")
    (folder / ".trash" / "1-9-x.md").write_bytes(V6.encode())
    assert scan_folder(tmp_path, find_stories_folder(tmp_path, None)) == contents


def test_links_and_pipes_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "workspace" / "stories"
    folder.mkdir(parents=True)
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1-2-x.md").write_text(V6)
    (folder / "1-1-link.md").symlink_to(tmp_path / "secret.md")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "1-3-pipe.md")
    (folder / "1-4-folder.md").mkdir()
    assert scan_folder(tmp_path / "workspace", folder) == {}


def test_a_file_above_the_limit_is_not_read_whole_and_has_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "stories"
    folder.mkdir()
    (folder / "1-2-brew.md").write_bytes(V6.encode() + b"x\n" * MAX_STORY_BYTES)
    files = scan_folder(tmp_path, folder)
    assert len(files["stories/1-2-brew.md"]) == MAX_STORY_BYTES + 1
    (story,) = read_catalogue(files).stories
    assert "larger than" in str(story.problems[0])
    assert not story.is_ready


def test_a_file_that_is_as_it_was_read_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "1-1-a.md"
    path.write_bytes(b"before")
    path.chmod(0o640)
    replace_file(path, before=b"before", after=b"after")
    assert path.read_bytes() == b"after"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["1-1-a.md"]


def test_a_file_that_changed_since_it_was_read_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "1-1-a.md"
    path.write_bytes(b"somebody's")
    with pytest.raises(FileChanged, match="was changed since it was read"):
        replace_file(path, before=b"before", after=b"after")
    assert path.read_bytes() == b"somebody's"
    assert [entry.name for entry in tmp_path.iterdir()] == ["1-1-a.md"]


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "1-1-a.md"
    path.write_bytes(b"before")
    monkeypatch.setattr("swarm.stories.files.os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, before=b"before", after=b"after")
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["1-1-a.md"]


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, whom no permission stops.
    def refuse(path: str, *arguments: int, **options: int) -> int:
        if path == "1-1-a.md":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_really(path, *arguments, **options)

    open_really = os.open
    (tmp_path / "1-1-a.md").write_bytes(V6.encode())
    monkeypatch.setattr("swarm.stories.catalogue.os.open", refuse)
    with pytest.raises(StoryFileUnreadable, match=r"1-1-a\.md cannot be read"):
        scan_folder(tmp_path, tmp_path)


def test_a_file_that_is_gone_or_a_link_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileChanged):
        replace_file(tmp_path / "gone.md", before=b"", after=b"after")
    (tmp_path / "target.md").write_bytes(b"before")
    (tmp_path / "link.md").symlink_to("target.md")
    with pytest.raises(FileChanged):
        replace_file(tmp_path / "link.md", before=b"before", after=b"after")
    assert (tmp_path / "target.md").read_bytes() == b"before"
