"""The catalogue by meaning on the running copy: it keeps up, and nobody misses it while it is away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from cluster.launch import ROOT
from tests.integration.conftest import Copy
from tests.integration.test_failures import Load, kill, wait_for

pytestmark = pytest.mark.integration

Ask = Callable[..., list[str]]
FINDER = "ray::ServeReplica:tailorbird:Finder"
HEAL_S = 90
"""It is started again within seconds; loading the encoder goes last on a busy machine."""


@pytest.fixture(scope="module")
def ask(server: Copy) -> Iterator[Ask]:
    """Asks what is nearest in meaning to a text: ids, best first."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.integration.ask_finder"],
        cwd=ROOT,
        env=server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        assert stdout.readline() == "ready\n"

        def nearest(text: str, n: int = 5, tenant: str = "default") -> list[str]:
            stdin.write(json.dumps([tenant, text, n]) + "\n")
            stdin.flush()
            return [item_id for item_id, _ in json.loads(stdout.readline())]

        yield nearest
        stdin.close()
        process.wait(20)


@pytest.fixture
def tailors(api: httpx.Client) -> Iterator[str]:
    """An item that tells of something which no film of the demo tells of, and not in its title."""
    item_id = f"found-{uuid.uuid4().hex}"
    item = {"title": "Needle and Thread", "description": "A seamstress in Lisbon sews gowns for the opera."}
    assert api.put(f"/v1/items/{item_id}", json=item).status_code in (200, 201)
    yield item_id
    assert api.delete(f"/v1/items/{item_id}").status_code in (200, 204)


def test_a_new_item_is_found_within_seconds_and_changes(api: httpx.Client, ask: Ask, tailors: str) -> None:
    wait_for("the encoder", lambda: ask("a film about space") != [], HEAL_S)
    took = wait_for("the new item", lambda: tailors in ask("dressmaker of costumes for singers in Portugal"), 5)
    assert took < 3
    changed = {"title": "Needle and Thread", "description": "Surgeons race to save a patient in an Arctic station."}
    api.put(f"/v1/items/{tailors}", json=changed).raise_for_status()
    wait_for("the change", lambda: tailors in ask("doctors operate in the polar cold"), 5)
    assert tailors not in ask("dressmaker of costumes for singers in Portugal")
    assert ask("doctors operate in the polar cold", tenant="somebody-else") == []


def test_a_killed_finder_is_missed_by_nobody_and_comes_back(server: Copy, api: httpx.Client, ask: Ask) -> None:
    wait_for("the encoder", lambda: ask("a film about space") != [], HEAL_S)
    before = ask("a film about space", 10)
    with Load(server, threads=2) as load:
        killed = kill(server, FINDER)
        began = time.monotonic()
        for text in ("Something about the sea", "Not horror, please"):
            said = {"messages": [{"role": "user", "content": text}], "max_tokens": 40}
            answer = api.post("/v1/chat/completions", json=said)
            assert answer.status_code == 200 and answer.json()["tailorbird"]["item_ids"], answer.text
        assert ask("a film about space") == [] or time.monotonic() - began > 5  # it was away
        wait_for("a new finder", lambda: {p.pid for p in server.processes(FINDER)} - killed)
        wait_for("that it finds", lambda: ask("a film about space", 10) == before, HEAL_S)
    assert set(load.codes) == {"events 202", "list 200"}, load.codes
