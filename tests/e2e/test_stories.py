"""Story files that change under a real server, as a browser and a script see it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served
from tests.e2e.test_in_the_browser import keep, sign_in

pytestmark = pytest.mark.browser


def test_the_stories_move_live_and_drift_is_repaired_by_one_action(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.get_by_role("link", name="Stories").click()
    expect(page.get_by_text("Files and board disagree.")).not_to_be_visible()
    folder = served.workspace / "_bmad-output" / "implementation-artifacts"
    (story,) = folder.glob("1-1-*.md")

    story.write_text(story.read_text().replace("Status: ready-for-dev", "Status: review"))
    expect(page.get_by_text("1.1: the file says review, the board ready-for-dev")).to_be_visible()
    (folder / "9-1-new.md").write_text("# Story 9.1: Bake <b>bread</b>\n\nStatus: draft\n")
    expect(page.get_by_role("link", name="9.1 · Bake <b>bread</b>")).to_be_visible()
    keep(page, "stories")

    page.get_by_role("link", name="Look at what a repair would write").click()
    expect(page.get_by_text("Ready for dev → Review")).to_be_visible()
    keep(page, "drift")
    page.get_by_role("button", name="Write this file").click()
    expect(page.get_by_text("Repaired:")).to_be_visible()
    assert f"{story.stem}: review" in (folder / "sprint-status.yaml").read_text()

    page.get_by_role("link", name="9.1 · Bake <b>bread</b>").click()
    keep(page, "story")
    (folder / "9-1-new.md").unlink()
    expect(page.get_by_text("There is no story 9.1")).to_be_visible()
