"""The peers, as they are asked: each ranks better than chance on two tastes, and is tuned within its time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from graph.config import EventConfig
from graph.dataset import Interactions
from graph.evaluation import splits_of
from graph.fit import Content
from graph.metrics import ndcg
from graph.weights import EventWeights
from jobs.peers.base import Peer, lists_of, peer_lists, tune
from jobs.peers.registry import PEERS, peers_named

WEIGHTS = EventWeights({}, 1.0, (1.0, 5.0), EventConfig())


@pytest.fixture(scope="module")
def data() -> Interactions:
    """People of two tastes, 20 items each; within a taste some follow each other."""
    rng = np.random.default_rng(0)
    users, items, times = [], [], []
    for user in range(80):
        start = int(rng.integers(20))
        order = (start + np.arange(14) + (rng.random(14) < 0.2)) % 20
        for place, item in enumerate(dict.fromkeys(order.tolist())):
            users.append(f"u{user}")
            items.append(f"i{item + 20 * (user % 2)}")
            times.append(1000 + place)
    return Interactions.from_columns(users, items, WEIGHTS, times_ms=times)


@pytest.fixture(scope="module")
def content(data: Interactions) -> Content:
    taste = np.array([[int(item[1:]) < 20, int(item[1:]) >= 20] for item in data.item_ids], dtype=np.float32)
    noise = np.random.default_rng(1).random((len(taste), 6), dtype=np.float32) * 0.2
    return Content(taste, np.concatenate([taste, noise], axis=1))


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_every_peer_learns_the_tastes(peer: Peer, data: Interactions, content: Content) -> None:
    if reason := peer.missing(content):
        pytest.skip(reason)
    family = "cold-item" if peer.cold_items else "cold-session"
    views = ["cold-item"] if peer.cold_items else ["cold-session-3", "cold-session-5"]
    splits = splits_of(family, views, data, 0)
    choice = {view: {**peer.grid[0], "epochs": 12.0} for view in views}
    lists = peer_lists(peer, content, splits, choice, 0, 5)
    chance = np.random.default_rng(2)
    for view, split in splits.items():
        guess = lists_of(chance.random((len(split.users), data.shape[1])), split, 5, 0)
        found = ndcg(lists[view], split.truth, 5)
        if peer.name == "popularity":
            assert found > 0
        else:
            assert found > (1.1 if peer.cold_items else 1.25) * ndcg(guess, split.truth, 5)
        met = split.seen().toarray() > 0
        assert not any(met[row, item] for row, line in enumerate(lists[view]) for item in line if item >= 0)


def test_tuning_takes_the_best_and_keeps_its_time(data: Interactions, content: Content) -> None:
    splits = splits_of("random", ["random"], data, 3)

    def slow(train: Interactions, content: Content, choice: dict, seed: int):
        time.sleep(0.05)
        good = np.asarray(splits["random"].truth.sum(axis=0)).ravel()
        return lambda split: np.tile(good * choice["sign"], (len(split.users), 1))

    peer = Peer("test", "none", slow, ({"sign": -1.0}, {"sign": 1.0}, *({"sign": 0.0} for _ in range(100))))
    assert tune(peer, content, splits, 0, 10, 0.12)["random"] == {"sign": 1.0}
    start = time.monotonic()
    assert tune(peer, content, splits, 0, 10, 0.0)["random"] == {"sign": -1.0}
    assert time.monotonic() - start < 1.0


def test_a_peer_that_cannot_be_asked_says_why(data: Interactions, content: Content, tmp_path: Path) -> None:
    assert "pip install" in Peer("x", "", PEERS["ease"].fit, needs="no_such_package").missing(content)
    assert "text" in PEERS["text_knn"].missing(Content(content.hashed, None))
    assert [peer.name for peer in peers_named(None, True)] == ["popularity", "text_knn", "als_from_content"]
    assert "als" in [peer.name for peer in peers_named(None, False)]
