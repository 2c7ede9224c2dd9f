"""Rules of merchandising over HTTP: stored ones, those of a request, and what lists say of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cluster.config import Settings
from cluster.messages import DEFAULT_TENANT
from cluster.sessions.shard import Shard
from deployments.services import Services
from tests.deployments.conftest import running_app, until
from tests.deployments.test_lists import ids, recommend

RULES = "/v1/admin/rules"
FAN = [{"item_id": "loud/3", "type": "like"}]


async def put(client: httpx.AsyncClient, rule_id: str, **body: Any) -> dict[str, Any]:
    answer = await client.put(f"{RULES}/{rule_id}", json=body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


class TestStored:
    async def test_a_rule_is_kept_shown_changed_and_deleted(self, client: httpx.AsyncClient) -> None:
        stored = await put(client, "a/b", kind="boost", filter='genre == "Ambient"', factor=4)
        assert stored == {
            "rule_id": "a/b", "kind": "boost", "filter": 'genre == "Ambient"', "factor": 4.0,
            "updated_at": stored["updated_at"],
        }  # fmt: skip
        assert (await client.get(f"{RULES}/a/b")).json() == stored
        await put(client, "z", kind="pin", item_id="静-1", position=2, enabled=False, note="not yet")
        assert [rule["rule_id"] for rule in (await client.get(RULES)).json()["rules"]] == ["a/b", "z"]
        assert (await put(client, "a/b", kind="bury", filter="year < 1970", factor=2))["kind"] == "bury"
        assert (await client.delete(f"{RULES}/a/b")).status_code == 204
        assert (await client.get(f"{RULES}/a/b")).status_code == 404
        assert (await client.delete(f"{RULES}/a/b")).status_code == 404
        audit = (await client.get("/v1/admin/audit")).json()["entries"]
        assert [(entry["action"], entry["target"]) for entry in audit] == [
            ("rule.delete", "a/b"), ("rule.put", "a/b"), ("rule.put", "z"), ("rule.put", "a/b"),
        ]  # fmt: skip
        assert audit[1]["detail"] == {"kind": "bury", "filter": "year < 1970", "factor": 2.0}

    @pytest.mark.parametrize(
        ("body", "loc"),
        [
            ({"kind": "boost", "filter": "year >", "factor": 2}, ["filter"]),
            ({"kind": "boost", "filter": "year > 3"}, ["factor"]),
            ({"kind": "pin", "item_id": "1", "position": 0}, ["position"]),
            ({"kind": "hide"}, ["kind"]),
            ({"kind": "pin", "item_id": "1", "position": 1, "colour": "red"}, ["colour"]),
            ({"kind": "pin", "item_id": "1", "position": 1, "rule_id": "other"}, ["rule_id"]),
        ],
    )
    async def test_what_is_wrong_is_named(self, client: httpx.AsyncClient, body: Any, loc: list[str]) -> None:
        answer = await client.put(f"{RULES}/a", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == loc, answer.text

    async def test_every_replica_obeys_within_a_second(self, settings: Settings, shard: Shard) -> None:
        async with running_app(settings, shard) as (one, _), running_app(settings, shard) as (other, _):
            before = ids(await recommend(other, session=FAN, n=10))
            await put(one, "first", kind="pin", item_id="静-15", position=1)
            for client in (one, other):

                async def pinned(client: httpx.AsyncClient = client) -> bool:
                    return ids(await recommend(client, session=FAN, n=10))[0] == "静-15"

                await until(pinned, 1.0)
            document = await recommend(other, session=FAN, n=10)
            assert ids(document) == ["静-15", *before[:9]]
            assert document["items"][0]["rules"] == [{"rule_id": "first", "kind": "pin"}]
            assert all("rules" not in entry for entry in document["items"][1:])
            assert ids(await recommend(other, session=FAN, n=10, stored_rules=False)) == before
            assert (await one.delete(f"{RULES}/first")).status_code == 204

            async def gone() -> bool:
                return ids(await recommend(other, session=FAN, n=10)) == before

            await until(gone, 1.0)

    async def test_rules_follow_the_catalogue_and_the_clock(self, client: httpx.AsyncClient) -> None:
        # Twice the greatest factor: scores of this small world are far apart.
        for rule in ("new", "very new"):
            await put(client, rule, kind="boost", filter='tags contains "new"', factor=1e6)
        await client.put("/v1/items/loud and new", json={"title": "Noise", "tags": ["new"], "categories": ["Rock"]})

        async def first() -> bool:
            return ids(await recommend(client, session=FAN, n=3))[0] == "loud and new"

        await until(first, 1.0)
        await client.patch("/v1/items/loud and new", json={"tags": None})

        async def not_first() -> bool:
            return not await first()

        await until(not_first, 1.0)
        import time

        soon = time.time() + 0.6
        await put(client, "new", kind="pin", item_id="静-9", position=1, starts_at=soon, ends_at=soon + 0.6)

        async def pinned() -> bool:
            return ids(await recommend(client, session=FAN, n=3))[0] == "静-9"

        assert not await pinned()
        await until(pinned, 1.5)

        async def over() -> bool:
            return not await pinned()

        await until(over, 1.5)

    async def test_they_are_the_admins_and_the_tenants_own(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        client, services = app
        made = (await client.post("/v1/admin/keys", json={"name": "shop"})).json()
        other = (
            await client.post("/v1/admin/keys", json={"name": "b", "tenant": "b", "scopes": ["admin", "read"]})
        ).json()
        await services.keys.refresh()
        shop, owner = ({"Authorization": f"Bearer {key['key']}"} for key in (made, other))
        body = {"kind": "pin", "item_id": "loud/19", "position": 1}
        for method, path in (("GET", RULES), ("GET", f"{RULES}/a"), ("PUT", f"{RULES}/a"), ("DELETE", f"{RULES}/a")):
            answer = await client.request(method, path, headers=shop, json=body if method == "PUT" else None)
            assert answer.status_code == 403
        assert (await client.put(f"{RULES}/theirs", headers=owner, json=body)).status_code == 200
        assert (await client.get(RULES)).json() == {"rules": []}
        assert len((await client.get(RULES, headers=owner)).json()["rules"]) == 1
        assert len((await client.get(RULES, params={"tenant": "b"})).json()["rules"]) == 1
        assert (await client.get(RULES, params={"tenant": DEFAULT_TENANT}, headers=owner)).status_code == 403
        assert ids(await recommend(client, session=FAN, n=1)) != ["loud/19"]


class TestOfARequest:
    async def test_they_count_for_one_list(self, client: httpx.AsyncClient) -> None:
        rules = [
            {"kind": "pin", "item_id": "静-15", "position": 2},
            {"rule_id": "old", "kind": "boost", "filter": "year < 1965", "factor": 1000},
            {"kind": "cap", "each": "genre", "max_items": 3},
        ]
        document = await recommend(client, session=FAN, n=10, rules=rules)
        found = ids(document)
        assert found[1] == "静-15" and len(found) == 6
        assert sum(item.startswith("loud") for item in found) == 3
        boosted = [entry for entry in document["items"] if {"rule_id": "old", "kind": "boost"} in entry["rules"]]
        assert boosted and all(entry["item_id"] in {f"静-{n}" for n in range(5)} for entry in boosted)
        for entry in document["items"]:
            assert {"rule_id": "2", "kind": "cap"} in entry["rules"]
            assert sum(reason["weight"] for reason in entry["reasons"]) == pytest.approx(entry["score"], abs=1e-6)
        assert [r["feature"] for r in boosted[0]["reasons"] if r["kind"] == "rule"] == ["old"]
        assert all("rules" not in entry for entry in (await recommend(client, session=FAN, n=10))["items"])

    async def test_places_count_from_the_first_page_on(self, client: httpx.AsyncClient) -> None:
        rules = [{"kind": "pin", "item_id": f"静-{n}", "position": place} for n, place in ((15, 2), (16, 7), (17, 30))]
        plain = ids(await recommend(client, session=FAN, n=15))
        first = await recommend(client, session=FAN, n=5, rules=rules)
        second = await recommend(client, session=FAN, n=5, rules=rules, recommendation_id=first["recommendation_id"])
        assert ids(first) + ids(second) == [plain[0], "静-15", *plain[1:5], "静-16", *plain[5:8]]

    async def test_what_is_wrong_names_the_rule(self, client: httpx.AsyncClient) -> None:
        rules = [{"kind": "pin", "item_id": "1", "position": 1}, {"kind": "boost", "filter": "x ==", "factor": 2}]
        answer = await client.post("/v1/recommendations", json={"rules": rules})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == ["rules", "1", "filter"]
        answer = await client.post("/v1/recommendations", json={"rules": [rules[0]] * 51})
        assert answer.status_code == 422


class TestExploration:
    async def test_propensities_are_answered_and_logged(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        client, services = app
        document = await recommend(client, session=FAN, n=10, explore=0.3, seed=5)
        assert ids(document) == ids(await recommend(client, session=FAN, n=10, explore=0.3, seed=5))
        drawn = [entry for entry in document["items"] if entry["source"] == "explore"]
        assert len(drawn) == 3 and all(0 < entry["propensity"] < 1 for entry in drawn)
        assert all("propensity" not in entry for entry in document["items"] if entry not in drawn)

        async def logged() -> bool:
            return len(services.store.feedback.scan_log(DEFAULT_TENANT)) == 2

        await until(logged, 3)
        for _, row in services.store.feedback.scan_log(DEFAULT_TENANT):
            assert [item[2] for item in row.items] == [entry.get("propensity", 1.0) for entry in document["items"]]

    async def test_the_settings_say_what_a_request_does_not(self, settings: Settings, shard: Shard) -> None:
        chosen = settings.recommender.model_copy(update={"explore": 0.2, "diversity": 1.0})
        async with running_app(settings.model_copy(update={"recommender": chosen}), shard) as (client, _):
            given = await recommend(client, session=FAN, n=10)
            assert sum(entry["source"] == "explore" for entry in given["items"]) == 2
            plain = await recommend(client, session=FAN, n=10, explore=0, diversity=0)
            assert not any(entry["source"] == "explore" for entry in plain["items"])
            mixed = await recommend(client, session=FAN, n=10, explore=0)
            assert ids(mixed) != ids(plain)
            assert ids(mixed) == ids(await recommend(client, session=FAN, n=10, explore=0, diversity=1))


class TestPaths:
    async def test_a_path_goes_by_people_who_are_counted_and_not_named(self, client: httpx.AsyncClient) -> None:
        plain = await recommend(client, user_id="me", session=FAN, n=10)
        target = ids(plain)[0]
        events = [
            {"user_id": f"secret {n}", "item_id": item, "type": "like"} for n in range(4) for item in ("loud/3", target)
        ]
        events += [
            {"user_id": f"secret {n}", "item_id": item, "type": "like"}
            for n in (1, 2)
            for item in ("loud/3", "loud/19")
        ]
        events += [{"user_id": "me", "item_id": "loud/3", "type": "like"}]
        await client.post("/v1/events", json=events)
        answer = await client.post("/v1/recommendations", json={"user_id": "me", "n": 40, "explain": "path"})
        assert "secret" not in answer.text
        entries = {entry["item_id"]: entry for entry in answer.json()["items"]}
        carried = [r for r in entries[target]["reasons"] if r["kind"] == "because_liked"]
        assert carried[0]["item_id"] == "loud/3"
        assert entries[target]["path"] == [
            {"kind": "you"},
            {"kind": "item", "item_id": "loud/3"},
            {"kind": "people", "count": 4},
            {"kind": "item", "item_id": target},
        ]
        assert "path" not in entries["loud/19"]  # two people are too few to tell of
        assert "path" not in entries["静-1"]
        assert all("path" not in entry for entry in (await recommend(client, user_id="me", n=10))["items"])
        assert (await client.post("/v1/recommendations", json={"explain": "maybe"})).status_code == 422
