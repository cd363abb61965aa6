"""`sprint-status.yaml` in its dialects, read and edited by key."""

from __future__ import annotations

from textwrap import dedent

import pytest

from swarm.stories.board import EntryKind, read_board, set_board_status
from swarm.stories.errors import NotOnBoard, StatusNotWritable
from swarm.stories.story import StoryStatus

BOARD = dedent("""\
    # STATUS DEFINITIONS
    # ==================
    #   - backlog: only in the epics   \t

    generated: 01-02-2026 10:00
    project: "Tea shop"
    story_location: stories

    development_status:
      # Epic 1
      epic-1: in-progress
      1-1-boil: done   # first
      1-2-brew: ready-for-dev\t# next
      1-6a-pour: "in-progress"
      epic-1-retrospective: optional

    action_items:
      - epic: 1
        action: buy 1-2-brew a pot
        status: open
""").encode()


def _statuses(text: str) -> dict[str, str]:
    return {entry.key: entry.status.value for entry in read_board(dedent(text).encode()).entries}


def test_the_methods_own_form_is_read_in_order() -> None:
    board = read_board(BOARD)
    assert [(entry.key, entry.kind, entry.status, entry.line) for entry in board.entries] == [
        ("epic-1", EntryKind.EPIC, StoryStatus.IN_PROGRESS, 11),
        ("1-1-boil", EntryKind.STORY, StoryStatus.DONE, 12),
        ("1-2-brew", EntryKind.STORY, StoryStatus.READY, 13),
        ("1-6a-pour", EntryKind.STORY, StoryStatus.IN_PROGRESS, 14),
        ("epic-1-retrospective", EntryKind.RETROSPECTIVE, StoryStatus.UNKNOWN, 15),
    ]
    assert [entry.story_id for entry in board.entries] == [None, "1.1", "1.2", "1.6a", None]
    assert board.problems == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "development_status:\n  1-1-a: drafted\n  epic-1: contexted\n  1-2-b: ready_for_dev\n  1-3-c: inprogress\n",
            {"1-1-a": "ready-for-dev", "epic-1": "in-progress", "1-2-b": "ready-for-dev", "1-3-c": "in-progress"},
            id="older words and spellings",
        ),
        pytest.param(
            "development_status:\n  1-1-a:\n    status: review\n    rationale: |\n      status: done\n  1-2-b: done\n",
            {"1-1-a": "review", "1-2-b": "done"},
            id="a map for a value",
        ),
        pytest.param(
            'development_status:\n  1-1-a: {size: S, "status": review, note: x}\n  1-2-b: { status: done }\n',
            {"1-1-a": "review", "1-2-b": "done"},
            id="a map in braces for a value",
        ),
        pytest.param(
            """
            epics:
              epic-3:
                name: Tea
                status: in-progress
                stories:
                  3.1:
                    name: Boil
                    status: done
                  3.2:
                    status: review
                retrospective:
                  status: done
            """,
            {"epic-3": "in-progress", "3.1": "done", "3.2": "review", "epic-3-retrospective": "done"},
            id="stories inside maps of epics",
        ),
        pytest.param(
            """
            epics:
            - id: 3
              status: in-progress
              stories:
                - id: "3.1"
                  status: done
                - status: review
                  key: 3-2-pour
            """,
            {"epic-3": "in-progress", "3.1": "done", "3-2-pour": "review"},
            id="stories inside lists of epics",
        ),
        pytest.param(
            "epics:\n  - id: 1\n    status: backlog\ndevelopment_status:\n  epic-1: done\n  1-1-a: done\n",
            {"epic-1": "done", "1-1-a": "done"},
            id="epics beside the status map, which counts",
        ),
        pytest.param(
            "development_status:\n  1-1-a: # nothing yet\n  1-2-b: done\nepics:\n  - epic-1\n",
            {"1-1-a": "unknown", "1-2-b": "done"},
            id="a comment for a value, and a list of words",
        ),
        pytest.param("epics: []\nphase: planning\n", {}, id="no entries yet"),
        pytest.param(
            "development_status:\n  'epic-0-p2': done\n  \"1-1-a\" : 'done'\n  sprint-08-x: done\n"
            "  backlog-y: backlog\n  story-1-2: review\n  epic-1-retro-item-2-z: done\n  1a-1-x: done\n",
            {
                "epic-0-p2": "done",
                "1-1-a": "done",
                "sprint-08-x": "done",
                "backlog-y": "backlog",
                "story-1-2": "review",
                "epic-1-retro-item-2-z": "done",
                "1a-1-x": "done",
            },
            id="odd keys",
        ),
        pytest.param("\ufeffdevelopment_status:\r\n    1-1-a: done\r\n", {"1-1-a": "done"}, id="byte order mark, CRLF"),
        pytest.param("development_status:\n\t1-1-a: done\n", {"1-1-a": "done"}, id="tabs"),
        pytest.param(
            "development_status:\n  1-1-a: done\n ]} broken : [\n  1-2-b: done\n", {"1-1-a": "done"}, id="broken"
        ),
    ],
)
def test_a_dialect_is_read(text: str, expected: dict[str, str]) -> None:
    statuses = _statuses(text)
    assert {key: statuses.get(key) for key in expected} == expected


