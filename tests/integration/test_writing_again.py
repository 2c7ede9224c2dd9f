"""Over HTTP on the whole copy: a text is written once and served again while it is true; a chat refers to itself."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration

ITEM = f"written-again/{uuid.uuid4().hex}"
LIKED = "50"
SEEN_S = 0.6
"""Until every replica knows of a change of the catalogue."""


@pytest.fixture(scope="module")
def item(server: Copy) -> str:
    """A film of our own, so that nothing is written about it yet, and two people who like the same."""
    with server.client() as api:
        put_title(api, "Parrots of Dawn")
        for user in ("again-a", "again-b"):
            like(api, user, LIKED)
        like(api, "again-c", "172")
    return ITEM


def put_title(api: httpx.Client, title: str) -> None:
    item = {"title": title, "categories": ["Comedy"]}
    api.put(f"/v1/items/{quote(ITEM, safe='/')}", json=item).raise_for_status()
    time.sleep(SEEN_S)


def like(api: httpx.Client, user: str, item_id: str) -> None:
    api.post("/v1/events", json={"user_id": user, "item_id": item_id, "type": "like"}).raise_for_status()


def pitch(api: httpx.Client, user: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/v1/content", json={"kind": "pitch", "user_id": user, "item_id": ITEM, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def generated(api: httpx.Client, user: str, **more: Any) -> dict[str, Any]:
    """A text by the model; on a busy machine the template may speak first."""
    found = {}
    for _ in range(4):
        found = pitch(api, user, **more)
        if found["source"] != "template":
            break
    return found


def test_people_with_the_same_taste_share_a_text_and_others_do_not(api: httpx.Client, item: str) -> None:
    first = generated(api, "again-a")
    second = pitch(api, "again-b")
    assert (first["source"], second["source"]) == ("generated", "cached")
    assert first["text"] == second["text"] and second["facts"]["liked"] == first["facts"]["liked"]
    other = pitch(api, "again-c")
    assert other["source"] != "cached" and "Star Wars" not in other["text"]
    assert pitch(api, "again-b", seed=3)["source"] != "cached"


def test_a_cached_text_streams_as_any_other(api: httpx.Client, item: str) -> None:
    generated(api, "again-a")
    body = {"kind": "pitch", "user_id": "again-a", "item_id": ITEM, "stream": True}
    lines = api.post("/v1/content", json=body).text.splitlines()
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    frames = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert names == ["start", "text", "done"] and frames[-1]["source"] == "cached"
    assert frames[-1]["text"] == frames[1]["text"]


def test_a_changed_item_is_written_about_anew(api: httpx.Client, item: str) -> None:
    generated(api, "again-a")
    put_title(api, "Parrots of Dusk")
    fresh = pitch(api, "again-a")
    assert fresh["source"] != "cached" and "Parrots of Dusk" in fresh["text"]


def test_who_asks_at_the_same_time_gets_one_text(api: httpx.Client, item: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: pitch(api, "again-a", tone="playful"), range(6)))
    if all(one["source"] != "template" for one in found):
        assert sum(one["source"] == "generated" for one in found) == 1
        assert len({one["text"] for one in found}) == 1


def ask(api: httpx.Client, dialogue: list[dict[str, str]], text: str) -> dict[str, Any]:
    """One more turn; the answer's field `tailorbird`."""
    dialogue.append({"role": "user", "content": text})
    answer = api.post("/v1/chat/completions", json={"user": "42", "messages": dialogue})
    assert answer.status_code == 200, answer.text
    dialogue.append({"role": "assistant", "content": answer.json()["choices"][0]["message"]["content"]})
    found: dict[str, Any] = answer.json()["tailorbird"]
    return found


def test_a_dialogue_refers_to_what_was_said(api: httpx.Client) -> None:
    def categories(item_ids: list[str]) -> list[list[str]]:
        return [api.get(f"/v1/items/{item_id}").json()["categories"] for item_id in item_ids]

    dialogue: list[dict[str, str]] = []
    first = ask(api, dialogue, "something like Alien but funny")["item_ids"]
    assert len(first) == 3 and all("Comedy" in found for found in categories(first))
    title = api.get(f"/v1/items/{first[1]}").json()["title"].split(" (")[0].split(", The")[0]
    assert ask(api, dialogue, "why the second one?")["item_ids"] == [first[1]]
    assert title in dialogue[-1]["content"]
    assert len(ask(api, dialogue, "a shorter list")["item_ids"]) == 2
    third = ask(api, dialogue, "not horror, just one")["item_ids"]
    assert len(third) == 1 and "Horror" not in categories(third)[0]
    assert not set(ask(api, dialogue, "something else?")["item_ids"]) & set(first)
