"""Story files in every form and with every trap we know, made by hand, each with what must be read from it.

A variant says only what its trap is about; whatever it leaves out is not looked at.
"""

# ruff: noqa: E501 (the files are given as single strings, so that every blank and line end in them can be seen)

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

UNCHECKED: object = object()


@dataclass(frozen=True)
class Variant:
    """One file. `boxes` are its tasks as "x" or "-" with one mark for each subtask: "x:x-" is a ticked task with a
    ticked and an open subtask. `criteria` are the numbers of its acceptance criteria."""

    name: str
    text: str
    path: str = "docs/stories/1-1-tea.md"
    on_board: bool = False
    is_story: bool = True
    id: object = UNCHECKED
    epic: object = UNCHECKED
    title: object = UNCHECKED
    status: object = UNCHECKED
    written: object = UNCHECKED
    sentence: object = UNCHECKED
    boxes: object = UNCHECKED
    criteria: object = UNCHECKED
    refs: object = UNCHECKED
    files: object = UNCHECKED
    commands: object = UNCHECKED
    depends_on: object = UNCHECKED
    problem: str = ""


def _md(text: str) -> str:
    return dedent(text).lstrip("\n")


def _with_status(lines: str) -> str:
    return f"# Story 1.1: Tea\n\n{_md(lines)}\n## Acceptance Criteria\n\n1. It steeps.\n\n## Tasks\n\n- [ ] Boil\n"


def _with_tasks(lines: str) -> str:
    return f"# Story 1.1: Tea\n\nStatus: ready-for-dev\n\n## Acceptance Criteria\n\n1. It steeps.\n\n{_md(lines)}"


def _with_criteria(lines: str) -> str:
    return f"# Story 1.1: Tea\n\nStatus: ready-for-dev\n\n{_md(lines)}\n## Tasks\n\n- [ ] Boil\n"


V3 = _md("""
    # Story 2.4: Serve the pot

    ## Status: InProgress

    ## Story

    - As a guest
    - I want tea
    - so that I am warm

    ## Acceptance Criteria (ACs)

    1. The pot is warm.
    2. The cup is full.

    ## Tasks / Subtasks

    - [x] Warm the pot (AC: 1)
      - [x] Pour hot water
    - [ ] Fill the cup (AC: 2)

    ## Dev Technical Guidance

    Water first.

    ## Story Progress Notes

    ### Agent Model Used: `some-model`

    ### Completion Notes List

    ### Change Log
""")

V4 = _md("""
    # Story 1.3: Choose a blend

    ## Status

    Approved

    ## Story

    **As a** guest,
    **I want** to choose a blend,
    **so that** I drink what I like.

    ## Acceptance Criteria

    1. Three blends are offered.

    ## Tasks / Subtasks

    - [ ] Offer blends (AC: 1)
      - [ ] In `shop/blends.py`

    ## Dev Notes

    ### Testing

    Taste it.

    ## Change Log

    | Date | Version | Description | Author |
    |------|---------|-------------|--------|
    | 2025-01-02 | 1.0 | Drafted | Sam |

    ## Dev Agent Record

    ### Agent Model Used

    ### Debug Log References

    ### Completion Notes List

    ### File List

    ## QA Results

    ### Improvements Checklist

    - [x] Warmer
    - [ ] Sweeter

    Gate: PASS
""")

V6 = _md("""
    # Story 1.2: Brew the tea

    Status: ready-for-dev

    <!-- Note: Validation is optional. -->

    ## Story

    As a guest,
    I want brewed tea,
    so that I can drink it.

    ## Acceptance Criteria

    1. **Given** leaves **When** water is poured **Then** tea is made
       **And** it is hot
    2. **Given** no leaves
       **When** water is poured
       **Then** nothing happens

    ## Tasks / Subtasks

    - [ ] Task 1: Pour (AC: 1, 2)
      - [ ] Subtask 1.1: in `pot/pour.py`
    - [ ] Task 2: Test in `tests/test_pour.py` (AC: #1)

    ## Dev Notes

    - Keep it simple.

    ### References

    - [Source: docs/architecture.md#Pots]

    ## Dev Agent Record

    ### Agent Model Used

    {{agent_model_name_version}}

    ### Debug Log References

    ### Completion Notes List

    ### File List
""")

