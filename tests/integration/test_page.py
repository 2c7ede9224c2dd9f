"""The page in a real browser, on the running demo: the whole story, keyboard, languages, accessibility."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.integration.browsing import (
    DESKTOP,
    LOADING_MS,
    PHONE,
    WRITING_MS,
    browser,
    changes,
    enter,
    expect,
    marks,
    regular,
    serious,
    shown,
    stranger,
    tab,
)
from tests.integration.conftest import Copy

pytestmark = marks
__all__ = ["browser", "regular", "tab"]


def test_the_key_is_asked_for_once_and_leaves_no_trace_in_the_address(tab: Any, server: Copy) -> None:
    page = tab()
    page.goto(server.url)
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    for wrong in ("not the key", "ключ"):
        page.get_by_label("Key", exact=True).fill(wrong)
        page.get_by_role("button", name="Open the page").click()
        expect(page.locator("#key-error")).to_have_text("The server does not accept this key.")
    page.get_by_label("Key", exact=True).fill(server.key)
    page.get_by_role("button", name="Open the page").click()
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible(timeout=LOADING_MS)
    page.reload()
    expect(page.locator("#for-you .card[data-id]").first).to_be_visible(timeout=LOADING_MS)
    expect(page.locator("#key-dialog")).to_be_hidden()
    assert server.key not in page.content()
    assert [fault for fault in tab.faults if "401" not in fault] == []
    tab.faults.clear()

    page = tab()
    enter(page, server, "42")
    assert page.url == f"{server.url}/"
    assert page.evaluate("localStorage.length") == 0


def test_a_newcomer_sees_lists_and_likes_change_them_at_once(tab: Any, server: Copy, api: httpx.Client) -> None:
    page, person = tab(), stranger()
    enter(page, server, person)
    expect(page.locator("#because")).to_be_hidden()
    first = page.locator("#for-you .card").first
    assert first.locator(".card-why").inner_text().strip()
    assert page.locator("#for-you .card-year").first.inner_text().isdigit()
    before = shown(page)
    title = first.locator("h3").inner_text()
    first.get_by_role("button", name=f"Like {title}", exact=True).click()
    changes(page, before)
    assert before[0] not in shown(page)
    expect(page.locator("#trail .step-like")).to_contain_text(title)
    expect(page.get_by_role("heading", name=f"Because you liked {title}")).to_be_visible()
    expect(page.locator("#because .card[data-id]").first).to_be_visible()
    expect(page.locator("#announcer")).not_to_be_empty()

    middle = shown(page)
    page.locator("#for-you .card").first.locator(".act-dislike").click()
    changes(page, middle)
    expect(page.locator("#trail .step-dislike")).to_have_count(1)

    # The server knows what the page shows.
    body = {"user_id": person, "n": 18, "explain": False}
    answer = api.post("/v1/recommendations", json=body).json()
    assert [entry["item_id"] for entry in answer["items"]] == shown(page)

    page.reload()
    expect(page.locator("#trail .step-like")).to_contain_text(title)


def test_a_pitch_is_written_live_and_the_bars_add_up(tab: Any, server: Copy, regular: str) -> None:
    page = tab()
    enter(page, server, regular)
    title = page.locator("#for-you .card h3").first.inner_text()
    with page.expect_request("**/v1/events") as sent:
        page.locator("#for-you .card-open").first.click()
    (event,) = sent.value.post_data_json["events"]
    assert event["type"] == "click" and event["recommendation_id"]
    dialog = page.get_by_role("dialog", name=title)
    expect(dialog.locator(".pitch-foot .badge")).to_have_text(
        re.compile("generated|cached|template"), timeout=WRITING_MS
    )
    assert len(dialog.locator(".pitch-text").inner_text()) > 20
    expect(dialog.locator(".pitch-text")).not_to_have_class(re.compile("is-writing"))

    parts = [float(row.get_attribute("data-weight")) for row in dialog.locator(".why tbody tr").all()]
    score = float(dialog.locator(".why tfoot tr").get_attribute("data-weight"))
    assert parts and sum(parts) == pytest.approx(score, rel=0.01, abs=1e-3)
    last = dialog.locator(".why tbody .bar").last.bounding_box()
    total = dialog.locator(".why tfoot .bar").bounding_box()
    ends = {last["x"], last["x"] + last["width"]}
    assert min(abs(end - (total["x"] + total["width"])) for end in ends) < 3

    dialog.get_by_role("button", name="Like", exact=True).click()
    expect(dialog.get_by_role("button", name="Liked")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#trail .step-like")).to_contain_text(title)


def test_a_pitch_that_is_left_is_no_longer_listened_to(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server, stranger())
    with page.expect_request("**/v1/content") as sent:
        page.locator("#popular .card-open").nth(4).click()
    page.keyboard.press("Escape")
    expect(page.locator("#item-dialog")).to_be_hidden()
    page.locator("#popular .card-open").nth(5).click()
    expect(page.locator("#item-dialog .badge")).to_be_visible(timeout=WRITING_MS)
    assert sent.value.failure in {"net::ERR_ABORTED", None}


def test_chat_streams_an_answer_with_cards(tab: Any, server: Copy, regular: str) -> None:
    page = tab()
    enter(page, server, regular)
    page.get_by_label("Your message").fill("A comedy, please")
    page.get_by_label("Your message").press("Enter")
    answer = page.locator(".turn-it")
    expect(answer.locator(".mini").first).to_be_visible()
    expect(answer.locator(".badge")).to_be_visible(timeout=WRITING_MS)
    assert len(answer.locator(".turn-text").inner_text()) > 10
    for row in answer.locator(".mini").all():
        assert not row.locator(".mini-title").inner_text().startswith("Item ")
    title = answer.locator(".mini-title").first.inner_text()
    answer.locator(".mini button").first.click()
    expect(page.get_by_role("dialog", name=title)).to_be_visible()
    page.keyboard.press("Escape")

    page.get_by_label("Your message").fill("Another one")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.get_by_role("button", name="Send").click()
    roles = [message["role"] for message in sent.value.post_data_json["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert sent.value.post_data_json["user"] == regular
    expect(page.locator(".turn-it").nth(1).locator(".badge")).to_be_visible(timeout=WRITING_MS)


def test_sliders_change_the_list(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server, "42")
    before = shown(page)
    with page.expect_request("**/v1/recommendations") as sent:
        page.get_by_label("Diversity").fill("1")
    assert sent.value.post_data_json["diversity"] == 1
    expect(page.locator("#diversity-value")).to_have_text("1.00")
    expect(page.locator("#for-you .mark").first).to_be_attached()
    assert shown(page) != before
    with page.expect_request("**/v1/recommendations") as sent:
        page.get_by_label("Exploration").press("ArrowRight")
    assert sent.value.post_data_json["explore"] == 0.05


def test_persons_can_be_chosen(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server, "42")
    of_42 = shown(page)
    page.get_by_role("button", name="Change person").click()
    page.get_by_label("Person's id").fill("读者/7 é")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#person-name")).to_have_text("读者/7 é")
    changes(page, of_42)
    page.get_by_role("button", name="Change person").click()
    page.get_by_role("button", name="Be a new person").click()
    expect(page.locator("#person-name")).to_have_text("a new person")
    expect(page.locator("#because")).to_be_hidden()
    expect(page.locator("#trail-empty")).to_be_visible()


def test_the_foot_says_what_runs(tab: Any, server: Copy, api: httpx.Client) -> None:
    page = tab()
    enter(page, server, "42")
    state = api.get("/v1/models").json()["tailorbird"]
    foot = page.get_by_role("contentinfo")
    expect(foot.locator(".health")).to_have_text("Ready")
    for name in ("model_version", "engine", "quantization"):
        expect(foot).to_contain_text(state[name])


def test_the_keyboard_reaches_everything(tab: Any, server: Copy) -> None:
    page = tab()
    enter(page, server, stranger())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the lists")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    opener = page.locator("#popular .card-open").first
    for _ in range(120):
        if opener.evaluate("(element) => element === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#item-title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()

    # Liking the first card by keyboard takes it away: the focus goes to the one in its place, not to the top.
    before = shown(page)
    page.locator("#for-you .act-like").first.press("Enter")
    changes(page, before)
    expect(page.locator("#for-you .act-like").first).to_be_focused()


def test_chinese(tab: Any, server: Copy) -> None:
    page = tab(locale="zh-CN")
    enter(page, server, "42")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("heading", name="为您推荐")).to_be_visible()
    page.get_by_role("button", name="English – 切换到英文").click()
    expect(page.get_by_role("heading", name="For you")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="For you")).to_be_visible()
    lacking = page.evaluate(
        """async () => {
          const [en, zh] = await Promise.all(["en", "zh"].map((name) => import(`/static/text/${name}.js`)));
          const places = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort().join();
          const names = new Set([...Object.keys(en.default), ...Object.keys(zh.default)]);
          return [...names].filter((name) => places(en.default[name] ?? "-") !== places(zh.default[name] ?? "="));
        }"""
    )
    assert lacking == []


@pytest.mark.parametrize(
    "options", [DESKTOP, DESKTOP | {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"]
)
def test_axe_finds_nothing_serious(tab: Any, server: Copy, regular: str, options: dict[str, Any]) -> None:
    still = options | {"reduced_motion": "reduce"}  # contrast is not to be measured in the middle of a fade
    page = tab(**still)
    page.goto(server.url)
    expect(page.locator("#key-dialog")).to_be_visible()
    assert serious(page) == []
    page = tab(**still)
    enter(page, server, regular)
    page.locator("#for-you .act-like").nth(1).click()
    expect(page.locator("#trail .step-like")).to_be_visible()
    assert serious(page) == []
    page.locator("#for-you .card-open").first.click()
    expect(page.locator("#item-dialog .badge")).to_be_visible(timeout=WRITING_MS)
    assert serious(page) == []
    page.keyboard.press("Escape")
    if options is PHONE:
        page.get_by_role("button", name="Chat", exact=True).click()
    page.locator(".idea").first.click()
    expect(page.locator(".turn-it .badge")).to_be_visible(timeout=WRITING_MS)
    assert serious(page) == []


def test_a_phone_shows_all_without_scrolling_sideways(tab: Any, server: Copy, regular: str) -> None:
    page = tab(**PHONE)
    enter(page, server, regular)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator("#chat")).to_be_hidden()
    page.get_by_role("button", name="Chat", exact=True).click()
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#chat")).to_be_hidden()
    expect(page.get_by_role("button", name="Chat", exact=True)).to_be_focused()
    page.locator("#for-you .card-open").first.click()
    expect(page.locator("#item-dialog .badge")).to_be_visible(timeout=WRITING_MS)
    assert page.evaluate("document.querySelector('#item-dialog').scrollWidth") <= 390
