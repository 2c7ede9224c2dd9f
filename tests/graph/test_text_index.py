"""The index of text vectors against plain numpy, whatever was put, changed and dropped before."""

from __future__ import annotations

import numpy as np
import pytest

from graph import text_index
from graph.text_index import TextIndex

DIM = 32


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.normal(size=(n, DIM)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_an_empty_one_finds_nothing() -> None:
    index = TextIndex()
    assert index.search(np.ones(DIM, dtype=np.float32), 5) == [] and len(index) == 0
    assert index.vectors({"a": "x"}) == {} and index.digest("a") is None
    index.drop(["a"])
    index.put(["a"], ["x"], unit(np.random.default_rng(0), 1))
    index.drop(["a"])
    assert index.search(np.ones(DIM, dtype=np.float32), 5) == [] and len(index) == 0


@pytest.mark.parametrize("least", [1, 10_000])
def test_it_finds_what_numpy_finds(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With empty rows cut out all the time, and never."""
    monkeypatch.setattr(text_index, "MIN_EMPTY", least)
    rng = np.random.default_rng(1)
    index, kept = TextIndex(), dict[str, tuple[str, np.ndarray]]()
    for turn in range(30):
        ids = [f"i{n}" for n in rng.choice(120, size=12, replace=False)]
        digests, vectors = [f"{item_id}@{turn}" for item_id in ids], unit(rng, 12)
        index.put(ids, digests, vectors)
        kept |= dict(zip(ids, zip(digests, vectors, strict=True), strict=True))
        gone = [f"i{n}" for n in rng.choice(130, size=4, replace=False)]
        index.drop(gone)
        kept = {item_id: found for item_id, found in kept.items() if item_id not in gone}
    assert len(index) == len(kept) and all(index.digest(item_id) == kept[item_id][0] for item_id in kept)
    if least == 1:
        assert len(index._owners) < len(kept) * 1.3
    names, all_vectors = list(kept), np.stack([vector for _, vector in kept.values()])
    for query in unit(rng, 20):
        products = all_vectors @ query
        best = np.argsort(-products)[:7]
        found = index.search(query, 7)
        assert [item_id for item_id, _ in found] == [names[row] for row in best]
        assert [product for _, product in found] == pytest.approx(products[best].tolist(), abs=2e-3)
    assert len(index.search(unit(rng, 1)[0], 1000)) == len(kept)
    first, second = names[:2]
    found_vectors = index.vectors({first: kept[first][0], second: "another text", "unknown": "x"})
    assert list(found_vectors) == [first] and found_vectors[first].dtype == np.float32
    assert found_vectors[first] == pytest.approx(kept[first][1], abs=1e-3)


def test_many_empty_rows_in_front_hide_nothing() -> None:
    """One item that changed often without its vector changing: its old rows are nearest, and none is it."""
    index, rng = TextIndex(), np.random.default_rng(2)
    near, far = unit(rng, 2)
    index.put(["far"], ["x"], far[None])
    for turn in range(200):
        index.put(["near"], [str(turn)], near[None])
    assert [item_id for item_id, _ in index.search(near, 2)] == ["near", "far"]