SPEC = _md("""
    ---
    title: 'Scones on the side'
    type: 'feature'
    created: '2026-01-05'
    status: 'in-review' # draft | ready-for-dev | in-progress | in-review | done
    context: []
    ---

    <frozen-after-approval reason="approved">

    ## Intent

    **Problem:** Tea alone is thin.

    **Approach:** Bake scones.

    ## Boundaries & Constraints

    **Always:** Butter.

    </frozen-after-approval>

    ## Code Map

    - `kitchen/oven.py` -- heats
    - `kitchen/scones.py:12-40` -- shapes

    ## Tasks & Acceptance

    **Execution:**
    - [x] `kitchen/scones.py` -- ADD scones -- they are missing
    - [ ] `tests/test_scones.py` -- ADD tests -- prove it

    **Acceptance Criteria:**
    - Given dough, when baked, then scones rise.
    - Given no dough, when baked, then an error is shown.

    ## Spec Change Log

    ## Verification

    **Commands:**
    - `pytest tests/test_scones.py -q` -- expected: green
    - `ruff check kitchen` -- expected: clean

    **Manual checks:**
    - `look` at them
""")

FORMS = [
    Variant(
        "v3, status on the heading",
        V3,
        path="docs/stories/story-2.4.md",
        id="2.4",
        title="Serve the pot",
        status="in-progress",
        written="InProgress",
        boxes=["x:x", "-"],
        criteria=["1", "2"],
        refs=[("1",), ("2",)],
    ),
    Variant(
        "v4, status below its heading",
        V4,
        path="docs/stories/1.3.choose-a-blend.md",
        id="1.3",
        epic="1",
        title="Choose a blend",
        status="ready-for-dev",
        written="Approved",
        sentence="As a guest, I want to choose a blend, so that I drink what I like.",
        boxes=["-:-"],
        criteria=["1"],
        files=["shop/blends.py"],
    ),
    Variant("v4 under the other file name", V4, path="docs/stories/1.3.story.md", id="1.3", title="Choose a blend"),
    Variant(
        "v6",
        V6,
        path="stories/1-2-brew-the-tea.md",
        id="1.2",
        title="Brew the tea",
        status="ready-for-dev",
        sentence="As a guest, I want brewed tea, so that I can drink it.",
        boxes=["-:-", "-"],
        criteria=["1", "2"],
        refs=[("1", "2"), ("1",)],
        files=["pot/pour.py", "tests/test_pour.py"],
    ),
    Variant(
        "v6 with front matter that holds no status",
        f"---\nbaseline_commit: NO_VCS\n---\n\n{V6}",
        path="stories/1-2-brew.md",
        status="ready-for-dev",
        boxes=["-:-", "-"],
    ),
    Variant(
        "build spec",
        SPEC,
        path="_bmad-output/implementation-artifacts/spec-scones.md",
        id="spec-scones",
        epic="",
        title="Scones on the side",
        status="review",
        written="in-review",
        sentence="Problem: Tea alone is thin. Approach: Bake scones.",
        boxes=["x", "-"],
        criteria=["1", "2"],
        files=["kitchen/oven.py", "kitchen/scones.py", "tests/test_scones.py"],
        commands=["pytest tests/test_scones.py -q", "ruff check kitchen"],
    ),
    Variant("build spec in a folder of stories", SPEC, path="x/stories/3-2-scones.md", id="3.2", epic="3"),
    Variant(
        "build spec written unattended has bullets for tasks",
        SPEC.replace("- [x] `kit", "- `kit").replace("- [ ] `tests", "- `tests"),
        path="spec-scones.md",
        boxes=["-", "-"],
        criteria=["1", "2"],
    ),
]

