"""The page of the API in a real browser: nothing from elsewhere, nothing that its policy forbids, and it works."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.browsing import DESKTOP, LOADING_MS, PHONE, browser, expect, marks, serious, tab
from tests.integration.conftest import Copy

pytestmark = marks
__all__ = ["browser", "tab"]

LIST = "#operations-recommendations-popular"
EVENTS = "#operations-events-post_events"


def enter(page: Any, server: Copy) -> None:
    page.goto(f"{server.url}/docs#key={server.key}")
    expect(page.locator(LIST)).to_be_visible(timeout=LOADING_MS)


def status_of(page: Any, operation: str) -> Any:
    """Try an operation out as it stands there; the place of the answer's status."""
    page.locator(f"{operation} .opblock-summary-control").click()
    page.locator(f"{operation} .try-out__btn").click()
    page.locator(f"{operation} .execute").click()
    return page.locator(f"{operation} .live-responses-table .response-col_status").last


def test_the_api_can_be_read_and_tried_out(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server)
    assert server.key not in page.url
    expect(status_of(page, LIST)).to_contain_text("200", timeout=LOADING_MS)
    # What changes something takes the session's token against forged requests.
    expect(status_of(page, EVENTS)).to_contain_text("202", timeout=LOADING_MS)


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(tab: Any, server: Copy, options: dict[str, Any]) -> None:
    page = tab(**options)
    enter(page, server)
    assert serious(page) == []


def test_without_a_key_it_asks_for_one(tab: Any, server: Copy) -> None:
    page = tab(**PHONE)
    page.goto(f"{server.url}/docs")
    expect(page.locator("#key-dialog")).to_be_visible(timeout=LOADING_MS)
    page.fill("#key-input", server.key)
    page.click("#key-form button")
    expect(page.locator(LIST)).to_be_visible(timeout=LOADING_MS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
