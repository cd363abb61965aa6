"""The pages of stories: the list, one story with its history, and the repair of drift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from swarm.stories.reader import MAX_STORY_BYTES
from tests.factories import make_execution, make_node
from tests.web.test_markdown import HOSTILE, Elements
from tests.workspace.repositories import make_repository

pytestmark = pytest.mark.django_db

TEA = """---
baseline_commit: abc123
---
# Story 1.1: Tea & <i>milk</i>

Status: ready-for-dev

**Depends on:** Story 1.2

## Acceptance Criteria

1. **Given** a `kettle` **When** it boils **Then** it is off.
2. It is hot.

## Tasks / Subtasks

- [x] Boil `src/water.py` (AC: 1)
  - [ ] Fill <b>it</b>
- [ ] Pour (AC: 9)

## Verification

**Commands:**
- `pytest -q` -- expected: passes
"""
BOARD = "development_status:\n  1-1-tea: done\n  1-2-milk: ready-for-dev\n  1-7-gone: review\n"


def story(story_id: str, title: str) -> str:
    return f"# Story {story_id}: {title}\n\nStatus: ready-for-dev\n\n## Acceptance Criteria\n\n1. It is hot.\n"


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.SWARM_WORKSPACE, settings.SWARM_STORIES = str(tmp_path / "workspace"), ""
    files = {"1-1-tea.md": TEA, "1-2-milk.md": story("1.2", "Milk"), "sprint-status.yaml": BOARD}
    make_repository(tmp_path / "workspace", {f"stories/{name}": text.encode() for name, text in files.items()})
    return tmp_path / "workspace" / "stories"


@pytest.fixture
def page(client: Client, viewer: User) -> Client:
    client.force_login(viewer)
    return client


def text_of(client: Client, url: str, *, status: int = 200, **headers: str) -> str:
    response = client.get(url, headers=headers or None)
    assert response.status_code == status
    return response.content.decode()


# The list


@pytest.mark.usefixtures("folder")
def test_the_list_leads_to_each_story_and_to_the_repair(page: Client) -> None:
    html = text_of(page, "/stories/")
    for words in (
        'href="/stories/1.1/"',
        'href="/stories/1.2/"',
        "1.1: the file says ready-for-dev, the board done",
        "the board has 1-7-gone as review, but there is no file for it",
        'href="/drift/"',
        'data-events="story:"',
    ):
        assert words in html


def test_a_list_without_drift_does_not_speak_of_it(page: Client, folder: Path) -> None:
    (folder / "sprint-status.yaml").unlink()
    assert "disagree" not in text_of(page, "/stories/")


@pytest.mark.usefixtures("folder")
def test_a_live_refresh_gets_the_list_of_stories_alone(page: Client) -> None:
    html = text_of(page, "/stories/", **{"HX-Request": "true"})
    assert html.lstrip().startswith('<div id="stories"')


def test_ids_that_no_address_can_hold_do_not_break_the_list(page: Client, folder: Path) -> None:
    plan = '- {id: "a/b", title: Slash}\n- {id: "a\\nb", title: Line}\n- {id: "x?y#z %", title: Marks}\n'
    (folder / "stories.yaml").write_text(plan)
    html = text_of(page, "/stories/")
    assert "Slash" in html
    assert "Line" in html
    link = re.search(r'href="([^"]+)">x\?y#z %', html)
    assert link
    assert "Marks" in text_of(page, link[1])


# One story


@pytest.mark.usefixtures("folder")
def test_a_story_shows_what_is_read_in_its_file(page: Client) -> None:
    html = text_of(page, "/stories/1.1/")
    for words in (
        "Tea &amp; &lt;i&gt;milk&lt;/i&gt;</h1>",
        "<b>Given</b> a <code>kettle</code>",
        "<b>Then</b> it is off.",
        "<p>It is hot.</p>",
        "1 of 2 done",
        "Fill &lt;b&gt;it&lt;/b&gt;",
        '<a href="/stories/1.2/">1.2</a> <span class="small muted">line 8</span>',
        "<code>src/water.py</code>",
        "<code>pytest -q</code>",
        "<pre>---\nbaseline_commit: abc123\n---</pre>",
        "<h4>Acceptance Criteria</h4>",
        "No developer has worked on it yet.",
    ):
        assert words in html
    states = re.findall(r'<li class="(\w*)" data-status="(\w+)">', html)
    assert states == [("", "completed"), ("subtask", "pending"), ("", "pending")]


@pytest.mark.usefixtures("folder")
def test_a_story_shows_its_problems_with_their_lines(page: Client) -> None:
    assert re.search(r"<li>line 19: .*9", text_of(page, "/stories/1.1/"))


def test_a_story_shows_the_history_of_its_nodes_in_this_workspace(page: Client, folder: Path) -> None:
    here, elsewhere = make_execution(workspace=str(folder.parent)), make_execution(workspace="/elsewhere")
    later = make_execution(workspace=str(folder.parent))
    failed = make_node(
        here, story_id="1.1", status="failed", error_code="lock_timeout", error_message="It <b>waited</b>."
    )
    done = make_node(later, story_id="1.1", status="completed", started_at=now(), finished_at=now(), commit="c" * 40)
    others = [make_node(here, story_id="1.2"), make_node(elsewhere, story_id="1.1")]
    html = text_of(page, "/stories/1.1/")
    assert html.index(f"/nodes/{done.pk}/") < html.index(f"/nodes/{failed.pk}/")
    for words in (
        f"/executions/{here.pk}/",
        "It &lt;b&gt;waited&lt;/b&gt;.",
        "lock_timeout",
        "cccccccc",
    ):
        assert words in html
    assert not any(str(node.pk) in html for node in others)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_story_takes_the_same_queries_for_any_history(
    page: Client, folder: Path, rows: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(rows):
        make_node(make_execution(workspace=str(folder.parent)), story_id="1.1")
    with django_assert_num_queries(3):  # session, user, nodes
        page.get("/stories/1.1/")


@pytest.mark.usefixtures("folder")
def test_an_unknown_story_is_not_found_and_said_so(page: Client) -> None:
    assert "There is no story 9.9&lt;b&gt;" in text_of(page, "/stories/9.9<b>/", status=404)


def test_an_id_that_two_files_have_names_both(page: Client, folder: Path) -> None:
    (folder / "sprint-status.yaml").unlink()
    (folder / "1-1-again.md").write_text(story("1.1", "Again"))
    html = text_of(page, "/stories/1.1/", status=404)
    assert "stories/1-1-again.md, stories/1-1-tea.md" in html


def test_a_live_page_is_told_that_its_story_is_gone(page: Client, folder: Path) -> None:
    (folder / "1-1-tea.md").unlink()
    html = text_of(page, "/stories/1.1/", **{"HX-Request": "true"})
    assert html.lstrip().startswith('<div id="story"')
    assert "There is no story 1.1" in html


def test_a_workspace_that_cannot_be_used_is_said(page: Client, settings: Settings) -> None:
    settings.SWARM_WORKSPACE = ""
    for path, status in (("/stories/", 200), ("/stories/1.1/", 404), ("/drift/", 200)):
        assert "SWARM_WORKSPACE is not set" in text_of(page, path, status=status)


def test_hostile_markdown_adds_nothing_to_the_page_but_text(page: Client, folder: Path) -> None:
    """The page of a hostile story has the elements of the page of a harmless one, and harmless ones besides."""
    hostile = "\n\n".join(HOSTILE).encode(errors="replace").decode()
    lines = [text.replace("\n", " ").encode(errors="replace").decode() for text in HOSTILE]
    criteria = "".join(f"{number}. {line}\n" for number, line in enumerate(lines, start=1))
    steps = "".join(f"{number}. **Given** {line} **Then** x\n" for number, line in enumerate(lines, start=100))
    tasks = "".join(f"- [ ] {line}\n  - [x] {line}\n" for line in lines)
    (folder / "1-2-milk.md").write_text(
        f"# Story 1.2: {lines[0]}\n\nStatus: {lines[2]}\n\n## Acceptance Criteria\n\n{criteria}{steps}\n"
        f"## Tasks\n\n{tasks}\n## Dev Notes\n\n{hostile}\n"
    )

    def active(html: str) -> list[tuple[str, dict[str, str | None]]]:
        kept = ("script", "iframe", "object", "embed", "style", "link", "meta", "base", "form", "input", "img")
        found = [(tag, dict(attributes)) for tag, attributes in Elements(html).found if tag in kept]
        for _, attributes in found:
            attributes.pop("value", None)  # the CSRF token
        return found

    for path in ("/stories/1.2/", "/stories/"):
        html = text_of(page, path)
        assert active(html) == active(text_of(page, "/stories/1.1/" if path != "/stories/" else path))
        for tag, attributes in Elements(html).found:
            assert not any(name.startswith("on") or name == "style" for name in attributes), tag
            assert (attributes.get("href") or "/").startswith(("/", "#", "https://"))
            assert re.match("/[^/]", attributes.get("src") or "/static")


def test_a_story_of_nothing_but_boxes_is_shown_in_part(page: Client, folder: Path) -> None:
    boxes = "- [ ] a\n" * 20_000
    (folder / "1-2-milk.md").write_text(story("1.2", "Milk") + f"\n## Tasks\n\n{boxes}")
    html = text_of(page, "/stories/1.2/")
    assert html.count('data-status="pending"') == 300
    assert "No more than 300 are shown." in html
    assert "only its first 64 KiB are shown" in html


def test_a_file_above_the_limit_has_a_page(page: Client, folder: Path) -> None:
    (folder / "1-2-milk.md").write_text(story("1.2", "Milk") + "x\n" * MAX_STORY_BYTES)
    assert "is read no further" in text_of(page, "/stories/1.2/")


# Drift


@pytest.fixture
def operating(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def fingerprint_in(html: str) -> str:
    found = re.search(r'name="fingerprint" value="(\w+)"', html)
    assert found
    return found[1]


@pytest.mark.usefixtures("folder")
def test_the_preview_shows_the_exact_edits_and_what_is_left(page: Client) -> None:
    html = text_of(page, "/drift/")
    for words in (
        "1-1-tea: Ready for dev → Done",
        '<span data-line="-">-Status: ready-for-dev',
        '<span data-line="+">+Status: done',
        "the board has 1-7-gone as review, but there is no file for it",
    ):
        assert words in html


def test_a_repair_writes_the_preview_and_says_what_it_did(operating: Client, folder: Path) -> None:
    fingerprint = fingerprint_in(text_of(operating, "/drift/"))
    response = operating.post("/drift/", {"fingerprint": fingerprint}, follow=True)
    assert "Repaired: stories/1-1-tea.md." in response.content.decode()
    assert (folder / "1-1-tea.md").read_text() == TEA.replace("Status: ready-for-dev", "Status: done")
    assert (folder / "sprint-status.yaml").read_text() == BOARD


def test_a_file_that_changed_since_the_preview_is_not_overwritten(operating: Client, folder: Path) -> None:
    fingerprint = fingerprint_in(text_of(operating, "/drift/"))
    (folder / "1-1-tea.md").write_text(TEA + "\nMine.\n")
    response = operating.post("/drift/", {"fingerprint": fingerprint}, follow=True)
    assert "changed since the preview" in response.content.decode()
    assert (folder / "1-1-tea.md").read_text() == TEA + "\nMine.\n"


def test_who_may_only_look_sees_the_preview_but_cannot_write(page: Client, folder: Path) -> None:
    html = text_of(page, "/drift/")
    assert "writing needs the permission to operate" in html
    assert page.post("/drift/", {"fingerprint": fingerprint_in(html)}).status_code == 403
    assert (folder / "1-1-tea.md").read_text() == TEA


def test_where_nothing_differs_there_is_nothing_to_write(operating: Client, folder: Path) -> None:
    (folder / "sprint-status.yaml").unlink()
    html = text_of(operating, "/drift/")
    assert "there is nothing to repair" in html
    assert "fingerprint" not in html


@pytest.mark.parametrize("path", ["/stories/1.1/", "/drift/"])
def test_who_is_not_signed_in_is_led_to_the_sign_in_page(client: Client, path: str) -> None:
    assert client.get(path)["Location"] == f"/sign-in/?next={path}"
    assert client.post("/drift/")["Location"] == "/sign-in/?next=/drift/"
