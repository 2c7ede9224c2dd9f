"""`POST /v1/content` on a whole ingress, up to the writer: what it is told, and what becomes of what it says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cluster.errors import DeadlineError, UnavailableError
from deployments.services import Services
from tests.deployments.test_chat import Notes

App = tuple[httpx.AsyncClient, Services]


@pytest.fixture
def writer(app: App) -> Notes:
    notes = Notes()
    app[1].writer._writer = notes
    return notes


async def write(app: App, **body: Any) -> httpx.Response:
    return await app[0].post("/v1/content", json={"kind": "pitch", "seed": 1, **body})


async def test_a_change_counts_in_the_next_text(app: App, writer: Notes) -> None:
    client = app[0]
    await client.put("/v1/items/new", json={"title": "First"})
    assert "First" in (await write(app, item_id="new")).json()["text"]
    await client.patch("/v1/items/new", json={"title": "Second"})
    assert "Second" in (await write(app, item_id="new")).json()["text"]
    await client.delete("/v1/items/new")
    assert (await write(app, item_id="new")).status_code == 404


async def test_while_the_store_is_away_the_catalogue_in_memory_tells(
    app: App, writer: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise UnavailableError("away")

    monkeypatch.setattr(app[1].store.items, "get", away)
    assert "Noise 3" in (await write(app, item_id="loud/3")).json()["text"]
    assert (await write(app, item_id="nope")).status_code == 404


async def test_a_ranking_that_is_late_costs_the_reasons_and_not_the_text(
    app: App, writer: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object) -> None:
        raise DeadlineError("late")

    monkeypatch.setattr(app[1].recommender, "rank", late)
    answer = await write(app, item_id="loud/3", session=[{"item_id": "loud/1", "type": "like"}])
    assert answer.status_code == 200, answer.text
    assert writer.tasks[-1].reasons == () and [item.item_id for item in writer.tasks[-1].liked] == ["loud/1"]


async def test_several_items_are_a_summarys_and_each_counts_once(app: App, writer: Notes) -> None:
    answer = await write(app, kind="summary", item_ids=["loud/1", "loud/2", "loud/1"])
    assert answer.json()["item_ids"] == ["loud/1", "loud/2"]
    assert [item.item_id for item in writer.tasks[-1].items] == ["loud/1", "loud/2"]
    refused = await write(app, kind="push", item_ids=["loud/1", "loud/2"])
    assert refused.status_code == 422
    assert refused.json()["detail"] == "body: a push is about one item; only a summary is about several"
    assert (await write(app, kind="push", item_ids=["loud/1"])).status_code == 200


@pytest.mark.parametrize(("language", "label"), [("en", "Subject: "), ("zh", "主题：")])
async def test_an_email_comes_in_its_parts_too(app: App, writer: Notes, language: str, label: str) -> None:
    writer.text = f"{label}For you: 3: Noise\n\nHere it is.\n\nEnjoy!"
    answer = (await write(app, kind="email", item_id="loud/3", language=language)).json()
    assert answer["text"] == writer.text
    assert answer["parts"] == [
        {"type": "subject", "text": "For you: 3: Noise"},
        {"type": "body", "text": "Here it is.\n\nEnjoy!"},
    ]
    assert (await write(app, item_id="loud/3")).json()["parts"] == [{"type": "text", "text": writer.text}]


@pytest.mark.parametrize("media_type", ["text/plain;charset=UTF-8", "application/octet-stream", "application/json"])
async def test_a_body_is_json_whatever_it_is_called(app: App, writer: Notes, media_type: str) -> None:
    body = b'{"kind": "pitch", "item_id": "loud/3", "seed": 1}'
    answer = await app[0].post("/v1/content", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 200, answer.text
