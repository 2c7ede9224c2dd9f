"""The page when something fails: what it says, and that it can be tried again. Also empty and hostile data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.browsing import (
    WRITING_MS,
    browser,
    enter,
    expect,
    marks,
    regular,
    shown,
    stranger,
    tab,
)
from tests.integration.conftest import Copy

pytestmark = marks
__all__ = ["browser", "regular", "tab"]


def test_a_list_that_fails_says_so_and_can_be_tried_again(tab: Any, server: Copy) -> None:
    page = tab()
    page.route("**/v1/popular*", lambda route: route.abort())
    page.goto(f"{server.url}/#key={server.key}&person=42")
    message = page.locator("#popular .rail-message")
    expect(message).to_contain_text("The server does not answer.")
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible()
    page.unroute("**/v1/popular*")
    message.get_by_role("button", name="Try again").click()
    expect(page.locator("#popular .card[data-id]").first).to_be_visible()
    expect(message).to_be_hidden()
    tab.faults.clear()


def test_a_busy_server_is_asked_again(tab: Any, server: Copy) -> None:
    page = tab()
    asked = []

    def busy_once(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"status": 429, "detail": "busy"})
        else:
            route.continue_()

    page.route("**/v1/popular*", busy_once)
    enter(page, server, "42")
    assert len(asked) == 2
    tab.faults.clear()


def test_an_event_that_is_not_stored_changes_nothing(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server, stranger())
    before = shown(page)
    problem = {"status": 500, "title": "Internal error", "detail": "Something went wrong on our side."}
    page.route("**/v1/events", lambda route: route.fulfill(status=500, json=problem))
    like = page.locator("#for-you .act-like").first
    like.click()
    expect(page.get_by_role("alert").filter(has_text="could not be stored")).to_be_visible()
    expect(like).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#trail-empty")).to_be_visible()
    assert shown(page) == before
    tab.faults.clear()


@pytest.mark.parametrize("cut", ["an error frame", "an end without a last frame", "a refusal"])
def test_a_text_that_breaks_off_can_be_asked_for_again(tab: Any, server: Copy, cut: str) -> None:
    page = tab()
    enter(page, server, stranger())
    problem = {"status": 503, "title": "Unavailable", "detail": "the writer is gone"}
    frames = 'event: start\ndata: {}\n\nevent: text\ndata: {"text": "Half a "}\n\n'
    if cut == "an error frame":
        frames += f"event: error\ndata: {json.dumps(problem)}\n\n"

    def broken(route: Any) -> None:
        if cut == "a refusal":
            route.fulfill(status=500, json=problem | {"status": 500})
        else:
            route.fulfill(status=200, content_type="text/event-stream", body=frames)

    page.route("**/v1/content", broken)
    page.locator("#popular .card-open").first.click()
    fault = page.locator("#item-dialog .pitch-foot [role=alert]")
    expect(fault).to_contain_text("The text could not be written.")
    expect(page.locator("#item-dialog .badge")).to_have_count(0)
    page.unroute("**/v1/content")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#item-dialog .badge")).to_be_visible(timeout=WRITING_MS)
    assert "Half a" not in page.locator(".pitch-text").inner_text()
    tab.faults.clear()


def test_an_empty_list_and_hostile_titles(tab: Any, server: Copy) -> None:
    page = tab()
    answer: dict[str, Any] = {"recommendation_id": "r", "model_version": "v", "degraded": True, "items": []}
    page.route("**/v1/popular*", lambda route: route.fulfill(json=answer))
    hostile = '<img src=x onerror="document.title=1">'
    entry = {"item_id": "\"'<b>/ ", "score": 0, "source": "new_source", "reasons": [], "item": {"title": hostile}}
    page.route("**/v1/recommendations", lambda route: route.fulfill(json=answer | {"items": [entry]}))
    page.goto(f"{server.url}/#key={server.key}&person=42")
    expect(page.locator("#popular .rail-message")).to_have_text("Nothing to show here.")
    expect(page.locator("#for-you h3")).to_have_text(hostile)
    expect(page.locator("#for-you .card-why")).to_have_text("Source: new_source")
    expect(page.locator("#for-you .rail-note")).to_contain_text("Made without your session")
    assert page.title() == "Tailorbird"


def test_frames_are_put_together_however_they_are_cut(tab: Any, server: Copy) -> None:
    page = tab()
    page.goto(f"{server.url}/#key={server.key}&person=42")
    wire = (
        ': a comment\r\n\r\nevent: text\r\ndata: {"text": "né 读"}\r\n\r\n'
        "data: two\ndata:lines\n\nevent: nothing\n\nid: 7\rdata: [DONE]\r\rdata: without its empty line"
    )
    for size in (1, 2, 3, 7, 1000):
        found = page.evaluate(
            """async ([wire, size]) => {
              const { frames } = await import("/static/js/sse.js");
              const bytes = new TextEncoder().encode(wire);
              let at = 0;
              const stream = new ReadableStream({ pull(controller) {
                if (at >= bytes.length) controller.close();
                else controller.enqueue(bytes.slice(at, at += size));
              } });
              const all = [];
              for await (const frame of frames(stream)) all.push([frame.event, frame.data]);
              return all;
            }""",
            [wire, size],
        )
        assert found == [["text", '{"text": "né 读"}'], ["message", "two\nlines"], ["message", "[DONE]"]], size
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible()
