"""A team member holds a file, sees the developers wait for it, lets it go, and finds the waits in the conflict log."""

from __future__ import annotations

import re

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.conftest import USER, Served
from tests.e2e.test_in_the_browser import LONG_MS, keep, sign_in

pytestmark = pytest.mark.browser

PATH = "larder/units.py"


def test_developers_wait_for_a_person_and_the_log_tells_of_it(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.get_by_role("link", name="Files", exact=True).click()
    page.get_by_label("File", exact=True).fill(PATH)
    page.get_by_label("Reason").fill("by hand")
    page.get_by_role("button", name="Hold the file").click()
    expect(page.get_by_text(f"You hold {PATH} until")).to_be_visible()
    page.evaluate("window.sameDocument = true")

    started = requests.post(
        f"{served.url}/api/swarm/execute",
        json={"stories": ["1.1", "1.2", "1.3", "2.2", "2.3", "3.2"]},
        headers={"Authorization": f"Bearer {served.manage('api_token', USER).strip()}"},
        timeout=30,
    )
    assert started.status_code == 202
    row = page.locator("#locks tr", has_text=PATH)
    expect(row.locator("ol.line li").first).to_be_visible(timeout=LONG_MS)
    expect(row.get_by_text("left")).to_be_visible()
    assert page.evaluate("window.sameDocument") is True, "the page was never loaded anew"
    keep(page, "locks")

    page.goto(f"{served.url}/conflicts/?path={PATH}")
    expect(page.locator("[id^=conflict-]", has_text="Waiting").first).to_be_visible()
    page.evaluate("window.sameDocument = true")
    headers = {"Authorization": f"Bearer {served.manage('api_token', USER).strip()}"}
    requests.post(f"{served.url}/api/files/unlock", json={"path": PATH}, headers=headers, timeout=30)
    expect(page.locator("[id^=conflict-]", has_text="Granted").first).to_be_visible(timeout=LONG_MS)
    assert page.evaluate("window.sameDocument") is True, "the page was never loaded anew"

    page.goto(started.headers["Location"].replace("/api/swarm/status/", f"{served.url}/executions/"))
    expect(page.get_by_text(re.compile(r"(Yes|No): all stories together took"))).to_be_visible(timeout=LONG_MS)
    page.goto(f"{served.url}/conflicts/")
    expect(page.locator(".lock-map .hold[data-hue]").first).to_be_visible()
    page.get_by_label("Outcome").select_option("granted")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("outcome=granted"))
    page.get_by_role("link", name="Show the same as a table").click()
    expect(page.get_by_role("cell", name="held it").first).to_be_visible()
    keep(page, "conflicts")
