"""What a team member does: sign in, start an execution, watch it move, read the verdict."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PASSWORD, USER, Served

pytestmark = pytest.mark.browser

LONG_MS = 60_000


def sign_in(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.get_by_label("User name").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Executions", exact=True)).to_be_visible()


def keep(page: Page, name: str) -> None:
    """Save a screenshot where SWARM_SCREENSHOTS says, for people to look at."""
    if folder := os.environ.get("SWARM_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_started_execution_moves_live_to_its_verdict(page: Page, served: Served) -> None:
    sign_in(page, served)
    keep(page, "first-run")
    page.get_by_role("link", name="New execution").first.click()
    keep(page, "new-execution")
    page.get_by_role("button", name="Start the execution").click()

    cards = page.locator("li.node")
    expect(cards).to_have_count(10)
    page.evaluate("window.sameDocument = true")
    expect(page.locator('li.node[data-status="running"]').first).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("Waiting for", exact=False).first).to_be_visible(timeout=LONG_MS)
    keep(page, "running")

    expect(page.locator('li.node[data-status="completed"]')).to_have_count(10, timeout=LONG_MS)
    expect(page.get_by_text(re.compile(r"(Yes|No): all stories together took"))).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert page.evaluate("window.sameDocument") is True, "the page was never loaded anew"
    keep(page, "completed")

    page.goto(f"{served.url}/executions/")
    expect(page.get_by_text("10 of 10 done")).to_be_visible()
    keep(page, "executions")


def test_a_cancel_in_the_browser_stops_every_node(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.goto(f"{served.url}/executions/new/")
    page.get_by_role("button", name="Start the execution").click()
    expect(page.locator('li.node[data-status="running"]').first).to_be_visible(timeout=LONG_MS)

    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the execution").click()

    expect(page.locator('li.node[data-status="running"]')).to_have_count(0, timeout=LONG_MS)
    expect(page.locator('li.node[data-status="cancelled"]').first).to_be_visible()
    keep(page, "cancelled")
