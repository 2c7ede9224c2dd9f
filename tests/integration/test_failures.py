"""Parts are killed under light load: the system heals by itself and nothing acknowledged is lost."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration

HEAL_S = 30


class Load:
    """Sends an event and asks for a list, over and over, from a few threads, and keeps what happened."""

    def __init__(self, server: Copy, threads: int = 3) -> None:
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.acknowledged: list[str] = []
        self.codes: Counter[str] = Counter()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    def _run(self, number: int) -> None:
        with self._server.client(timeout_s=40) as client:
            while not self._stop.is_set():
                event_id = uuid.uuid4().hex
                event = {"event_id": event_id, "user_id": f"load-{number}", "item_id": "50", "type": "view"}
                try:
                    answer = client.post("/v1/events", json=event)
                    self.codes[f"events {answer.status_code}"] += 1
                    if answer.status_code == 202:
                        self.acknowledged.append(event_id)
                    answer = client.post("/v1/recommendations", json={"user_id": f"load-{number}"})
                    whole = answer.status_code == 200 and len(answer.json()["items"]) == 10
                    self.codes[f"list {answer.status_code}{'' if whole else ' broken'}"] += 1
                except httpx.HTTPError as error:
                    self.codes[type(error).__name__] += 1
                time.sleep(0.05)


def wait_for(what: str, holds: object, timeout_s: float = HEAL_S) -> float:
    """Wait until `holds()` is true; the seconds that it took."""
    assert callable(holds)
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.2)
    return time.monotonic() - began


def exported(server: Copy, out: Path) -> list[str]:
    """The event ids in the export."""
    done = server.run("-m", "jobs.export", "--events", str(out))
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["event_id"] for line in out.read_text().splitlines()]


def kill(server: Copy, title: str) -> set[int]:
    """SIGKILL every process with this title; their ids."""
    found = server.processes(title)
    assert found, f"no process {title!r}"
    for process in found:
        process.kill()
    psutil.wait_procs(found, timeout=10)
    return {process.pid for process in found}


def test_a_killed_session_shard_comes_back_with_its_state(server: Copy, api: httpx.Client, tmp_path: Path) -> None:
    user = f"keeper-{uuid.uuid4().hex}"
    liked = [{"user_id": user, "item_id": item, "type": "like"} for item in ("50", "172", "181")]
    assert api.post("/v1/events", json=liked).status_code == 202
    before = api.post("/v1/recommendations", json={"user_id": user}).json()
    with Load(server) as load:
        time.sleep(1)
        killed = kill(server, "ray::SessionShard")
        wait_for("a new shard", lambda: {p.pid for p in server.processes("ray::SessionShard")} - killed)
        wait_for("an event", lambda: api.post("/v1/events", json={**liked[0], "user_id": "other"}).status_code == 202)
        time.sleep(2)
    after = api.post("/v1/recommendations", json={"user_id": user}).json()
    assert not after["degraded"]
    assert [entry["item_id"] for entry in after["items"]] == [entry["item_id"] for entry in before["items"]]
    stored = Counter(exported(server, tmp_path / "events.jsonl"))
    assert not set(load.acknowledged) - set(stored), "acknowledged events are missing"
    assert max(stored.values()) == 1
    assert load.acknowledged and set(load.codes) <= {"events 202", "list 200", "events 503", "events 429"}, load.codes


def test_a_killed_writer_comes_back(server: Copy, api: httpx.Client) -> None:
    body = {"kind": "pitch", "user_id": "42", "item_id": "50"}
    assert api.post("/v1/content", json=body).status_code == 200

    def generated() -> bool:
        answer = api.post("/v1/content", json={**body, "timeout_ms": 15_000})
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["model"])

    with Load(server) as load:
        killed = kill(server, "ray::ServeReplica:tailorbird:Writer")
        wait_for("a new writer", lambda: {p.pid for p in server.processes("Replica:tailorbird:Writer")} - killed)
        wait_for("the engine's state", lambda: "q4_1" in api.get("/v1/models").text)
        assert generated()
    assert set(load.codes) == {"events 202", "list 200"}, load.codes


def test_a_writer_killed_in_the_middle_of_a_text_ends_it_by_the_template(server: Copy, api: httpx.Client) -> None:
    body = {"kind": "pitch", "user_id": "42", "item_id": "56", "stream": True, "max_tokens": 200}
    text = ""
    with server.client(timeout_s=60) as client, client.stream("POST", "/v1/content", json=body) as stream:
        for chunk in stream.iter_text():
            if "event: text" not in text and "event: text" in text + chunk:
                kill(server, "ray::ServeReplica:tailorbird:Writer")
            text += chunk
    names = [line for line in text.splitlines() if line.startswith("event: ")]
    assert names[-1] == "event: done" and names.count("event: done") == 1 and "event: error" not in names, text
    wait_for("the engine's state", lambda: "q4_1" in api.get("/v1/models").text)
