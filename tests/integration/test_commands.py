"""`tailorbird keys`, `tailorbird export` and the jobs of a tenant, as their users type them, beside a running copy."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Copy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SEEN_S = 3.0
"""A key that comes or goes counts within a second; a busy machine may take longer."""


def keys(server: Copy, *arguments: str) -> Any:
    done = server.command("keys", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def status(server: Copy, key: str, path: str = "/v1/session", method: str = "GET", **given: Any) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, server.url + path, headers=headers, timeout=30, trust_env=False, **given).status_code


def within(seconds: float, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def tenant() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def test_a_key_from_its_making_to_its_end(server: Copy, api: httpx.Client, tenant: str) -> None:
    made = keys(server, "create", "the shop", "--tenant", tenant, "--scope", "read", "--limit", "1000/second")
    key, key_id = made.pop("key"), made["key_id"]
    assert made["scopes"] == ["read"] and made["limits"] == ["1000/second"] and made["tenant"] == tenant
    within(SEEN_S, lambda: status(server, key) == 200)
    assert status(server, key, "/v1/events", "POST", json={}) == 403
    assert keys(server, "list", "--tenant", tenant) == [made]
    assert api.get("/v1/admin/keys", params={"tenant": tenant}).json()["keys"] == [made], "one form of a key everywhere"
    shown = server.command("keys", "list", "--tenant", tenant).stdout
    assert key_id[:6] in shown and "valid" in shown and key not in shown

    at_once = keys(server, "rotate", key_id, "--grace", "0")
    assert at_once["replaces"] == key_id and at_once["scopes"] == ["read"]
    within(SEEN_S, lambda: (status(server, key), status(server, at_once["key"])) == (401, 200))
    later = keys(server, "rotate", at_once["key_id"], "--grace", "1")
    within(SEEN_S, lambda: (status(server, at_once["key"]), status(server, later["key"])) == (200, 200))

    assert "is revoked" in server.command("keys", "revoke", later["key_id"]).stderr
    within(SEEN_S, lambda: status(server, later["key"]) == 401)
    assert "was revoked before" in server.command("keys", "revoke", later["key_id"]).stderr
    states = {one["key_id"]: (one["is_valid"], one["revoked_at"] is not None) for one in keys(server, "list")}
    assert states[key_id] == (False, False) and states[at_once["key_id"]] == (True, False)
    assert states[later["key_id"]] == (False, True)

    acts = api.get("/v1/admin/audit", params={"tenant": tenant}).json()["entries"]
    acted = [entry["action"] for entry in acts][::-1]
    assert acted == ["key.create", "key.rotate", "key.rotate", "key.revoke"], "what changed nothing is no act"
    assert all(entry["actor"].startswith("cli:") for entry in acts)
    assert key not in json.dumps(acts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "a", "--scope", "fly"], "scopes are some of read, write, admin"),
        (["create", "a", "--tenant", "Not A Tenant"], "a tenant is 1 to 64"),
        (["create", "a", "--limit", "often"], "is not a rate"),
        (["create", "a", "--expires", "2001-01-01T00:00:00Z"], "is in the past"),
        (["create", ""], "a name has 1 to 100"),
        (["revoke", "no-such-key"], "no-such-key"),
        (["rotate", "no-such-key"], "no-such-key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(server: Copy, arguments: list[str], said: str) -> None:
    done = server.command("keys", *arguments)
    assert done.returncode == (1 if "no-such-key" in arguments else 2), done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) <= 2, done.stderr


def test_a_person_is_handed_out(server: Copy, api: httpx.Client, tmp_path: Path) -> None:
    person = f"export/{uuid.uuid4().hex} é"
    event = {"user_id": person, "item_id": "50", "type": "like", "context": {"note": "mine"}}
    assert api.post("/v1/events", json=event).json()["accepted"] == 1
    out = tmp_path / "person.jsonl"
    done = server.command("export", person, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o077 == 0, "only its owner may read it"
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    (found,) = [line for line in lines if line["kind"] == "event"]
    assert found["item_id"] == "50" and found["context"] == {"note": "mine"}
    # The audit log has an entry more each time; what is stored of the person is the same.
    assert server.command("export", person).stdout == out.read_text()
    nobody = server.command("export", f"nobody-{uuid.uuid4().hex}")
    assert nobody.returncode == 0 and '"kind":"event"' not in nobody.stdout
    lost = server.command("export", person, "--out", str(tmp_path / "none" / "person.jsonl"))
    assert lost.returncode == 2 and "cannot be written" in lost.stderr


PEOPLE, THINGS = 30, 12


@pytest.fixture(scope="module")
def acme(server: Copy, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A tenant with a catalogue and events, brought in by `jobs.ingest`; and a key of it."""
    tenant, folder = f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("acme")
    key = keys(server, "create", "jobs", "--tenant", tenant, "--scope", "read", "--scope", "write")["key"]
    items, events = folder / "items.jsonl", folder / "events.jsonl"
    things = [{"item_id": f"{tenant}-{n}", "title": f"Thing {n}"} for n in range(THINGS)]
    items.write_text("".join(json.dumps(thing) + "\n" for thing in things))
    met = [(person, item) for person in range(PEOPLE) for item in range(THINGS) if (person + item) % 3]
    views = [
        {"user_id": f"p{person}", "item_id": f"{tenant}-{item}", "type": "view", "timestamp": 1.7e9 + place}
        for place, (person, item) in enumerate(met)
    ]
    events.write_text("".join(json.dumps(view) + "\n" for view in views))
    job(server, "ingest", "--items", str(items), "--events", str(events), "--tenant", tenant)
    return tenant, key


def job(server: Copy, name: str, *arguments: str) -> dict[str, Any]:
    """The result of `python -m jobs.NAME ARGUMENTS`."""
    done = server.run("-m", f"jobs.{name}", *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def listed(server: Copy, key: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    asked = {"user_id": "p1", "n": 50, "include_seen": True}
    answer = httpx.post(f"{server.url}/v1/recommendations", headers=headers, json=asked, timeout=30, trust_env=False)
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


def test_a_tenants_data_goes_in_and_out_alone(server: Copy, acme: tuple[str, str], tmp_path: Path) -> None:
    tenant, key = acme
    out, others = tmp_path / "out.jsonl", tmp_path / "others.jsonl"
    rows = job(server, "export", "--events", str(out), "--tenant", tenant)["events"]["rows"]
    assert rows == PEOPLE * THINGS * 2 // 3 and all(tenant in line for line in out.read_text().splitlines())
    job(server, "export", "--items", str(others))
    assert tenant not in others.read_text()
    within(
        SEEN_S,
        lambda: {one["item_id"] for one in listed(server, key)["items"]} == {f"{tenant}-{n}" for n in range(THINGS)},
    )
    wrong = server.run("-m", "jobs.prune", "--tenant", "../../etc")
    assert wrong.returncode == 2 and "a tenant is 1 to 64" in wrong.stderr


def test_a_tenants_version_is_trained_beside_the_copy_and_serves_it_alone(server: Copy, acme: tuple[str, str]) -> None:
    tenant, key = acme
    version = job(server, "refresh", "--force", "--tenant", tenant)["version"]
    within(15, lambda: listed(server, key)["model_version"] == version)
    with server.client() as client:
        assert client.get("/v1/popular").json()["model_version"] != version
    assert job(server, "promote", "--list", "--tenant", tenant)["live"] == version
    assert job(server, "prune", "--keep", "0", "--tenant", tenant)["removed"] == []
