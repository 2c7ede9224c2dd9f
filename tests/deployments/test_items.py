"""The catalogue over HTTP, and its way into lists."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import orjson
import pytest

from cluster.config import Settings
from cluster.sessions.shard import Shard
from cluster.store import Store
from deployments.documents import merge
from tests.deployments.conftest import running_app, until

ROCK = {"title": "Thunder", "categories": ["Rock"], "attributes": {"year": 1985}}
FAN = {"session": [{"item_id": f"loud/{n}", "type": "like"} for n in range(3)], "n": 500, "explain": False}


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["item_id"] for entry in answer.json()["items"]]


async def listed(client: httpx.AsyncClient, item_id: str, **changes: Any) -> bool:
    return item_id in ids(await client.post("/v1/recommendations", json=FAN | changes))


async def test_an_item_carries_vectors(client: httpx.AsyncClient) -> None:
    image, audio = [0.1, -2.5, 3.0], [1e-7]
    put = await client.put("/v1/items/seen", json=ROCK | {"vectors": {"image": image, "audio": audio}})
    assert put.status_code == 200, put.text
    assert (await client.get("/v1/items/seen")).json()["vectors"] == {"image": image, "audio": audio}
    (listed,) = (await client.get("/v1/items", params={"filter": 'item_id == "seen"'})).json()["items"] or [{}]
    assert "vectors" not in listed
    patched = await client.patch("/v1/items/seen", json={"vectors": {"audio": None}})
    assert patched.json()["vectors"] == {"image": image}
    bad = await client.put("/v1/items/seen", json={"vectors": {"image": [1, "x"]}})
    assert bad.status_code == 422 and "vectors" in bad.text and "image" in bad.text
    records = [{"item_id": f"m{n}", "vectors": {"image": [n]}} for n in range(2)]
    told = (await client.post("/v1/items:import", content=orjson.dumps(records))).json()
    assert told["accepted"] == 1 and told["rejected"][0]["loc"] == ["vectors", "image"], told


@pytest.mark.parametrize(
    "item_id",
    [
        "plain",
        "a/b/c",
        "/lead",
        "中文 与 space",
        "100%",
        "a?b#c",
        "x" * 256,
        "import",
        "a\nb",
        "a\n",
        "..",
        "a/../b",
        "%2F",
        "\u2028\r\n",
    ],
)
async def test_an_item_goes_in_and_out_whatever_its_id(client: httpx.AsyncClient, item_id: str) -> None:
    path = "/v1/items/" + "".join(f"%{byte:02X}" for byte in item_id.encode())
    put = await client.put(path, json=ROCK)
    assert put.status_code == 200, put.text
    got = await client.get(path)
    assert got.json() == put.json()
    assert got.json().pop("updated_at") and got.json()["item_id"] == item_id
    assert {name: got.json()[name] for name in ROCK} == ROCK
    assert (await client.delete(path)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await client.request(method, path)).status_code == 404
    assert (await client.patch(path, json={})).status_code == 404


async def test_a_patch_merges(client: httpx.AsyncClient) -> None:
    await client.put("/v1/items/a/b", json=ROCK | {"tags": ["x", "y"], "hidden": True})
    change = {"title": None, "tags": ["z"], "attributes": {"year": None, "label": "blue"}, "hidden": False}
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = await client.patch("/v1/items/a/b", content=orjson.dumps(change), headers=headers)
    assert answer.status_code == 200, answer.text
    record = answer.json()
    del record["updated_at"]
    assert record == {"item_id": "a/b", "categories": ["Rock"], "tags": ["z"], "attributes": {"label": "blue"}}
    assert (await client.get("/v1/items/a/b")).json()["tags"] == ["z"]


async def test_patches_at_once_are_all_kept(client: httpx.AsyncClient) -> None:
    await client.put("/v1/items/p", json={})
    answers = await asyncio.gather(*(client.patch("/v1/items/p", json={"attributes": {f"k{n}": n}}) for n in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert (await client.get("/v1/items/p")).json()["attributes"] == {f"k{n}": n for n in range(4)}


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [  # from the table in RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_as_the_rfc_has_it(target: Any, patch: Any, merged: Any) -> None:
    assert merge(target, patch) == merged


@pytest.mark.parametrize(
    ("method", "body", "status", "loc"),
    [
        ("PUT", b"{", 400, None),
        ("PUT", b"[]", 422, None),
        ("PUT", b'{"colour": "red"}', 422, ["colour"]),
        ("PUT", b'{"item_id": "other"}', 422, ["item_id"]),
        ("PUT", b'{"categories": ["a", 7]}', 422, ["categories", "1"]),
        ("PUT", b'{"available_from": "2026-01-02", "available_until": "2026-01-01"}', 422, ["available_until"]),
        ("PUT", b'{"image_url": "javascript:alert(1)"}', 422, ["image_url"]),
        ("PATCH", b'"text"', 422, None),
        ("PATCH", b'{"hidden": "yes"}', 422, ["hidden"]),
        ("PATCH", b"nothing", 400, None),
    ],
)
async def test_bad_documents(
    client: httpx.AsyncClient, method: str, body: bytes, status: int, loc: list[str] | None
) -> None:
    answer = await client.request(method, "/v1/items/loud/1", content=body)
    assert answer.status_code == status, answer.text
    if loc:
        assert answer.json()["errors"][0]["loc"] == loc
    assert (await client.get("/v1/items/loud/1")).json()["title"] == "Noise 1"


async def test_ids_that_are_none(client: httpx.AsyncClient) -> None:
    for path in ("/v1/items/", "/v1/items/" + "x" * 257, "/v1/items/a%00b"):
        for method in ("PUT", "GET", "PATCH", "DELETE"):
            answer = await client.request(method, path, content=b"{}")
            assert answer.status_code == 422, (method, path, answer.text)


async def test_a_line_break_at_the_end_is_part_of_the_id(client: httpx.AsyncClient) -> None:
    await client.put("/v1/items/n", json=ROCK)
    assert (await client.get("/v1/items/n%0A")).status_code == 404
    assert (await client.delete("/v1/items/n%0A")).status_code == 404
    assert (await client.delete("/v1/items/n")).status_code == 204


async def test_an_address_that_is_not_utf8_is_refused(client: httpx.AsyncClient) -> None:
    for method, path in (("PUT", "/v1/items/caf%E9"), ("DELETE", "/v1/users/%ff"), ("GET", "/v1/similar?item_id=%E9")):
        answer = await client.request(method, path, content=b"{}")
        assert answer.status_code == 422 and "UTF-8" in answer.json()["detail"]
    assert (await client.put("/v1/items/caf%C3%A9", json=ROCK)).json()["item_id"] == "café"


class TestImport:
    async def test_lines_with_bad_ones_among_them(self, client: httpx.AsyncClient) -> None:
        lines = (
            b'{"item_id":"n1","title":"One"}\n\n{"item_id":"n2"\r\n[1]\n{"item_id":"n3","titel":"x"}\n{"title":"?"}\n'
        )
        answer = await client.post("/v1/items:import", content=lines + b'{"item_id":"n4"}')
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["accepted"] == 2 and document["rejected_total"] == 4
        assert [(entry["line"], entry["loc"]) for entry in document["rejected"]] == [
            (3, []),
            (4, []),
            (5, ["titel"]),
            (6, ["item_id"]),
        ]
        assert document["rejected"][2]["item_id"] == "n3"
        for item_id, status in (("n1", 200), ("n3", 404), ("n4", 200)):
            assert (await client.get(f"/v1/items/{item_id}")).status_code == status

    async def test_an_array_of_many(self, client: httpx.AsyncClient) -> None:
        records = [{"item_id": f"m{n}", "title": f"Many {n}"} for n in range(1_203)] + [
            {"item_id": "m0", "title": "Last"}
        ]
        answer = await client.post("/v1/items:import", json=records)
        assert answer.json() == {"accepted": 1_204, "rejected": [], "rejected_total": 0}
        assert (await client.get("/v1/items/m1202")).json()["title"] == "Many 1202"
        assert (await client.get("/v1/items/m0")).json()["title"] == "Last"

    @pytest.mark.parametrize(
        "body", [b'{"item_id":"bom"}\n{"item_id":"mob"}\n', b'[{"item_id":"bom"},{"item_id":"mob"}]']
    )
    async def test_a_byte_order_mark_is_no_part_of_the_first_record(
        self, client: httpx.AsyncClient, body: bytes
    ) -> None:
        answer = await client.post("/v1/items:import", content=b"\xef\xbb\xbf" + body)
        assert answer.json() == {"accepted": 2, "rejected": [], "rejected_total": 0}

    @pytest.mark.parametrize(
        ("body", "status"), [(b"[{]", 400), (b"", 422), (b"[]", 422), (b" \n ", 422), (b"[1,", 400)]
    )
    async def test_no_records(self, client: httpx.AsyncClient, body: bytes, status: int) -> None:
        assert (await client.post("/v1/items:import", content=body)).status_code == status

    async def test_records_of_which_none_is_good_are_refused_with_the_first_fault(
        self, client: httpx.AsyncClient
    ) -> None:
        for body, loc in (
            ({"items": [{"item_id": "wrapped"}]}, ["1", "items"]),
            ([{"item_id": 7}, {}], ["1", "item_id"]),
        ):
            answer = await client.post("/v1/items:import", json=body)
            assert answer.status_code == 422 and "none of which is accepted" in answer.json()["detail"]
            assert answer.json()["errors"][0]["loc"] == loc, answer.text

    async def test_many_bad_lines_do_not_make_a_long_answer(self, client: httpx.AsyncClient) -> None:
        lines = b'{"item_id":"good"}\n' + b"7\n" * 5_000
        document = (await client.post("/v1/items:import", content=lines)).json()
        assert (document["accepted"], len(document["rejected"]), document["rejected_total"]) == (1, 1_000, 5_000)
        assert (await client.post("/v1/items:import", content=b"7\n" * 100_001)).status_code == 422

    async def test_a_body_beyond_the_limit(self, client: httpx.AsyncClient) -> None:
        assert (await client.post("/v1/items:import", content=b" " * 10_000_001)).status_code == 413


class TestPages:
    async def all_pages(self, client: httpx.AsyncClient, limit: int, **query: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            parameters = query | {"limit": limit} | ({"cursor": cursor} if cursor else {})
            answer = await client.get("/v1/items", params=parameters)
            page = ids(answer)
            assert len(page) <= limit
            found += page
            cursor = answer.json()["next_cursor"]
            if cursor is None:
                return found
            assert len(page) == limit

    async def test_pages_hold_everything_once(self, client: httpx.AsyncClient) -> None:
        whole = await self.all_pages(client, 1000)
        assert len(whole) == 40 and whole == sorted(whole)
        for limit in (1, 7, 20, 40):
            assert await self.all_pages(client, limit) == whole

    async def test_filter_and_query(self, client: httpx.AsyncClient) -> None:
        rock = await self.all_pages(client, 3, filter='genre == "Rock" and year >= 1995')
        assert sorted(rock) == sorted(f"loud/{n}" for n in range(15, 20))
        assert await self.all_pages(client, 4, q="hush 197") == await self.all_pages(client, 50, q="HUSH 197")
        assert set(await self.all_pages(client, 4, q="hush 197")) == {f"静-{n}" for n in range(10, 20)}
        assert await self.all_pages(client, 5, q="ush") == []  # words are found by their beginning
        both = await self.all_pages(client, 5, q="noise", filter="year < 1982")
        assert sorted(both) == ["loud/0", "loud/1"]

    async def test_titles_come_before_texts_and_chinese_is_found_inside(self, client: httpx.AsyncClient) -> None:
        await client.put("/v1/items/z1", json={"title": "卧虎藏龙", "description": "a sword"})
        await client.put("/v1/items/z2", json={"title": "Sword", "tags": ["ÉPÉE"]})

        async def there() -> bool:
            return await self.all_pages(client, 1, q="sword") == ["z2", "z1"]

        await until(there)
        assert await self.all_pages(client, 5, q="藏龙") == ["z1"]
        assert await self.all_pages(client, 5, q="épée") == ["z2"]

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ({"filter": "year >"}, "filter"),
            ({"q": "!!"}, "q"),
            ({"cursor": "nonsense"}, "cursor"),
            ({"cursor": "WzEsImEiXQ", "limit": "5"}, "cursor"),  # [1,"a"]: a cursor of a text query
            ({"cursor": "WzAsImFcdTAwMDBiIl0"}, "cursor"),  # [0,"a\u0000b"]
            ({"cursor": "WzAsN10"}, "cursor"),  # [0,7]
            ({"cursor": "é"}, "cursor"),
            ({"limit": "0"}, "limit"),
            ({"limit": "1001"}, "limit"),
        ],
    )
    async def test_bad_queries(self, client: httpx.AsyncClient, query: dict[str, str], place: str) -> None:
        answer = await client.get("/v1/items", params=query)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == [place]


class TestLists:
    """What is stored shows in every replica's lists within a second."""

    async def test_a_new_item_is_recommended_and_a_hidden_or_deleted_one_is_not(
        self, settings: Settings, shard: Shard
    ) -> None:
        async with running_app(settings, shard) as (one, _), running_app(settings, shard) as (other, _):

            async def state(item_id: str, wanted: bool) -> None:
                async def reached() -> bool:
                    return all([await listed(client, item_id) is wanted for client in (one, other)])

                await until(reached)

            assert not await listed(one, "new/1")
            await one.put("/v1/items/new/1", json=ROCK)
            await state("new/1", True)
            answer = (await other.post("/v1/recommendations", json=FAN | {"n": 30})).json()
            places = {entry["item_id"]: place for place, entry in enumerate(answer["items"])}
            assert places["new/1"] < min(place for item, place in places.items() if item.startswith("静"))
            assert answer["items"][places["new/1"]]["source"] == "fresh"
            assert "new/1" in ids(await one.get("/v1/similar", params={"item_id": "loud/5", "n": 20}))
            assert ids(await one.get("/v1/similar", params={"item_id": "new/1", "n": 5}))
            for item_id in ("new/1", "loud/7"):
                await one.patch(f"/v1/items/{item_id}", json={"hidden": True})
                await state(item_id, False)
                assert item_id not in ids(await one.get("/v1/popular", params={"n": 100}))
                assert item_id not in ids(await one.get("/v1/similar", params={"item_id": "loud/5", "n": 100}))
                await other.patch(f"/v1/items/{item_id}", json={"hidden": None})
                await state(item_id, True)
                await other.delete(f"/v1/items/{item_id}")
                await state(item_id, False)
                await other.put(f"/v1/items/{item_id}", json=ROCK)
                await state(item_id, True)

    async def test_an_item_comes_and_goes_by_the_clock(self, client: httpx.AsyncClient) -> None:
        now = time.time()
        window = {"available_from": now + 0.8, "available_until": now + 1.8}
        await client.put("/v1/items/soon", json=ROCK | window)
        await client.patch("/v1/items/loud/9", json=window)

        async def gone() -> bool:
            return not await listed(client, "loud/9")

        await until(gone)
        assert not await listed(client, "soon")

        async def both() -> bool:
            return await listed(client, "soon") and await listed(client, "loud/9")

        await until(both, now + 1.7 - time.time())

        async def none() -> bool:
            return not (await listed(client, "soon") or await listed(client, "loud/9"))

        await until(none, now + 2.8 - time.time())

    async def test_a_changed_item_is_filtered_by_what_it_is_now(self, client: httpx.AsyncClient) -> None:
        assert not await listed(client, "loud/5", filter='genre == "Jazz"')
        await client.patch("/v1/items/loud/5", json={"categories": ["Jazz"]})

        async def found() -> bool:
            return ids(await client.post("/v1/recommendations", json=FAN | {"filter": 'genre == "Jazz"'})) == ["loud/5"]

        await until(found)
        answer = await client.post("/v1/recommendations", json={"filter": 'genre == "Jazz" and', "n": 3})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == ["filter"] and "column 20" in answer.json()["detail"]

    async def test_the_latest_are_the_newest_that_may_be_shown(self, client: httpx.AsyncClient) -> None:
        await client.put("/v1/items/late", json=ROCK)
        await client.put("/v1/items/old", json=ROCK | {"available_from": 1_000})
        await client.put("/v1/items/future", json=ROCK | {"available_from": time.time() + 500})

        async def both() -> bool:
            order = ids(await client.get("/v1/latest", params={"n": 500}))
            return order[0] == "late" and order[-1] == "old" and len(order) == 42

        await until(both)
        await asyncio.sleep(0.3)
        assert await both()  # what is not available yet does not come after it
        assert (await client.get("/v1/latest")).json()["model_version"] == "v1"
        assert (await client.get("/v1/latest", params={"n": 501})).status_code == 422


async def test_before_the_first_version_the_catalogue_serves(settings: Settings, shard: Shard) -> None:
    with Store.open(settings) as store, store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM pointers")
    async with running_app(settings, shard) as (client, _):
        await client.put("/v1/items/new", json=ROCK)

        async def there() -> bool:
            return await listed(client, "new")

        await until(there)
        document = (await client.post("/v1/recommendations", json={"filter": "year == 1999"})).json()
        assert document["model_version"] == "none" and [entry["item_id"] for entry in document["items"]] == ["loud/19"]
