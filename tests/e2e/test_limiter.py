"""The page of the model keeps itself fresh, and the nodes of a served app call its own /api/chat."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.conftest import USER, Served
from tests.e2e.test_in_the_browser import LONG_MS, keep, sign_in

pytestmark = pytest.mark.browser


def test_the_page_of_the_model_shows_the_calls_of_a_run_without_being_loaded_anew(page: Page, served: Served) -> None:
    sign_in(page, served)
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.get_by_text("No calls yet")).to_be_visible()
    page.evaluate("window.sameDocument = true")

    started = requests.post(
        f"{served.url}/api/swarm/execute",
        json={"stories": ["1.1", "1.2", "2.3"]},
        headers={"Authorization": f"Bearer {served.manage('api_token', USER).strip()}"},
        timeout=30,
    )
    assert started.status_code == 202

    expect(page.get_by_role("heading", name="simulated-developer")).to_be_visible(timeout=LONG_MS)
    expect(page.locator('rect[data-series="answered"]').first).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("Idle. The next call goes at once.")).to_be_visible(timeout=LONG_MS)
    assert page.evaluate("window.sameDocument") is True, "the page was never loaded anew"
    keep(page, "model")
