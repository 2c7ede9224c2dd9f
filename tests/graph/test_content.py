from __future__ import annotations

import numpy as np
import pytest

from cluster.errors import ConfigError
from cluster.messages import Item
from graph.content import fit_content_map, hashed_features, words
from graph.modalities import reduced
from graph.text import TextEncoder, describe, find_encoder


def test_features_tell_items_apart_and_bring_like_ones_together() -> None:
    items = [
        Item("a", title="Night Train", categories=("Drama",), attributes={"year": 1990, "cast": ["Ann", "Bob"]}),
        Item("b", title="Night Bus", categories=("Drama",), attributes={"year": "1991", "cast": ["Ann"]}),
        Item("c", title="Laugh", categories=("Comedy",), attributes={"price": 3.5, "odd": None, "yes": True}),
        None,
        Item("e", title="夜の電車", categories=("Drama",)),
    ]
    found = hashed_features(items, 256)
    alike = found @ found.T
    assert np.diag(alike).tolist() == pytest.approx([1, 1, 1, 0, 1], abs=1e-5)
    assert alike[0, 1] > 0.5 > alike[0, 2] + 0.2
    assert alike[0, 4] > alike[0, 2]


def test_words_of_scripts_without_spaces_are_pairs_of_characters() -> None:
    assert words("Red Café 红色台灯 XL杯 2L") == {"red", "café", "红色", "色台", "台灯", "xl", "杯", "2l"}
    lamp, other_lamp, mug = hashed_features(
        [Item(str(n), title=t) for n, t in enumerate(("红色台灯", "木质台灯", "棉质毛巾"))], 256
    )
    assert lamp @ other_lamp > 0.25 > lamp @ mug


def test_new_items_are_expressed_by_their_like() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.eye(4, dtype=np.float32), 10, axis=0)
    text = rng.normal(size=(4, 8)).astype(np.float32).repeat(10, axis=0)
    popularity = np.arange(40.0)
    mapping = fit_content_map(kinds, text, popularity, 1.0, 30)
    assert len(mapping.anchors) == 30 and 0 not in mapping.anchors
    weights = mapping.express(np.eye(4, dtype=np.float32)[2:3])
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    assert kinds[mapping.anchors[weights[0].argsort()[-8:]]].argmax(axis=1).tolist() == [2] * 8
    both = mapping.express(np.eye(4, dtype=np.float32)[2:3], text[25:26])
    assert both.shape == weights.shape and both.sum() == pytest.approx(1.0, abs=1e-5)


def test_reduced_text_keeps_neighbours_and_missing_rows() -> None:
    text = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)
    text[7] = 0.0
    found = reduced(text, 20)
    assert found.shape == (50, 20) and not found[7].any()
    assert np.linalg.norm(found[0]) == pytest.approx(1.0, abs=1e-5)


def test_the_encoder_is_found_and_not_imported() -> None:
    assert find_encoder("none") is None
    folder = find_encoder("auto")
    assert folder is not None and (folder / "tokenizer.json").is_file()
    with pytest.raises(ConfigError, match="nowhere"):
        find_encoder("/nowhere")


def test_the_text_of_an_item() -> None:
    item = Item(
        "a", title="Alien", description="In space.", categories=("Horror",), attributes={"year": 1979, "x": [1]}
    )
    assert describe(item) == "Alien (1979). Horror. In space."


@pytest.mark.integration
def test_vectors_of_like_texts_are_alike() -> None:
    folder = find_encoder("auto")
    assert folder is not None
    encoder = TextEncoder(folder, threads=1)
    told: list[float] = []
    texts = ["A horror film in space", "Scary movie about aliens on a ship", "A recipe for apple pie", ""]
    found = encoder.encode(texts, batch=2, report=told.append)
    assert found.shape == (4, 384) == (4, encoder.dim) and found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4), abs=1e-4)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2
    assert told == [0.5, 1.0]
