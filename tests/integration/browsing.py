"""What the tests of the pages share: one real browser, tabs that complain of every fault, and how to enter."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Copy

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect, Page, Route = playwright.expect, playwright.Page, playwright.Route

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

marks = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: `apt-get install chromium`"),
]

WRITING_MS = 40_000
"""How long a text may take on two busy cores."""
LOADING_MS = 15_000

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests of this file."""
    with playwright.sync_playwright() as manager:
        browser = manager.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any, server: Copy) -> Iterator[Callable[..., Any]]:
    """Makes a tab of its own session. At the end: it has logged no error and asked nobody but the server.

    A test that provokes failures takes them out of `tab.faults`.
    """
    contexts = []
    faults: list[str] = []

    def make(**options: Any) -> Any:
        context = browser.new_context(**({"locale": "en-GB"} | DESKTOP | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LOADING_MS)
        page.on("console", lambda line: faults.append(line.text) if line.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda sent: None if sent.url.startswith(server.url) else faults.append(sent.url))
        return page

    make.faults = faults  # type: ignore[attr-defined]
    yield make
    for context in contexts:
        context.close()
    assert faults == []


def stranger() -> str:
    return f"page-{uuid.uuid4().hex}"


@pytest.fixture
def regular(api: httpx.Client) -> str:
    """Somebody with a taste, of this test only: the demo's own people stay as they are."""
    person = stranger()
    liked = ("50", "172", "181", "174", "56", "183")  # Star Wars and its kin, Pulp Fiction, Alien
    events = [{"user_id": person, "item_id": item, "type": "like"} for item in liked]
    assert api.post("/v1/events", json={"events": events}).json()["accepted"] == len(events)
    return person


def enter(page: Any, server: Copy, person: str) -> None:
    """Open the page with the key, as this person, and wait for the lists."""
    page.goto(f"{server.url}/#key={server.key}&person={person}")
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible(timeout=LOADING_MS)
    expect(page.locator("#popular .card[data-id]").first).to_be_visible(timeout=LOADING_MS)


def shown(page: Any, rail: str = "for-you") -> list[str]:
    """The ids on a rail, in order."""
    return [card.get_attribute("data-id") for card in page.locator(f"#{rail} .card[data-id]").all()]


def changes(page: Any, before: list[str]) -> None:
    """Wait until the first card of the first rail is another."""
    expect(page.locator("#for-you .card").first).not_to_have_attribute("data-id", before[0], timeout=LOADING_MS)


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical, with the place."""
    from axe_playwright_python.sync_playwright import Axe

    expect(page.locator("[aria-busy]")).to_have_count(0, timeout=WRITING_MS)
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]
