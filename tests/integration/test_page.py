"""The page in a real browser, on the running demo: the whole story, errors, empty states, keyboard, accessibility."""

from __future__ import annotations

import json
import re
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

pytestmark = [
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
