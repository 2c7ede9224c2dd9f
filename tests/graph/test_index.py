"""The index over items: several lists, the share of them that is read, search among what is allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import graph.index
from graph.index import LANES, build_index, lists_of, load_index, save_index, search

ITEMS, DIM = 4_000, 24


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Items of twenty kinds, of different lengths."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(20, DIM))
    made = centres[rng.integers(20, size=ITEMS)] + 0.3 * rng.normal(size=(ITEMS, DIM))
    return (made * rng.uniform(0.5, 2.0, size=(ITEMS, 1))).astype(np.float32)


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes of so few items have several lists."""
    monkeypatch.setattr(graph.index, "FLAT_ITEMS", 100)


def exact(vectors: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :count]


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def queries_of(vectors: np.ndarray) -> np.ndarray:
    return vectors[:: ITEMS // 40] + 0.1


def test_few_items_are_one_list_and_found_exactly(vectors: np.ndarray) -> None:
    assert lists_of(graph.index.FLAT_ITEMS) == 1 and lists_of(1_000_000) == 2_000
    index = build_index(vectors, probe_share=0.01)
    assert (index.nlist, index.nprobe, index.d % LANES) == (1, 1, 0)
    scores, items = search(index, queries_of(vectors), 20)
    assert recall(items, exact(vectors, queries_of(vectors), 20)) > 0.99
    assert np.allclose(scores, np.take_along_axis(queries_of(vectors) @ vectors.T, items, axis=1), rtol=2e-3, atol=2e-2)
    assert search(index, queries_of(vectors), ITEMS + 5)[1].shape == (len(queries_of(vectors)), ITEMS)


@pytest.mark.usefixtures("several")
def test_a_share_of_the_lists_is_read_and_more_finds_more(vectors: np.ndarray) -> None:
    queries, found = queries_of(vectors), {}
    truth = exact(vectors, queries, 20)
    for share in (0.01, 0.125, 1.0):
        index = build_index(vectors, share)
        assert index.nlist == int(2 * np.sqrt(ITEMS)) and index.nprobe == max(1, round(index.nlist * share))
        found[share] = recall(search(index, queries, 20)[1], truth)
    assert found[0.01] < found[0.125] <= found[1.0]
    assert found[0.125] > 0.8 and found[1.0] > 0.99


@pytest.mark.usefixtures("several")
def test_among_the_allowed_all_lists_are_read(vectors: np.ndarray) -> None:
    queries = queries_of(vectors)
    allowed = np.random.default_rng(0).random(ITEMS) < 0.01
    index = build_index(vectors, 0.01)
    _, items = search(index, queries, 10, allowed)
    assert allowed[items[items >= 0]].all()
    truth = np.flatnonzero(allowed)[exact(vectors[allowed], queries, 10)]
    assert recall(items, truth) > 0.99
    few = np.zeros(ITEMS, dtype=bool)
    few[[7, ITEMS - 1]] = True
    _, items = search(index, queries, 10, few)
    assert {frozenset(row[row >= 0].tolist()) for row in items} == {frozenset([7, ITEMS - 1])}
    assert (search(index, queries, 10, np.zeros(ITEMS, dtype=bool))[1] == -1).all()


@pytest.mark.usefixtures("several")
def test_a_mapped_index_finds_the_same(vectors: np.ndarray, tmp_path: Path) -> None:
    index = build_index(vectors, 0.2)
    save_index(index, tmp_path / "index.faiss")
    loaded = load_index(tmp_path / "index.faiss")
    assert loaded.nprobe == index.nprobe
    queries = queries_of(vectors)
    for allowed in (None, np.arange(ITEMS) % 3 == 0):
        assert np.array_equal(search(loaded, queries, 15, allowed)[1], search(index, queries, 15, allowed)[1])