STATUSES = [
    Variant("status in bold with the colon inside", _with_status("**Status:** Draft\n"), status="draft"),
    Variant("status in bold with the colon outside", _with_status("**Status**: In Progress\n"), status="in-progress"),
    Variant("label and status in one pair of stars", _with_status("**Status: Done**\n"), status="done", written="Done"),
    Variant("status as a list item", _with_status("- Status: review\n"), status="review"),
    Variant("status in a quotation", _with_status("> **Status:** review\n> **Epic:** 1\n"), status="review"),
    Variant(
        "status as a table row",
        _with_status("| Field | Value |\n|---|---|\n| Epic | 1 |\n| **Status** | In Review |\n"),
        status="review",
        written="In Review",
    ),
    Variant("status with an emoji before it", _with_status("Status: ✅ Completed\n"), status="done"),
    Variant("status with an emoji behind it", _with_status("**Status:** Completed ✅\n"), status="done"),
    Variant("label with an emoji", _with_status("📌 **Status:** Draft\n"), status="draft"),
    Variant(
        "status beside other labels", _with_status("**Status:** Draft | **Epic:** 1 | **Points:** 3\n"), status="draft"
    ),
    Variant("status with a comment behind it", _with_status("Status: review <!-- or done -->\n"), status="review"),
    Variant(
        "status with a remark in brackets",
        _with_status("Status: in_progress (v3: nearly there)\n"),
        status="in-progress",
    ),
    Variant("status with an arrow", _with_status("Status: Draft → Approved\n"), status="ready-for-dev"),
    Variant("status in code marks", _with_status("Status: `done`\n"), status="done", written="done"),
    Variant(
        "status heading, then other labels, then the value",
        _with_status("## Status\n\n**Epic:** 1\n**Points:** 3\n\nReady for Review\n"),
        status="review",
    ),
    Variant(
        "status heading, then a label with the value",
        _with_status("## Status\n\n**Status:** Done\n\nAll fine.\n"),
        status="done",
    ),
    Variant(
        "status heading, then a table",
        _with_status("## Status\n\n| Key | Value |\n|--|--|\n| Status | Done |\n"),
        status="done",
    ),
    Variant("status heading with a number", _with_status("## 1. Status\n\nDraft\n"), status="draft"),
    Variant(
        "status among the details",
        _with_status("## Story Details\n\n**Story ID:** 1.1\n**Status:** Draft\n"),
        status="draft",
    ),
    Variant("status in French", _with_status("Statut : Terminé\n"), status="done", written="Terminé"),
    Variant("status in Chinese with a wide colon", _with_status("状态：进行中\n"), status="in-progress"),
    Variant(
        "ready with a condition is not ready",
        _with_status("Status: Ready for dev - once 1.0 is done\n"),
        status="unknown",
    ),
    Variant(
        "a word that nobody knows",
        _with_status("Status: simmering\n"),
        status="unknown",
        problem="line 3: the status “simmering”",
    ),
    Variant("a template's choice", _with_status("## Status: { Draft | Approved | Done }\n"), status="unknown"),
    Variant("no status at all", _with_status("Nothing here.\n"), status="unknown", written="", problem="no status"),
    Variant(
        "an empty status",
        _with_status("Status:\n"),
        status="unknown",
        written="",
        problem="line 3: the story has no status",
    ),
    Variant("status in a code block only", _with_status("```\nStatus: done\n```\n"), status="unknown", written=""),
    Variant("status in a comment only", _with_status("<!--\nStatus: done\n-->\n"), status="unknown", written=""),
    Variant(
        "status at the end of the file",
        _with_tasks("## Tasks\n\n- [x] Boil\n").replace("Status: ready-for-dev\n", "") + "\n---\n\nStatus: done\n",
        status="done",
    ),
    Variant(
        "a review's status is not the story's",
        _with_tasks("## Tasks\n\n- [x] Boil\n").replace("Status: ready-for-dev\n", "")
        + "\n## QA Results\n\nStatus: done\n",
        status="unknown",
    ),
    Variant(
        "two statuses that contradict each other",
        _with_status("Status: review\n\n## Status\n\nDone\n"),
        status="review",
        problem="line 7: the status “Done” contradicts “review” on line 3",
    ),
]

