"""The operator's page in a real browser, on the running demo."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.browsing import (
    LOADING_MS,
    PHONE,
    browser,
    expect,
    marks,
    serious,
    stranger,
    tab,
)
from tests.integration.conftest import Copy

pytestmark = marks
__all__ = ["browser", "tab"]

POLL_MS = 5_000
REPORTED_MS = 4 * POLL_MS
"""Ray's agent is told of a process's metrics every ten seconds, and the page asks every five."""


def tile(page: Any, name: str) -> Any:
    return page.locator(f"[data-tile={name}] dd")


def enter(page: Any, server: Copy) -> None:
    """Open the page with the key and wait for its figures."""
    page.goto(f"{server.url}/ops#key={server.key}")
    expect(tile(page, "version")).to_be_visible(timeout=LOADING_MS)


@pytest.fixture
def outcome(api: httpx.Client) -> dict[str, Any]:
    """Somebody was shown five items, and looked at the first after reading its pitch."""
    person = stranger()
    answer: dict[str, Any] = api.post("/v1/recommendations", json={"user_id": person, "n": 5}).json()
    common = {"user_id": person, "recommendation_id": answer["recommendation_id"]}
    shown = [common | {"type": "impression", "item_id": entry["item_id"]} for entry in answer["items"]]
    first = common | {"item_id": answer["items"][0]["item_id"], "context": {"content_kind": "pitch"}}
    events = [*shown, first | {"type": "click"}, first | {"type": "dwell", "value": 12.5}]
    assert api.post("/v1/events", json={"events": events}).json()["accepted"] == len(events)
    return answer


def test_an_operator_sees_how_it_stands(tab: Any, server: Copy, api: httpx.Client, outcome: dict[str, Any]) -> None:
    api.post("/v1/content", json={"kind": "pitch", "item_id": "50"}).raise_for_status()
    page = tab()
    enter(page, server)
    version = api.get("/v1/models").json()["tailorbird"]["model_version"]
    expect(tile(page, "version")).to_have_text(version)
    expect(tile(page, "items")).to_have_text(f"{api.get('/v1/ops').json()['items']:,}")
    expect(page.locator("#versions .live th")).to_contain_text(version)
    expect(page.locator("#versions thead").first).to_contain_text("ndcg@10")
    for name in ("Ingress", "Writer"):
        row = page.locator("#processes tbody tr", has_text=name)
        expect(row).to_contain_text("healthy")
        expect(row).to_contain_text("1 running")
    expect(page.locator("#processes tbody").last.locator("tr")).to_have_count(1)  # SQLite: one shard
    expect(page.locator("#requests tbody tr", has_text="/v1/recommendations")).to_contain_text(
        "200:", timeout=REPORTED_MS
    )
    expect(page.locator("#writing tbody tr", has_text="pitch").first).to_contain_text("s", timeout=REPORTED_MS)
    expect(page.locator("#outcomes tbody tr", has_text=version).first).to_contain_text("%")
    expect(page.locator("#outcomes tbody tr", has_text="pitch").first).to_contain_text("s")


def test_rates_follow_the_load(tab: Any, server: Copy, api: httpx.Client) -> None:
    page = tab()
    enter(page, server)
    expect(page.locator("#rate-plot svg")).to_be_visible(timeout=REPORTED_MS)
    for _ in range(40):
        api.get("/v1/popular?n=1").raise_for_status()
    row = page.locator("#requests tbody tr", has_text="/v1/popular").locator("td").first
    expect(row).not_to_have_text("0.0", timeout=REPORTED_MS)
    assert float(tile(page, "rate").inner_text().replace(",", "")) > 0


def test_the_map_names_items(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server)
    dots = page.locator("#map circle")
    expect(dots.first).to_be_visible(timeout=LOADING_MS)
    assert dots.count() > 500
    page.get_by_label("Find", exact=True).fill("star wars")
    expect(page.locator("#map-said")).to_contain_text("Star Wars")
    found = page.locator("#map circle.found")
    assert found.count() >= 1
    page.get_by_label("Find", exact=True).fill("no film is called so")
    expect(page.locator("#map-said")).to_have_text("No item on the map is called so.")
    page.get_by_label("Find", exact=True).fill("star wars")
    found.first.scroll_into_view_if_needed()
    box = found.first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#map-said")).to_contain_text("·")  # title and category
    expect(page.locator("#map circle.here")).to_have_count(1)


def test_figures_that_cannot_be_had_are_said_to_be_missing(tab: Any, server: Copy) -> None:
    page = tab()
    page.route("**/v1/ops/map*", lambda route: route.fulfill(status=404, json={"status": 404, "title": "Not Found"}))
    page.route("**/v1/ops/outcomes*", lambda route: route.fulfill(status=500, json={"status": 500, "title": "No"}))
    enter(page, server)
    expect(page.locator("#map-said")).to_have_text("There is no map before the first version of the model.")
    expect(page.locator("#outcomes")).to_have_text("Something went wrong on the server.")
    page.route("**/v1/ops", lambda route: route.fulfill(status=500, json={"status": 500, "title": "No"}))
    expect(page.locator("#fault")).to_have_text("Something went wrong on the server.", timeout=3 * POLL_MS)
    expect(tile(page, "version")).to_be_visible()  # what was known stays
    page.unroute("**/v1/ops")
    expect(page.locator("#fault")).to_be_hidden(timeout=3 * POLL_MS)
    assert all("404" in fault or "500" in fault for fault in tab.faults)
    tab.faults.clear()


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"locale": "zh-CN"}, PHONE], ids=str)
def test_axe_finds_nothing_serious(tab: Any, server: Copy, outcome: dict[str, Any], options: dict[str, Any]) -> None:
    page = tab(**options)
    enter(page, server)
    expect(page.locator("#outcomes table").first).to_be_visible(timeout=LOADING_MS)
    expect(page.locator("#map circle").first).to_be_visible(timeout=LOADING_MS)
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_way_there_and_back(tab: Any, server: Copy) -> None:
    page = tab()
    page.goto(f"{server.url}/#key={server.key}&person={stranger()}")
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible(timeout=LOADING_MS)
    page.get_by_role("link", name="Operations").click()
    expect(tile(page, "version")).to_be_visible(timeout=LOADING_MS)  # no key is asked for again
    page.get_by_role("link", name="Recommendations").click()
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible(timeout=LOADING_MS)