def test_of_duplicate_keys_the_last_counts_and_is_a_problem() -> None:
    board = read_board(b"development_status:\n  1-1-a: done\n  1-1-a: review\n")
    assert [(entry.status, entry.line) for entry in board.entries] == [(StoryStatus.REVIEW, 3)]
    assert [str(problem) for problem in board.problems] == [
        "line 3: the key 1-1-a stands on line 2 already; this one counts"
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"development_status:\n  1-1-a: simmering\n", "line 2: the status “simmering” of 1-1-a is none that"),
        (b"project: x\n", "there is no development_status"),
        (b"development_status: {1-1-a: done}\n", "line 1: development_status is written on one line"),
        (b"development_status:\n  1-1-a: done\xff\n", "line 2: some bytes are not UTF-8"),
        (b"", "there is no development_status"),
    ],
)
def test_what_cannot_be_read_is_a_problem(data: bytes, problem: str) -> None:
    assert any(str(found).startswith(problem) for found in read_board(data).problems)


def test_an_entry_is_found_by_its_key_only() -> None:
    board = read_board(BOARD)
    found = board.entry("1-2-brew")
    assert found is not None
    assert found.story_id == "1.2"
    assert board.entry("1.2") is None


@pytest.mark.parametrize(
    ("key", "status", "before", "after"),
    [
        ("1-2-brew", "review", b"1-2-brew: ready-for-dev\t#", b"1-2-brew: review\t#"),
        ("1-6a-pour", "done", b'"in-progress"', b'"done"'),
        ("epic-1", "done", b"epic-1: in-progress", b"epic-1: done"),
    ],
)
def test_a_status_is_written_with_all_other_bytes_kept(key: str, status: str, before: bytes, after: bytes) -> None:
    assert set_board_status(BOARD, key, status) == BOARD.replace(before, after, 1)
    windows = b"\xef\xbb\xbf" + BOARD.replace(b"\n", b"\r\n").replace(b"Epic 1", b"Epic \xff")
    assert set_board_status(windows, key, status) == windows.replace(before, after, 1)


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ("development_status:\n  1-1-a: {size: S, status: backlog}\n", "1-1-a", "{size: S, status: review}"),
        ("development_status:\n  1-1-a:\n    status: backlog\n", "1-1-a", "status: review"),
        ("stories:\n- id: 1.1\n  status: backlog", "1.1", "status: review"),
        ("development_status:\n  1-1-a:\n  1-2-b: in_progress\n", "1-1-a", "1-1-a: review"),
        ("development_status:\n  1-1-a: backlog\n  1-1-a: 'done'\n", "1-1-a", "1-1-a: review"),
    ],
)
def test_every_dialect_is_written_as_it_stands(before: str, key: str, after: str) -> None:
    written = set_board_status(before.encode(), key, "review").decode()
    assert after in written
    assert len(written.splitlines()) == len(before.splitlines())


def test_underscores_are_kept_where_the_board_uses_them() -> None:
    board = b"development_status:\n  1-1-a: backlog\n  1-2-b: ready_for_dev\n"
    assert b"1-1-a: in_progress" in set_board_status(board, "1-1-a", "in-progress")


@pytest.mark.parametrize("status", ["backlog", "ready-for-dev", "in-progress", "review"])
def test_a_story_is_never_taken_back(status: str) -> None:
    assert set_board_status(BOARD, "1-1-boil", status) == BOARD


def test_a_word_that_nobody_knows_is_left_alone() -> None:
    board = BOARD.replace(b"1-1-boil: done", b"1-1-boil: archived")
    assert set_board_status(board, "1-1-boil", "review") == board


def test_a_repair_may_take_a_story_back() -> None:
    assert set_board_status(BOARD, "1-1-boil", "review", repair=True) == BOARD.replace(b"boil: done", b"boil: review")


def test_a_value_that_is_no_plain_word_is_not_repaired_by_guessing() -> None:
    board = b"development_status:\n  1-1-a: {\n    status: done }\n"
    assert set_board_status(board, "1-1-a", "review") == board
    with pytest.raises(NotOnBoard, match="by hand"):
        set_board_status(board, "1-1-a", "review", repair=True)


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(NotOnBoard, match="no entry 9-9-x"):
        set_board_status(BOARD, "9-9-x", "review")


def test_only_words_of_the_method_can_be_written() -> None:
    with pytest.raises(StatusNotWritable):
        set_board_status(BOARD, "1-1-boil", "unknown")