TASKS = [
    Variant("capital ticks", _with_tasks("## Tasks\n\n- [X] Boil\n- [ ] Pour\n"), boxes=["x", "-"]),
    Variant("stars and pluses as bullets", _with_tasks("## Tasks\n\n* [x] Boil\n+ [ ] Pour\n"), boxes=["x", "-"]),
    Variant("numbered tasks", _with_tasks("## Tasks\n\n1. [x] Boil\n   - [ ] Salt\n2. [ ] Pour\n"), boxes=["x:-", "-"]),
    Variant("tab as indent", _with_tasks("## Tasks\n\n- [x] Boil\n\t- [ ] Salt\n"), boxes=["x:-"]),
    Variant(
        "indent of four", _with_tasks("## Tasks\n\n- [ ] Boil\n    - [x] Salt\n        - [ ] Sea\n"), boxes=["-:x-"]
    ),
    Variant(
        "the whole list is indented",
        _with_tasks("## Tasks\n\n  - [ ] Boil\n    - [x] Salt\n  - [ ] Pour\n"),
        boxes=["-:x", "-"],
    ),
    Variant(
        "tasks as headings with numbered boxes",
        _with_tasks(
            "## Tasks\n\n### Task 1: Boil (AC: 1)\n\n- [x] **1.1**: Salt\n- [x] **1.2**: Heat\n\n### Task 2: Pour\n\n- [ ] **2.1** Tilt\n"
        ),
        boxes=["x:xx", "-:-"],
        refs=[("1",), ()],
    ),
    Variant(
        "tasks as headings without boxes",
        _with_tasks("## Tasks\n\n### Task 1: Boil\n\n- salt\n\n### Task 2: Pour\n\nslowly\n"),
        boxes=["-", "-"],
    ),
    Variant(
        "groups in the task section",
        _with_tasks("## Tasks\n\n### Kitchen\n\n- [x] Boil\n\n### Table\n\n- [ ] Pour\n"),
        boxes=["x", "-"],
    ),
    Variant(
        "boxes below plain bullets",
        _with_tasks("## Tasks\n\n- Kitchen\n  - [x] Boil\n- Table\n  - [ ] Pour\n"),
        boxes=["x", "-"],
    ),
    Variant(
        "a review's follow-ups are not tasks",
        _with_tasks(
            "## Tasks\n\n- [x] Boil\n\n### Review Follow-ups (AI)\n\n- [ ] [AI-Review][High] Stir [pot.py:3]\n"
        ),
        boxes=["x"],
    ),
    Variant(
        "follow-ups under a heading of their own",
        _with_tasks(
            "## Tasks\n\n- [x] Boil\n\n## Review Follow-ups (AI)\n\n- [ ] Stir\n\n## Review Findings\n\n- [x] [Review][Defer] Ice\n"
        ),
        boxes=["x"],
    ),
    Variant("a QA checklist is no task", V4, path="1.3.story.md", boxes=["-:-"]),
    Variant(
        "a definition of done is no task",
        _with_tasks("## Tasks\n\n- [ ] Boil\n\n## Definition of Done\n\n- [ ] Tests pass\n"),
        boxes=["-"],
    ),
    Variant(
        "boxes in a code block",
        _with_tasks("## Tasks\n\n- [ ] Boil\n\n```\n- [ ] not me\n```\n\n- [x] Pour\n"),
        boxes=["-", "x"],
    ),
    Variant("boxes in a comment", _with_tasks("## Tasks\n\n- [ ] Boil\n<!--\n- [ ] not me\n-->\n"), boxes=["-"]),
    Variant(
        "a code block that is never closed hides nothing",
        _with_tasks("## Tasks\n\n- [ ] Boil\n\n```python\n\n- [x] Pour\n"),
        boxes=["-", "x"],
        problem="line 13: this code block is never closed",
    ),
    Variant(
        "links are no boxes",
        _with_tasks("## Tasks\n\n- [ ] Boil\n- [x](https://example.org) read\n- [a] note\n"),
        boxes=["-"],
    ),
    Variant("boxes without a blank", _with_tasks("## Tasks\n\n- [] Boil\n- [x ] Pour\n"), boxes=["-", "x"]),
    Variant(
        "boxes half done are open",
        _with_tasks("## Tasks\n\n- [~] Boil\n- [-] Pour\n- [✓] Drink\n"),
        boxes=["-", "-", "x"],
    ),
    Variant(
        "criteria named in every way",
        _with_tasks(
            "## Tasks\n\n- [ ] a (AC: #1)\n- [ ] b (ACs: 1, 2)\n- [ ] c [AC1]\n- [ ] d (AC: 1-3)\n- [ ] e (AC: 4.AC1)\n- [ ] f (AC: all)\n"
        ),
        refs=[("1",), ("1", "2"), ("1",), ("1", "2", "3"), ("4.AC1",), ()],
        problem="names acceptance criterion 3",
    ),
    Variant(
        "wrapped task",
        _with_tasks("## Tasks\n\n- [ ] Boil the\n  water (AC: 1)\n- [ ] Pour\n"),
        boxes=["-", "-"],
        refs=[("1",), ()],
    ),
    Variant(
        "no task section", _with_tasks("## Dev Notes\n\n- [ ] not a task\n"), boxes=[], problem="no tasks were found"
    ),
    Variant("heading without a blank", _with_tasks("##Tasks\n\n- [ ] Boil\n"), boxes=["-"]),
    Variant("closing hashes", _with_tasks("## Tasks ##\n\n- [ ] Boil\n"), boxes=["-"]),
    Variant(
        "numbered heading with an emoji", _with_tasks("## 3. 🔧 **Tasks / Subtasks**\n\n- [ ] Boil\n"), boxes=["-"]
    ),
    Variant("German headings", _with_tasks("## Aufgaben / Unteraufgaben\n\n- [x] Kochen\n"), boxes=["x"]),
    Variant("Spanish headings", _with_tasks("## Tareas / Subtareas\n\n- [x] Hervir\n"), boxes=["x"]),
]

