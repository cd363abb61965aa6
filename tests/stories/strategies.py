"""Texts that look like stories, boards and plans, and are not always well made."""

# ruff: noqa: E501 (lists of lines, packed)

from __future__ import annotations

from hypothesis import strategies as st

from .variants import VARIANTS

_STORY_LINES = [
    "# Story 1.2: Brew", "## Status", "Status: ready-for-dev", "**Status:** Draft", "Approved", "Status:", "| Status | Done |",
    "## Story", "As a guest, I want tea", "## Acceptance Criteria", "1. **Given** a **When** b **Then** c", "   - and", "### AC2: d",
    "- Given a, when b, then c", "## Tasks / Subtasks", "### Task 1: a", "- [ ] a (AC: 1)", "- [x] b", "  - [ ] c", "\t- [ ] d",
    "- [] e", "* [~] f", "1. [ ] g", "- plain", "## Dev Notes", "```", "~~~", "<!--", "-->", "<!-- x -->", "---", "title: x",
    "status: in-review", "### Agent Model Used", "### Agent Model Used: {{m}}", "### Completion Notes List", "### File List",
    "- `pot/a.py`", "## Dev Agent Record", "## Change Log", "| Date | Description |", "|--|--|", "## QA Results", "## Intent",
    "## Tasks & Acceptance", "**Acceptance Criteria:**", "## Verification", "- `pytest` -- green", "**Depends on:** Story 1.1", "├── a.py", "",
    "", "", "  ", "text", "\ufeff", "\0", "\x0b", "\u2028", "é", "#", "###### x", "##Tasks",
]  # fmt: skip
_BOARD_LINES = [
    "development_status:", "epics:", "stories:", "  epic-1: backlog", "  1-1-a: ready-for-dev # soon", "  1-1-a: done", "  1-2-b:",
    "    status: drafted", "  1-3-c: {status: review, size: S}", "  1-4-d: 'in_progress'", "  - id: 1.5", "    status: backlog",
    "  1-6-e: simmering", "\t1-7-f: done", "# comment", "", "action_items:", "  - epic: 1", "    note: |", "      status: done", "  1-8-g: \"",
    "  : x", "- - - a: b", "  1-9-h: &a done", "...", "---", "development_status: {1-1-a: done}", "  ? a", "\0", "\ufeff",
]  # fmt: skip
_PLAN_LINES = [
    '- id: "1"',
    "  title: a",
    "  description: >",
    "    text",
    "- id: 1.10",
    "- &a",
    "- *a",
    "{",
    "[",
    "- 'x",
    "\t- b",
    "a: b",
    "",
]

_ENDS = st.sampled_from(["\n", "\r\n", "\r", "  \n"])


def _files(lines: list[str]) -> st.SearchStrategy[bytes]:
    joined = st.tuples(st.lists(st.sampled_from(lines), max_size=40), _ENDS, st.booleans()).map(
        lambda parts: (parts[1].join(parts[0]) + (parts[1] if parts[2] else "")).encode()
    )
    broken = st.tuples(joined, st.binary(max_size=4), st.floats(0, 1)).map(
        lambda parts: parts[0][: int(len(parts[0]) * parts[2])] + parts[1] + parts[0][int(len(parts[0]) * parts[2]) :]
    )
    return st.one_of(joined, broken, st.binary(max_size=200))


story_files = st.one_of(_files(_STORY_LINES), st.sampled_from([variant.text.encode() for variant in VARIANTS]))
board_files = _files(_BOARD_LINES)
plan_files = _files(_PLAN_LINES)
model_texts = st.one_of(st.text(), st.lists(st.sampled_from(_STORY_LINES), max_size=6).map("\n".join))
paths = st.sampled_from(
    ["s/1-2-brew.md", "s/spec-scones.md", "s/notes.md", "1.2.story.md", "s/1-2-x-summary.md", "s/a\nb.md"]
)
