"""What a reviewer does: read the diff, decide by keyboard, and take the branch over."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Served
from tests.e2e.test_in_the_browser import LONG_MS, keep, sign_in

pytestmark = pytest.mark.browser


def press(page: Page, name: str) -> None:
    """Press a button without a mouse."""
    button = page.get_by_role("button", name=name)
    button.focus()
    page.keyboard.press("Enter")


def test_a_story_is_reviewed_by_keyboard_and_the_branch_is_merged(page: Page, served: Served) -> None:
    execution = json.loads(served.manage("swarm", "execute", "1.1", "2.3", "--json"))
    subprocess.run(["git", "branch", "release"], cwd=served.workspace, check=True)
    sign_in(page, served)
    page.goto(f"{served.url}/executions/{execution['id']}/")
    page.get_by_role("link", name=re.compile("Weigh in ounces")).click()
    expect(page.get_by_text("Nobody has reviewed this commit yet.")).to_be_visible()
    keep(page, "review-open")

    press(page, "Approve")
    expect(page.get_by_text("by ada, just now")).to_be_visible()
    keep(page, "review-approved")

    press(page, "Reject…")
    expect(page.get_by_label("What is wrong")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("What is wrong")).to_be_hidden()
    press(page, "Reject…")
    keep(page, "review-dialog")
    page.keyboard.type("Weigh in stones too.")
    press(page, "Reject and work on it again")
    expect(page.get_by_text("Rejected: a developer works on it again")).to_be_visible()
    expect(page.get_by_text("Weigh in stones too.").first).to_be_visible()
    keep(page, "review-rejected")
    expect(page.get_by_text("Nobody has reviewed this commit yet.")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text(re.compile("attempt [2-9] of"))).to_be_visible()

    press(page, "Revert…")
    press(page, "Revert the story")
    expect(page.get_by_text("Nothing of it is on the branch.")).to_be_visible()
    keep(page, "review-reverted")

    page.goto(f"{served.url}/executions/{execution['id']}/branch/")
    keep(page, "branch")
    page.get_by_label("Branch", exact=True).select_option("release")
    press(page, "Merge")
    expect(page.get_by_text("release is now where the execution's branch is")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="all commits as patches").click()
    assert download.value.suggested_filename == f"swarm-{execution['id'][:8]}.mbox"
    names = subprocess.run(
        ["git", "diff", "--name-only", "main", "release"],
        cwd=served.workspace,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "larder/units.py" not in names  # what was reverted
    assert any("2-3" in name for name in names)
    page.goto(f"{served.url}/executions/{execution['id']}/")
    keep(page, "execution-reviewed")