CRITERIA = [
    Variant(
        "criteria with colons",
        _with_criteria("## Acceptance Criteria\n\n1: It is hot.\n2: It is sweet.\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "criteria as boxes with labels",
        _with_criteria("## Acceptance Criteria\n\n- [ ] **AC1**: Hot\n- [x] **AC2**: Sweet\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "criteria as boxes with numbers",
        _with_criteria("## Acceptance Criteria\n\n### Taste\n- [x] 1. **Hot**\n- [x] 2. Sweet\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "criteria as headings",
        _with_criteria("## Acceptance Criteria\n\n### AC1: Hot\n\n1. Very.\n\n### AC-2 — Sweet\n\n- So.\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "criteria as bold labels",
        _with_criteria("## Acceptance Criteria\n\n**AC-1: Hot**\n- Very.\n\n**AC-2: Sweet**\n- So.\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "bare Given blocks",
        _with_criteria(
            "## Acceptance Criteria\n\n**Given** a pot\n**When** poured\n**Then** full\n\n**Given** a cup\n**Then** dry\n"
        ),
        criteria=["1", "2"],
    ),
    Variant(
        "some bullets with Given, some without",
        _with_criteria("## Acceptance Criteria\n\n- Given a pot, then it is full\n- The cup is dry\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "nested lists inside criteria",
        _with_criteria("## Acceptance Criteria\n\n1. Hot\n   1. very\n   2. truly\n2. Sweet\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "criteria as paragraphs",
        _with_criteria("## Acceptance Criteria\n\nIt is\nhot.\n\nIt is sweet.\n"),
        criteria=["1", "2"],
    ),
    Variant(
        "criteria below a label rather than a heading",
        _with_criteria(
            "## Story\n\nAs a guest I want tea.\n\n**Acceptance Criteria:**\n\n**Given** a pot\n**Then** tea\n\n**Failure:**\nNone.\n"
        ),
        criteria=["1"],
        sentence="As a guest I want tea.",
    ),
    Variant("criteria in French", _with_criteria("## Critères d’acceptation\n\n1. Chaud\n"), criteria=["1"]),
    Variant("no criteria", _with_criteria("## Story\n\nTea.\n"), criteria=[], problem="no acceptance criteria"),
    Variant(
        "story heading with a number",
        _with_criteria("## 1. User Story\n\nAs a guest I want tea.\n"),
        sentence="As a guest I want tea.",
    ),
]

NAMES = [
    Variant("number with a letter", V6.replace("1.2:", "1.6a:"), path="s/1-6a-brew.md", id="1.6a", epic="1"),
    Variant(
        "three numbers in the heading", V6.replace("1.2:", "10.1.5:"), path="s/10-1-5-brew.md", id="10.1.5", epic="10"
    ),
    Variant("two numbers, then a title with a number", V6.replace("1.2:", "8.2:"), path="s/8-2-3d-view.md", id="8.2"),
    Variant(
        "dash behind the number",
        V6.replace("# Story 1.2:", "# Story 1.2 -"),
        path="s/brew.md",
        id="1.2",
        title="Brew the tea",
    ),
    Variant(
        "dash inside the number",
        V6.replace("# Story 1.2:", "# Story 1-2:"),
        path="s/brew.md",
        id="1.2",
        title="Brew the tea",
    ),
    Variant(
        "epic and story in the heading",
        V6.replace("# Story 1.2:", "# Epic 3 - Story 7:"),
        path="s/brew.md",
        id="3.7",
        title="Brew the tea",
    ),
    Variant(
        "number in the file's name only",
        V6.replace("# Story 1.2: ", "# "),
        path="s/1-2-brew.md",
        id="1.2",
        title="Brew the tea",
    ),
    Variant(
        "no number anywhere",
        V6.replace("# Story 1.2: ", "# Story: "),
        path="s/brew.md",
        id="brew",
        epic="",
        title="Brew the tea",
    ),
    Variant(
        "title in bold with an emoji",
        V6.replace("# Story 1.2: ", "# 📖 **Story 1.2:** "),
        path="s/brew.md",
        id="1.2",
        title="Brew the tea",
    ),
    Variant(
        "heading and file's name disagree",
        V6,
        path="s/1-9-brew.md",
        id="1.9",
        problem="the heading says 1.2, the file's name 1.9",
    ),
    Variant(
        "number of five thousand digits",
        f"# Story 1.{'7' * 5000}: x\n\nStatus: done\n\n## Tasks\n\n- [ ] a\n\n## Story\n\nx\n",
        path="s/x.md",
        id="x",
    ),
    Variant(
        "no heading at all",
        "Status: done\n\n- [ ] a\n",
        path="s/1-4-x.md",
        on_board=True,
        id="1.4",
        title="X",
        status="done",
    ),
    Variant(
        "sections as the highest headings",
        "# Status\n\nDone\n\n# Story\n\nTea.\n\n# Tasks\n\n- [x] a\n\n# Dev Notes\n",
        path="s/1-4-x.md",
        status="done",
        boxes=["x"],
    ),
    Variant(
        "Windows line ends",
        V6.replace("\n", "\r\n"),
        path="s/1-2-brew.md",
        id="1.2",
        status="ready-for-dev",
        boxes=["-:-", "-"],
        criteria=["1", "2"],
    ),
    Variant(
        "old Mac line ends", V6.replace("\n", "\r"), path="s/1-2-brew.md", status="ready-for-dev", boxes=["-:-", "-"]
    ),
    Variant(
        "byte order mark", f"\ufeff{V6}", path="s/1-2-brew.md", id="1.2", title="Brew the tea", status="ready-for-dev"
    ),
    Variant("byte order mark before front matter", f"\ufeff{SPEC}", path="spec-scones.md", status="review"),
    Variant("other Unicode line ends end no line", _with_status("Status: done\u2028x: y\n"), status="unknown"),
    Variant(
        "a NUL byte",
        V6.replace("Keep", "K\0eep"),
        path="s/1-2-brew.md",
        boxes=["-:-", "-"],
        problem="line 29: the line holds a NUL byte",
    ),
    Variant("front matter that is only a rule", f"---\n\n{V6}\n---\n", path="s/1-2-brew.md", status="ready-for-dev"),
]

DEPENDENCIES = [
    Variant(
        "depends on in the header",
        _with_status("Status: draft\n**Depends on:** Story 1.0, 2.3 and 2.4\n"),
        depends_on=["1.0", "2.3", "2.4"],
    ),
    Variant(
        "dependencies with ticks",
        _with_status("Status: draft\n**Dependencies:** Story 1.2 (✓), Story 1.3 (✓)\n"),
        depends_on=["1.2", "1.3"],
    ),
    Variant(
        "dependencies in an epic",
        _with_status("Status: draft\nDependencies: Epic 1 (after Story 1.3)\n"),
        depends_on=["1.3"],
    ),
    Variant("dependencies in French", _with_status("Status: draft\n**Dépend de :** Story 1.4\n"), depends_on=["1.4"]),
    Variant(
        "versions are no dependencies",
        _with_status("Status: draft\n**Dependencies:** Django 5.2, requests 2.32\n"),
        depends_on=[],
    ),
    Variant("dependencies by key", _with_status("Status: draft\n**Depends on:** 1-2-brew\n"), depends_on=["1.2"]),
    Variant(
        "dependencies in front matter",
        f"---\ntitle: x\ndepends_on: [1.1, '1.2']\n---\n{V6}",
        path="s/1-9-x.md",
        depends_on=["1.1", "1.2"],
    ),
    Variant(
        "dependencies below front matter's key",
        f"---\ndepends_on:\n  - 1.1\n  - 1-3\nother: 9.9\n---\n{V6}",
        path="s/1-9-x.md",
        depends_on=["1.1", "1.3"],
    ),
    Variant(
        "section of dependencies",
        _with_tasks("## Tasks\n\n- [ ] a\n\n### Dependencies\n\n- Story 2.1 (pots)\n- Python 3.11\n"),
        depends_on=["2.1"],
    ),
    Variant("a story never depends on itself", _with_status("Status: draft\nDepends on: Story 1.1\n"), depends_on=[]),
]

FILES = [
    Variant(
        "commands in a shell block",
        _with_tasks("## Verification\n\n```sh\n# first\n$ pytest -q\nruff check\n```\n"),
        commands=["pytest -q", "ruff check"],
    ),
    Variant("folders and files without a suffix", _with_tasks("## Tasks\n\n- [ ] `pot/`, `Makefile` and `py`\n"), files=["pot/", "Makefile"]),
    Variant(
        "a tree with remarks and without files",
        _with_tasks("## Dev Notes\n\n```\npot/\n├── the lid goes here\n├── lid\n└── lid.py <- new\n```\n\ntext\n"),
        files=["pot/lid.py"],
    ),
    Variant(
        "source tree in the dev notes",
        _with_tasks("## Dev Notes\n\n```\npot/\n├── lid.py  # new\n├── spout/\n│   └── tip.py\n└── README.md\n```\n"),
        files=["pot/lid.py", "pot/spout/tip.py", "pot/README.md"],
    ),
    Variant(
        "file list with remarks",
        _with_tasks("## Dev Agent Record\n\n### File List\n\n- pot/lid.py (new)\n- **pot/tip.py**: changed\n- `pot/cup.py`\n"),
        files=["pot/lid.py", "pot/tip.py", "pot/cup.py"],
    ),
    Variant(
        "names in a program are no files",
        _with_tasks("## Tasks\n\n- [ ] Call `pot.pour()` and `order.total` in `pot/a.py`, see `/etc/hosts`, `../x.py` and `a.py`\n"),
        files=["pot/a.py"],
    ),
    Variant("sources are read, not touched", _with_tasks("## Tasks\n\n- [ ] Boil [Source: `docs/a.md`] in `pot/a.py`\n"), files=["pot/a.py"]),
]  # fmt: skip

NO_STORIES = [
    Variant("front matter that never ends", f"---\nstatus: draft\n\n{V6}".replace("Status: ready-for-dev\n", ""), path="s/1-2-brew.md", status="draft"),
    Variant("code marks in a line begin no block", _with_tasks("## Tasks\n\n```x``` first\n\n- [x] Boil\n"), boxes=["x"]),
    Variant("text behind a comment", _with_tasks("<!-- a\nb --> **Depends on:** x\n## Tasks\n\n<!-- c --> d\n\n- [x] Boil\n"), boxes=["x"]),
    Variant("a table without a status", _with_status("| Epic | 1 |\n|--|--|\n| Status |\n"), status="unknown", written=""),
    Variant("a checklist", "# Checklist for Story 1.1\n\n- [ ] a\n", path="s/1-1-tea-checklist.md", is_story=False),
    Variant("a summary", "# Summary of 1.1\n\nStatus: done\n", path="s/1-1-tea-summary.md", is_story=False),
    Variant("a validation report", "# Story 1.1 validation\n\n## Acceptance Criteria\n", path="s/validation-report-1-1.md", is_story=False),
    Variant("a code review", "# Review\n\nStatus: done\n\n## Findings\n", path="s/1-1-code-review.md", is_story=False),
    Variant("notes beside a story", "# What we found\n\nMuch.\n", path="s/1-1-tea-spike.md", is_story=False),
    Variant("the epics", "# Shop - Epic Breakdown\n\n## Epic 1: Tea\n\n### Story 1.1: Brew\n\n**Acceptance Criteria:**\n", path="epics.md", is_story=False),
    Variant("a retrospective", "# Epic 1 Retrospective\n\n**Status:** done\n", path="s/epic-1-retro-2026-01-01.md", is_story=False),
    Variant("a readme", "# Stories\n\nHere they are.\n", path="s/README.md", is_story=False),
    Variant("an empty file", "", path="s/notes.md", is_story=False),
    Variant("a story whose title sounds like a companion", V6.replace("Brew the tea", "Order summary"), path="s/1-2-order-summary.md", id="1.2"),
    Variant("an empty file that the board names", "", path="s/1-1-tea.md", on_board=True, id="1.1", status="unknown", title="Tea"),
    Variant("a companion's name that the board names", "# X\n\nStatus: done\n", path="s/1-5-weekly-report.md", on_board=True, id="1.5", status="done"),
]  # fmt: skip

VARIANTS = [*FORMS, *STATUSES, *TASKS, *CRITERIA, *NAMES, *DEPENDENCIES, *FILES, *NO_STORIES]
