"""Text vectors are kept beside the versions, on a disk and in a bucket, and made once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from cluster.config import Settings
from cluster.messages import Item
from cluster.text_vectors import digest_of
from graph.config import GraphConfig
from jobs import embedding
from jobs.embedding import BATCH_TEXTS, TextVectors, text_vectors
from jobs.refresh import ray_for


def vectors_of(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def put(kept: TextVectors, *texts: str) -> None:
    kept.put([digest_of(text) for text in texts], vectors_of(list(texts)))


@pytest.mark.parametrize("place", ["disk", "memory://bucket/x"])
def test_they_are_found_again(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path) if place == "disk" else place
    put(TextVectors(url, "one"), "a", "é")
    again = TextVectors(url, "one")
    assert "a" in again and "b" not in again and again["é"].tolist() == [1.0, 1.0]
    assert "a" not in TextVectors(url, "another encoder")
    monkeypatch.setattr(embedding, "MANY_FILES", 2)
    put(again, "b")
    put(again, "cc")
    again.compact(["a", "cc"])
    last = TextVectors(url, "one")
    assert "a" in last and "b" not in last and last["cc"].tolist() == [2.0, 1.0] and len(last._files) == 1
    fsspec.filesystem("memory").store.clear()


def test_a_broken_file_is_left_out(tmp_path: Path) -> None:
    put(TextVectors(str(tmp_path), "one"), "a")
    (tmp_path / "text-vectors" / "one" / "broken.parquet").write_bytes(b"broken")
    kept = TextVectors(str(tmp_path), "one")
    assert "a" in kept and len(kept._files) == 1


def test_only_what_is_new_or_changed_is_embedded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Counting:
        def __init__(self, folder: str, threads: int) -> None: ...

        def __call__(self, batch: dict[str, list[str]]) -> dict[str, np.ndarray]:
            asked.extend(batch["text"])
            return {
                "digest": np.array([digest_of(text) for text in batch["text"]]),
                "vector": vectors_of(batch["text"]),
            }

    monkeypatch.setattr(embedding, "Embedder", Counting)
    items = {f"i{n}": Item(f"i{n}", title=f"Title {n % 2}") for n in range(4)}
    first = text_vectors(items, GraphConfig(), settings)
    assert len(first) == 4 and len(asked) == 2
    items["i4"] = Item("i4", title="New")
    items["i0"] = Item("i0", title="Changed")
    asked.clear()
    second = text_vectors(items, GraphConfig(), settings)
    assert sorted(asked) == ["Changed", "New"] and second["i1"].tolist() == first["i1"].tolist()
    asked.clear()
    text_vectors(items, GraphConfig(), settings)
    assert asked == []
    assert text_vectors(items, GraphConfig.model_validate({"content": {"encoder": "none"}}), settings) == {}


class Mortal:
    """Stands for the encoder in an actor. The first that there is dies at its first batch."""

    def __init__(self, folder: str, threads: int) -> None:
        self._grave = Path(folder) / "grave"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if not self._grave.exists():
            self._grave.touch()
            os._exit(1)
        texts = [str(text) for text in batch["text"]]
        return {"digest": np.array([digest_of(text) for text in texts]), "vector": vectors_of(texts)}


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray Data about itself
def test_a_lost_actor_is_replaced_and_nothing_else_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedding, "Embedder", Mortal)
    monkeypatch.setattr(embedding, "find_encoder", lambda name: tmp_path)
    items = {f"i{n}": Item(f"i{n}", title=f"Title {n}") for n in range(6 * BATCH_TEXTS)}
    with ray_for(settings):
        found = text_vectors(items, GraphConfig(), settings)
    assert len(found) == len(items) and (tmp_path / "grave").exists()
    said = capfd.readouterr().err
    assert "an actor that embeds texts was lost" in said
    for noise in ("constructor arguments", "Starting execution", "Progress bars", "Running Dataset"):
        assert noise not in said, said
