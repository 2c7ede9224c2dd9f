"""Versions: what is evaluated is what is served, swaps fail no request, broken ones change nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cluster.artifacts import MANIFEST, open_bundle
from cluster.messages import RankQuery, Version
from cluster.sessions import view_of_events
from cluster.store import Store, connect_store
from graph.ranking import Ranker
from jobs.model import graph_config_of
from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration

USERS = 200
SWAPS = 20
TENANT, NAME = "default", "graph"


@pytest.fixture
def store(server: Copy) -> Iterator[Store]:
    """The running copy's store; writes go through its session shard."""
    import ray

    opened = connect_store(server.settings)
    yield opened
    opened.close()
    ray.shutdown()


@pytest.fixture
def live(store: Store) -> Iterator[Version]:
    """The live version, live again afterwards."""
    version = store.registry.live(TENANT, NAME)
    assert version is not None
    yield version
    now = store.registry.live(TENANT, NAME)
    assert now is not None
    if now.version != version.version:
        store.registry.move(TENANT, NAME, version.version, now.version)


def publish_copy(store: Store, live: Version, name: str, change: Callable[[Path], None] | None = None) -> str:
    """Publish the live version's folder once more, under a new name, perhaps changed, and move the pointer to it."""
    name = f"{name}-{uuid.uuid4().hex[:8]}"
    source = Path(live.url)
    target = source.with_name(name)
    shutil.copytree(source, target)
    # Another manifest makes it another bundle: the node's cache knows bundles by their manifest.
    manifest = json.loads((target / MANIFEST).read_text())
    manifest["meta"] = {"copy": name}
    (target / MANIFEST).write_text(json.dumps(manifest))
    if change is not None:
        change(target)
    store.registry.publish(Version(NAME, name, str(target), time.time_ns() // 1_000_000))
    now = store.registry.live(TENANT, NAME)
    store.registry.move(TENANT, NAME, name, now.version if now else None)
    return name


def wait_for_version(api: httpx.Client, version: str, timeout_s: float = 15) -> None:
    end = time.monotonic() + timeout_s
    while api.get("/v1/popular", params={"n": 1}).json()["model_version"] != version:
        assert time.monotonic() < end, f"{version} does not serve after {timeout_s} s"
        time.sleep(0.1)


def test_what_is_served_trained_and_evaluated_is_one_configuration(server: Copy, live: Version, tmp_path: Path) -> None:
    folder = open_bundle(live.url, tmp_path)
    words = json.loads((folder / "model.json").read_text())
    manifest = json.loads((folder / MANIFEST).read_text())
    ran = server.run(
        "-m", "jobs.evaluate", "--data", "store", "--peers", "none", "--minutes", "0", "--out", str(tmp_path)
    )
    assert ran.returncode == 0, ran.stderr
    evaluated = json.loads(ran.stdout.splitlines()[-1])
    hashes = {
        words["config_hash"],
        words["meta"]["config_hash"],
        manifest["meta"]["config_hash"],
        evaluated["config_hash"],
        graph_config_of(server.settings).config_hash,
        Ranker.load(folder).model.config.config_hash,
    }
    assert len(hashes) == 1, hashes
    assert evaluated["unfinished"] == ["tailorbird random 0"]  # nothing is trained for this


@pytest.mark.parametrize("diversity", [0.0, 0.3])
def test_served_lists_equal_offline_lists(
    api: httpx.Client, server: Copy, store: Store, live: Version, tmp_path: Path, diversity: float
) -> None:
    ranker = Ranker.load(open_bundle(live.url, tmp_path), live.version)
    users = [str(number) for number in range(1, USERS + 1)]
    limit = server.settings.sessions.max_events_per_user
    events = store.events.of_users(TENANT, users, limit)
    views = [view_of_events(TENANT, user, events[user], limit) for user in users]
    offline = ranker.rank([RankQuery(view, 20, diversity=diversity) for view in views])
    for user, expected in zip(users, offline, strict=True):
        served = api.post("/v1/recommendations", json={"user_id": user, "n": 20, "diversity": diversity}).json()
        assert served["model_version"] == live.version
        assert [entry["item_id"] for entry in served["items"]] == [entry.item_id for entry in expected.items], user
        for entry, same in zip(served["items"], expected.items, strict=True):
            assert entry["score"] == pytest.approx(same.score, rel=1e-4, abs=1e-5)


def test_twenty_swaps_under_load_fail_no_request(api: httpx.Client, server: Copy, store: Store, live: Version) -> None:
    """Every other version has the items' names in the opposite order, so a list shows which of them made it."""
    stop = threading.Event()
    failures: list[str] = []
    lists: dict[tuple[str, int], set[tuple[str, ...]]] = {}

    def load(number: int) -> None:
        with server.client() as client:
            while not stop.is_set():
                answer = client.post("/v1/recommendations", json={"user_id": str(number), "n": 10})
                if answer.status_code != 200 or len(answer.json()["items"]) != 10:
                    failures.append(answer.text[:200])
                else:
                    items = tuple(entry["item_id"] for entry in answer.json()["items"])
                    lists.setdefault((answer.json()["model_version"], number), set()).add(items)

    threads = [threading.Thread(target=load, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        names = [
            publish_and_wait(api, store, live, f"swap-{number}", _turn_the_items if number % 2 == 0 else None)
            for number in range(SWAPS)
        ]
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not failures, failures[:3]
    assert set(names) <= {version for version, _ in lists}
    turned = frozenset(names[::2])
    for number in (1, 2):
        of_turned = set().union(*(made for (name, user), made in lists.items() if user == number and name in turned))
        of_others = set().union(
            *(made for (name, user), made in lists.items() if user == number and name not in turned)
        )
        assert len(of_turned) == len(of_others) == 1 and of_turned != of_others, (of_turned, of_others)


def publish_and_wait(
    api: httpx.Client, store: Store, live: Version, name: str, change: Callable[[Path], None] | None = None
) -> str:
    published = publish_copy(store, live, name, change)
    wait_for_version(api, published)
    return published


def _turn_the_items(folder: Path) -> None:
    """Each item takes the place of another."""
    file = folder / "items.json"
    turned = json.dumps(json.loads(file.read_text())[::-1]).encode()
    file.write_bytes(turned)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["items.json"] = {"bytes": len(turned), "sha256": hashlib.sha256(turned).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _flip_a_byte(folder: Path) -> None:
    file = max(folder.rglob("*.npy"), key=lambda path: path.stat().st_size)
    with file.open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 0xFF]))


def _lose_a_file(folder: Path) -> None:
    (folder / "items.json").unlink()


def _break_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


@pytest.mark.parametrize("harm", [_flip_a_byte, _lose_a_file, _break_the_manifest])
def test_a_broken_version_leaves_the_old_one_serving(
    api: httpx.Client, store: Store, live: Version, harm: Callable[[Path], None]
) -> None:
    wait_for_version(api, live.version)
    publish_copy(store, live, f"broken{harm.__name__}", harm)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        answer = api.post("/v1/recommendations", json={"user_id": "1"})
        assert answer.status_code == 200
        assert answer.json()["model_version"] == live.version
        assert api.get("/healthz/ready").status_code == 200
        time.sleep(0.2)
