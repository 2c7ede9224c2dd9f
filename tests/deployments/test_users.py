"""Users over HTTP, and the erasure of a person: no trace is left on disk, in a response or in an export."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from cluster.config import Settings
from cluster.messages import DEFAULT_TENANT, RankedItem, RankedList
from cluster.sections import RetentionConfig
from cluster.sessions.shard import Shard
from cluster.store import Feedback, Operation, Recommendation, Store
from deployments import housekeeping, operations
from deployments.services import Services
from jobs.export import export
from tests.deployments.conftest import running_app, until

TRACE = "somebody/who wants-to-be-forgotten"
PATH = "/v1/users/" + TRACE.replace(" ", "%20")


async def done(client: httpx.AsyncClient, answer: httpx.Response) -> dict[str, Any]:
    """Wait for the operation that an answer names."""
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]
    assert location == f"/v1/operations/{answer.json()['operation_id']}"

    async def finished() -> bool:
        return (await client.get(location)).json()["status"] == "done"

    await until(finished, 10)
    document: dict[str, Any] = (await client.get(location)).json()
    return document


async def leave_traces(client: httpx.AsyncClient, user: str = TRACE) -> str:
    """Everything that a person can leave; the id of a list of theirs."""
    await client.put("/v1/users/" + user.replace(" ", "%20"), json={"attributes": {"mail": f"{user}@example.org"}})
    events = [{"user_id": user, "item_id": f"loud/{n}", "type": "like", "context": {"who": user}} for n in range(8)]
    assert (await client.post("/v1/events", json=events)).json()["accepted"] == 8
    given = (await client.post("/v1/recommendations", json={"user_id": user, "n": 3})).json()
    opinion = {
        "user_id": user,
        "recommendation_id": given["recommendation_id"],
        "verdict": "up",
        "text": f"I am {user}",
    }
    assert (await client.post("/v1/feedback", json=opinion)).status_code == 201
    listed: str = given["recommendation_id"]
    return listed


async def test_a_user_goes_in_and_out(client: httpx.AsyncClient) -> None:
    put = await client.put(PATH, json={"attributes": {"age": 40, "city": "Ulm"}})
    assert put.status_code == 200 and put.json()["user_id"] == TRACE
    assert (await client.get(PATH)).json() == put.json()
    patched = await client.patch(PATH, json={"attributes": {"age": None, "plan": "pro"}})
    assert patched.json()["attributes"] == {"city": "Ulm", "plan": "pro"}
    assert (await client.get("/v1/users/nobody")).status_code == 404
    assert (await client.put("/v1/users/u", json={"name": "x"})).json()["errors"][0]["loc"] == ["name"]


async def test_users_come_in_many_and_in_pages(client: httpx.AsyncClient) -> None:
    lines = "\n".join(f'{{"user_id": "u{n:03}", "attributes": {{"age": {n}, "city": "Ulm"}}}}' for n in range(50))
    answer = await client.post("/v1/users:import", content=lines + "\n{}")
    assert answer.json()["accepted"] == 50
    assert answer.json()["rejected"][0] == {"line": 51, "loc": ["user_id"], "msg": "is missing"}
    found: list[str] = []
    parameters: dict[str, Any] = {"limit": 7, "filter": "age >= 20", "q": "ulm"}
    while True:
        page = (await client.get("/v1/users", params=parameters)).json()
        found += [user["user_id"] for user in page["users"]]
        if page["next_cursor"] is None:
            break
        parameters["cursor"] = page["next_cursor"]
    assert found == [f"u{n:03}" for n in range(20, 50)]
    one = (await client.get("/v1/users", params={"filter": 'user_id == "u007"'})).json()
    assert [user["user_id"] for user in one["users"]] == ["u007"]
    everybody = (await client.get("/v1/users", params={"limit": 50})).json()
    assert len(everybody["users"]) == 50 and everybody["next_cursor"] is None


class TestErasure:
    async def test_no_trace_is_left(
        self, app: tuple[httpx.AsyncClient, Services], settings: Settings, tmp_path: Path
    ) -> None:
        client, services = app
        listed = await leave_traces(client)
        await leave_traces(client, "somebody else")

        async def logged() -> bool:
            return services.store.feedback.recommendation(DEFAULT_TENANT, listed) is not None

        await until(logged, 3)
        assert any(TRACE.encode() in path.read_bytes() for path in settings.state_dir.glob("tailorbird.db*"))
        # A list that is still in memory when the erasure begins must not come after it.
        late = (await client.post("/v1/recommendations", json={"user_id": TRACE})).json()["recommendation_id"]
        operation = await done(client, await client.delete(PATH))
        assert operation["kind"] == "erase_user" and TRACE not in str(operation)
        assert operation["result"] == {"events": 8, "users": 1, "feedback": 1, "recommendations": 1}
        await asyncio.sleep(1.0)  # the log has flushed
        assert services.store.feedback.recommendation(DEFAULT_TENANT, late) is None

        files = [path for path in settings.state_dir.rglob("*") if path.is_file()]
        assert any(path.suffix == ".db" for path in files)
        assert [path for path in files if TRACE.encode() in path.read_bytes()] == []
        assert (await client.get(PATH)).status_code == 404
        for address in ("/v1/users", "/v1/items", "/openapi.json", f"/v1/operations/{operation['operation_id']}"):
            assert TRACE not in (await client.get(address)).text
        stranger = (await client.post("/v1/recommendations", json={"n": 30})).json()
        again = (await client.post("/v1/recommendations", json={"user_id": TRACE, "n": 30})).json()
        assert again["items"] == stranger["items"]
        for kind, rows in (("events", 8), ("users", 1), ("items", 40)):
            out = tmp_path / f"{kind}.jsonl"
            assert export(services.store, DEFAULT_TENANT, kind, out) == rows
            assert TRACE not in out.read_text()

    async def test_a_stranger_can_be_erased_and_a_person_come_back(self, client: httpx.AsyncClient) -> None:
        operation = await done(client, await client.delete("/v1/users/nobody"))
        assert set(operation["result"].values()) == {0}
        await leave_traces(client)
        await done(client, await client.delete(PATH))
        event = {"user_id": TRACE, "item_id": "loud/1", "type": "like"}
        assert (await client.post("/v1/events", json=event)).json()["accepted"] == 1
        answer = await client.post("/v1/recommendations", json={"user_id": TRACE, "n": 500})
        assert {f"loud/{n}" for n in range(20)} - {entry["item_id"] for entry in answer.json()["items"]} == {"loud/1"}
        assert (await client.get("/v1/operations/none")).status_code == 404
        assert (await client.get("/v1/operations/a%00b")).status_code == 422
        assert (await client.delete("/v1/users/")).status_code == 422

    async def test_an_operation_survives_whoever_began_it(self, settings: Settings, shard: Shard) -> None:
        async with running_app(settings, shard) as (client, services):
            await leave_traces(client)
            await services.pool.write("operations", "begin", Operation("left", "erase_user", "running", 1, TRACE))
            assert (await client.get("/v1/operations/left")).json()["status"] == "running"
        async with running_app(settings, shard) as (client, services):

            async def finished() -> bool:
                return (await client.get("/v1/operations/left")).json()["status"] == "done"

            await until(finished, 5)
            assert services.store.events.of_users(DEFAULT_TENANT, [TRACE], 10).get(TRACE, []) == []
            with Store.open(settings, readonly=True) as store:
                operation = store.operations.get(DEFAULT_TENANT, "left")
            assert operation is not None and operation.subject is None

    async def test_a_living_replica_takes_up_what_one_that_is_gone_had_begun(
        self, settings: Settings, shard: Shard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operations, "LOOK_S", 0.1)
        async with running_app(settings, shard) as (client, services):
            await leave_traces(client)
            gone = asyncio.Event()

            async def lost(part: str, method: str, *args: Any) -> Any:
                if method == "erase_user":
                    await gone.wait()
                return await services.pool.write(part, method, *args)

            first = operations.Operations(services.store, lost, 0.0)
            monkeypatch.setattr(operations, "LOOK_S", 60.0)
            await first.start()
            begun = await first.erase_user(DEFAULT_TENANT, TRACE)
            await first.stop()

            async def finished() -> bool:
                return (await services.operations.get(DEFAULT_TENANT, begun.operation_id)).status == "done"

            await until(finished, 5)
            assert services.store.events.of_users(DEFAULT_TENANT, [TRACE], 10).get(TRACE, []) == []

    async def test_two_replicas_at_the_same_one_do_no_harm(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        client, services = app
        await leave_traces(client)
        await services.pool.write("operations", "begin", Operation("twice", "erase_user", "running", 1, TRACE))
        both = [operations.Operations(services.store, services.pool.write, 0.1) for _ in range(2)]
        for each in both:
            await each.start()

        async def finished() -> bool:
            return (await services.operations.get(DEFAULT_TENANT, "twice")).status == "done"

        await until(finished, 5)
        for each in both:
            await each.stop()
        assert (await services.operations.get(DEFAULT_TENANT, "twice")).result["events"] == 8

    async def test_a_reader_of_old_pages_delays_it(self, app: tuple[httpx.AsyncClient, Services]) -> None:
        """While the write-ahead log cannot be emptied the operation is not done."""
        client, services = app
        await leave_traces(client)
        with services.store.database.reading() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT count(*) FROM events").fetchall()
            answer = await client.delete(PATH)
            await asyncio.sleep(1.5)
            assert (await client.get(answer.headers["location"])).json()["status"] == "running"
            connection.exec_driver_sql("ROLLBACK")
        await done(client, answer)

    async def test_under_a_pseudonym_the_id_is_nowhere_from_the_start(self, settings: Settings, shard: Shard) -> None:
        settings = settings.model_copy(update={"pseudonymise_key": SecretStr("pseudonyms")})
        async with running_app(settings, shard) as (client, services):
            await client.put(PATH, json={"attributes": {"age": 40}})
            events = [{"user_id": TRACE, "item_id": "loud/1", "type": "like"}]
            assert (await client.post("/v1/events", json=events)).status_code == 202
            given = await client.post("/v1/recommendations", json={"user_id": TRACE})
            following = {"recommendation_id": given.json()["recommendation_id"], "user_id": TRACE}
            assert (await client.post("/v1/recommendations", json=following)).status_code == 200
            opinion = {"user_id": TRACE, "recommendation_id": "r", "verdict": "down"}
            assert (await client.post("/v1/feedback", json=opinion)).status_code == 201
            assert (await client.get(PATH)).json()["user_id"] == TRACE
            assert (await client.patch(PATH, json={"attributes": {"age": 41}})).json()["user_id"] == TRACE
            stored = services.identity.stored(DEFAULT_TENANT, TRACE)
            listed = (await client.get("/v1/users")).json()["users"]
            assert [(user["user_id"], user["attributes"]) for user in listed] == [(stored, {"age": 41})]
            await asyncio.sleep(1)
            assert not any(TRACE.encode() in path.read_bytes() for path in settings.state_dir.glob("*.db*"))
            operation = await done(client, await client.delete(PATH))
            assert operation["result"] == {"events": 1, "users": 1, "feedback": 1, "recommendations": 2}
            assert not any(stored.encode() in path.read_bytes() for path in settings.state_dir.glob("*.db*"))


async def test_lists_of_erased_people_are_not_logged_later(settings: Settings, shard: Shard) -> None:
    async with running_app(settings, shard) as (_, services):
        found = RankedList((RankedItem("loud/1", 1.0, "alike"),), "v1")
        before = services.log.record("default", found, "gone")
        other = services.log.record("default", found, "stays")
        await services.pool.write("retention", "erase", DEFAULT_TENANT, "gone")
        await services.log.stop()
        assert services.store.feedback.recommendation(DEFAULT_TENANT, before) is None
        assert services.store.feedback.recommendation(DEFAULT_TENANT, other) is not None


async def test_the_server_deletes_what_is_beyond_its_age(settings: Settings, shard: Shard) -> None:
    day_ms, now_ms = 86_400_000, time.time_ns() // 1_000_000
    settings = settings.model_copy(update={"retention": RetentionConfig(events_days=5, feedback_days=5)})
    async with running_app(settings, shard) as (client, services):
        for n, age in enumerate((0, 3, 10, 40)):
            made_ms = now_ms - age * day_ms
            event = {"user_id": "u", "item_id": "loud/1", "type": "view", "timestamp": made_ms / 1000}
            assert (await client.post("/v1/events", json=event)).status_code == 202
            await services.pool.write("feedback", "add", [Feedback(f"f{n}", made_ms)])
            await services.pool.write("feedback", "log_rows", [Recommendation(f"r{n}", made_ms, "v").row()])
        assert await services.housekeeper.prune() == {
            "events": 2,
            "feedback": 2,
            "recommendations": 1,
            "operations": 0,
        }
        assert set((await services.housekeeper.prune()).values()) == {0}
        assert services.store.events.count(DEFAULT_TENANT) == 2


async def test_the_housekeeper_goes_on_after_what_nobody_foresaw(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "FIRST_S", (0.0, 0.0))
    keeper = housekeeping.Housekeeper(settings, lambda *_: asyncio.sleep(0))
    pruned = asyncio.Event()
    times = 0

    async def prune() -> dict[str, int]:
        nonlocal times
        times += 1
        if times == 1:
            raise RuntimeError("nobody foresaw this")
        pruned.set()
        return {}

    monkeypatch.setattr(keeper, "prune", prune)
    task = asyncio.create_task(keeper._keep(0.01))
    await asyncio.wait_for(pruned.wait(), 5)
    task.cancel()
    assert "nobody foresaw this" in caplog.text
