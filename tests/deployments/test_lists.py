"""Lists over HTTP: what is asked for, the log, the next page, feedback."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.messages import DEFAULT_TENANT, RankedItem, RankedList
from cluster.sessions.shard import Shard
from cluster.store.feedback import LogRow
from deployments import recommendation_log
from deployments.recommendation_log import RecommendationLog
from deployments.services import Services
from tests.deployments.conftest import running_app, until

LIST = RankedList(tuple(RankedItem(f"i{n}", 1.0 - n / 10, "alike") for n in range(3)), "v1")


async def recommend(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def ids(document: dict[str, Any]) -> list[str]:
    return [entry["item_id"] for entry in document["items"]]


async def test_filter_exclude_include_and_length(client: httpx.AsyncClient) -> None:
    everything = await recommend(client, n=500)
    assert len(set(ids(everything))) == 40
    rock = await recommend(client, n=500, filter='genre == "Rock" and not (year < 1990)', exclude=["loud/19", "x"])
    assert set(ids(rock)) == {f"loud/{n}" for n in range(10, 19)}
    wanted = await recommend(client, n=2, include=["title", "attributes"], filter='genre in ["Ambient"]')
    for entry in wanted["items"]:
        assert entry["item"].keys() == {"title", "attributes"} and entry["item_id"].startswith("静")
    assert "item" not in everything["items"][0]
    assert ids(await recommend(client, filter="year == 3000")) == []
    assert ids(await recommend(client, candidates=["loud/1", "静-1"], filter='title contains "noise"')) == ["loud/1"]


@pytest.mark.parametrize(
    ("filter_", "column"), [("year >", 7), ("== 3", 1), ('genre == "a" genre', 14), ("year = 3", 6), ("(year == 3", 11)]
)
async def test_a_filter_that_is_none_names_the_column(client: httpx.AsyncClient, filter_: str, column: int) -> None:
    answer = await client.post("/v1/recommendations", json={"filter": filter_})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["loc"] == ["filter"] and fault["msg"].startswith(f"column {column}:"), fault


async def test_impressions_do_not_count_as_seen_and_clicks_do_at_once(client: httpx.AsyncClient) -> None:
    given = await recommend(client, user_id="u", n=5)
    shown = [
        {"user_id": "u", "item_id": item, "type": "impression", "recommendation_id": given["recommendation_id"]}
        for item in ids(given)
    ]
    assert (await client.post("/v1/events", json=shown)).json()["accepted"] == 5
    assert ids(await recommend(client, user_id="u", n=5)) == ids(given)
    click = {"user_id": "u", "item_id": ids(given)[0], "type": "click"}
    assert (await client.post("/v1/events", json=click)).status_code == 202
    assert ids(given)[0] not in ids(await recommend(client, user_id="u", n=40))
    assert ids(given)[0] in ids(await recommend(client, user_id="u", n=40, include_seen=True))


async def test_what_travels_in_a_request_is_added_to_the_stored_session(client: httpx.AsyncClient) -> None:
    stored = {"user_id": "both", "item_id": "loud/1", "type": "click"}
    assert (await client.post("/v1/events", json=stored)).json()["accepted"] == 1
    both = ids(await recommend(client, user_id="both", session=[{"item_id": "loud/2"}], n=40))
    assert len(both) == 38 and not {"loud/1", "loud/2"} & set(both)
    alone = ids(await recommend(client, user_id="both", n=40))
    assert len(alone) == 39 and "loud/2" in alone


class TestNextPage:
    async def test_pages_go_on_where_the_last_one_ended(self, client: httpx.AsyncClient) -> None:
        session = [{"item_id": "loud/3", "type": "like"}]
        whole = ids(await recommend(client, session=session, n=40))
        page = await recommend(client, session=session, n=15)
        found = ids(page)
        while page["items"]:
            page = await recommend(client, session=session, n=15, recommendation_id=page["recommendation_id"])
            found += ids(page)
        assert found == whole and len(found) == 39

    async def test_the_person_is_remembered(self, client: httpx.AsyncClient) -> None:
        events = [{"user_id": "fan", "item_id": f"静-{n}", "type": "like"} for n in range(3)]
        await client.post("/v1/events", json=events)
        whole = ids(await recommend(client, user_id="fan", n=20))
        first = await recommend(client, user_id="fan", n=10)
        second = await recommend(client, recommendation_id=first["recommendation_id"], n=10)
        assert ids(first) + ids(second) == whole
        same = await recommend(client, user_id="fan", recommendation_id=first["recommendation_id"], n=10)
        assert ids(same) == ids(second)
        # What the person does between two pages counts, and nothing is shown twice.
        await client.post("/v1/events", json={"user_id": "fan", "item_id": ids(second)[0], "type": "click"})
        third = await recommend(client, recommendation_id=second["recommendation_id"], n=40)
        assert len(third["items"]) == 17 and not set(ids(third)) & set(whole)
        answer = await client.post(
            "/v1/recommendations", json={"user_id": "other", "recommendation_id": first["recommendation_id"]}
        )
        assert answer.status_code == 422 and answer.json()["errors"][0]["loc"] == ["recommendation_id"]

    async def test_another_replica_finds_it(self, settings: Settings, shard: Shard) -> None:
        async with running_app(settings, shard) as (one, _), running_app(settings, shard) as (other, _):
            first = await recommend(one, n=5)
            began = time.monotonic()
            second = await recommend(other, n=5, recommendation_id=first["recommendation_id"])
            assert time.monotonic() - began < 2
            assert not set(ids(first)) & set(ids(second))

    async def test_any_list_has_one_and_an_unknown_one_is_not_found(self, client: httpx.AsyncClient) -> None:
        for path in ("/v1/popular?n=3", "/v1/similar?item_id=loud/1&n=3", "/v1/latest?n=3"):
            given = (await client.get(path)).json()
            following = await recommend(client, recommendation_id=given["recommendation_id"], n=37)
            assert set(ids(given)) | set(ids(following)) == set(ids(await recommend(client, n=40)))
        answer = await client.post("/v1/recommendations", json={"recommendation_id": "none"})
        assert answer.status_code == 404


class TestLog:
    async def test_every_list_is_logged(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        client, services = app
        given = [await recommend(client, user_id=f"u{n % 3}", n=4) for n in range(30)]
        page = await recommend(client, recommendation_id=given[0]["recommendation_id"], n=2)

        async def logged() -> bool:
            return len(services.store.feedback.scan_log(DEFAULT_TENANT)) == 31

        await until(logged, 3)
        rows = {row.recommendation_id: row for _, row in services.store.feedback.scan_log(DEFAULT_TENANT)}
        for n, document in enumerate(given):
            row = rows[document["recommendation_id"]]
            assert (row.user_id, row.model_version, row.variant) == (f"u{n % 3}", "v1", None)
            assert [item[0] for item in row.items] == ids(document)
            assert [(item[1], item[3]) for item in row.items] == [(e["score"], e["source"]) for e in document["items"]]
            assert all(item[2] == 1.0 for item in row.items)
        last = rows[page["recommendation_id"]]
        assert last.before == tuple(ids(given[0])) and last.user_id == "u0"

    async def test_an_orderly_stop_writes_everything(self, settings: Settings, shard: Shard) -> None:
        async with running_app(settings, shard) as (_, services):
            given = [services.log.record(DEFAULT_TENANT, LIST) for _ in range(1_000)]
        store = shard._opened()
        assert {row.recommendation_id for _, row in store.feedback.scan_log(DEFAULT_TENANT)} == set(given)

    async def test_while_the_writer_is_away_lists_wait_and_beyond_the_bound_are_counted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recommendation_log, "MAX_ITEMS", 3 * 1_000)
        monkeypatch.setattr(recommendation_log, "FLUSH_S", 0.01)
        monkeypatch.setattr(recommendation_log, "RETRY_S", 0.01)
        written: list[LogRow] = []
        away = True

        async def write(rows: list[LogRow]) -> None:
            assert len(rows) <= recommendation_log.BATCH
            if away:
                raise UnavailableError("the writer is away")
            written.extend(rows)

        log = RecommendationLog(write, lambda *_: None)
        log.start()
        given = []
        for _ in range(12):
            given += [log.record(DEFAULT_TENANT, LIST) for _ in range(100)]
            await asyncio.sleep(0.01)
        assert log.lost == 200 and written == []
        assert (await log.shown(DEFAULT_TENANT, given[0])).items == ("i0", "i1", "i2")
        away = False
        await log.stop()
        assert [row[1] for row in written] == given[:1_000]

    async def test_a_list_that_cannot_be_written_does_not_keep_others_from_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recommendation_log, "BATCH", 1)
        written: list[str] = []

        async def write(rows: list[LogRow]) -> None:
            if rows[0][2] == "poison":
                raise ValueError("no database takes this")
            written.append(str(rows[0][2]))

        log = RecommendationLog(write, lambda *_: None)
        for user in ("a", "poison", "b"):
            log.record(DEFAULT_TENANT, LIST, user)
        log.start()
        await log.stop()
        assert written == ["a", "b"] and log.lost == 1

    def test_a_request_pays_microseconds(self) -> None:
        async def write(rows: list[LogRow]) -> None: ...

        log = RecommendationLog(write, lambda *_: None)
        began = time.thread_time()
        for _ in range(10_000):
            log.record(DEFAULT_TENANT, LIST, "u")
        took_s = time.thread_time() - began
        assert took_s / 10_000 < 50e-6  # 3 in a quiet moment


class TestFeedback:
    async def test_it_is_kept(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        client, services = app
        body = {"user_id": "u", "recommendation_id": "r", "item_id": "loud/1", "verdict": "down", "text": "太吵"}
        answer = await client.post("/v1/feedback", json=body)
        assert answer.status_code == 201
        ((_, entry),) = services.store.feedback.scan(DEFAULT_TENANT)
        assert entry.feedback_id == answer.json()["feedback_id"] and entry.created_ms > 0
        kept = (entry.user_id, entry.recommendation_id, entry.item_id, entry.rating, entry.comment)
        assert kept == ("u", "r", "loud/1", "down", "太吵")

    async def test_it_belongs_to_the_person_of_the_list(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        client, services = app
        lists = [await client.post("/v1/recommendations", json=body) for body in ({"user_id": "ann"}, {})]
        of = [answer.json()["recommendation_id"] for answer in lists]
        for named in (*of, "unknown"):
            body = {"recommendation_id": named, "verdict": "down", "text": "call me"}
            assert (await client.post("/v1/feedback", json=body)).status_code == 201
        entries = [entry for _, entry in services.store.feedback.scan(DEFAULT_TENANT)]
        assert [entry.user_id for entry in entries] == ["ann", None, None]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"verdict": "up"},
            {"content_id": "c"},
            {"content_id": "c", "verdict": "maybe"},
            {"content_id": "c", "text": "a\0b"},
            {"content_id": "c", "text": "x" * 4001},
            {"content_id": "c", "verdict": "up", "stars": 5},
        ],
    )
    async def test_nonsense(self, client: httpx.AsyncClient, body: dict[str, Any]) -> None:
        assert (await client.post("/v1/feedback", json=body)).status_code == 422

    async def test_half_a_surrogate_pair(self, client: httpx.AsyncClient) -> None:
        for field in ("content_id", "text"):
            body = b'{"content_id": "c", "verdict": "up", "text": "t"}'.replace(
                b'"%s": "' % field.encode(), b'"%s": "\\ud800' % field.encode()
            )
            assert (await client.post("/v1/feedback", content=body)).status_code == 422


async def test_the_document_describes_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    for path in ("/v1/items/{item_id}", "/v1/users/{user_id}"):
        assert paths[path].keys() == {"get", "put", "patch", "delete"}
        assert "application/merge-patch+json" in paths[path]["patch"]["requestBody"]["content"]
    for path in ("/v1/items:import", "/v1/users:import", "/v1/feedback", "/v1/events"):
        assert paths[path]["post"]["requestBody"]["content"]
    for path in ("/v1/items", "/v1/users", "/v1/latest", "/v1/operations/{operation_id}"):
        assert "get" in paths[path]
    assert "202" in paths["/v1/users/{user_id}"]["delete"]["responses"]

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for part in node.values() for found in references(part)]
        return [found for part in node for found in references(part)] if isinstance(node, list) else []

    for reference in references(document):
        _, _, kind, name = reference.split("/")
        assert name in document["components"][kind], reference
