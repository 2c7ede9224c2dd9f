"""Text vectors of the catalogue: kept beside the versions, so that only new and changed texts are embedded again.

Every run adds a file (`cluster.text_vectors`). In a Ray job the texts go through a pool of actors, each with an encoder
of its own.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.config import Settings
from cluster.messages import Item
from cluster.text_vectors import VectorFiles, digest_of
from graph.config import GraphConfig
from graph.text import TextEncoder, encoder_name, find_encoder
from graph.text import describe as text_of
from jobs.common import progress, quieten_ray_data, say

BATCH_TEXTS = 256
ACTOR_CPUS = 0.5
TRIES = 3
"""How often the pool is made anew after an actor was lost with its node, say: what it had embedded is kept."""
MANY_FILES = 16
"""With more files than this they are made one, without the vectors of texts that nothing has any more."""


class TextVectors:
    """The vectors of one encoder, by the digest of the text."""

    def __init__(self, url: str, encoder: str) -> None:
        self._kept = VectorFiles(url, encoder)
        self._files: list[str] = []
        self._vectors: dict[str, np.ndarray] = {}
        for path in self._kept.paths():
            found = len(self._files)
            for digests, vectors in self._kept.read(path):
                self._vectors |= dict(zip(digests, vectors, strict=True))
                self._files[found:] = [path]  # only what can be read is ours to remove

    def __contains__(self, text: str) -> bool:
        return digest_of(text) in self._vectors

    def __getitem__(self, text: str) -> np.ndarray:
        return self._vectors[digest_of(text)]

    def put(self, digests: Sequence[str], vectors: np.ndarray) -> None:
        """Add vectors (n, d) and keep them."""
        self._vectors |= dict(zip(digests, vectors, strict=True))
        self._files.append(self._kept.write(digests, vectors))

    def compact(self, texts: Sequence[str]) -> None:
        """Of many files make one, with what these texts need."""
        if len(self._files) <= MANY_FILES:
            return
        old = self._files
        self._vectors = {digest: self._vectors[digest] for digest in {digest_of(text) for text in texts}}
        self._files = [self._kept.write(list(self._vectors), np.stack(list(self._vectors.values())))]
        for path in old:
            self._kept.remove(path)


class Embedder:
    """A member of the pool: loads the encoder once, embeds batch after batch."""

    def __init__(self, folder: str, threads: int) -> None:
        self._encoder = TextEncoder(Path(folder), threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """`text` (n,) -> `digest` (n,) and `vector` (n, d)."""
        texts = [str(text) for text in batch["text"]]
        return {"digest": np.array([digest_of(text) for text in texts]), "vector": self._encoder.encode(texts)}


def text_vectors(items: Mapping[str, Item], config: GraphConfig, settings: Settings) -> dict[str, np.ndarray]:
    """Text vectors of the catalogue by item id, none without an encoder. Where Ray runs a pool of actors embeds."""
    folder = find_encoder(config.content.encoder)
    if folder is None or not items:
        return {}
    kept = TextVectors(settings.resolved_artifacts_url, encoder_name(folder))
    texts = {item_id: text_of(item) for item_id, item in items.items()}
    missing = sorted({text for text in texts.values() if text and text not in kept})
    say(f"{len(missing):,} new or changed texts of {len(texts):,} items")
    if missing:
        with progress("text vectors", total=len(missing), unit="texts") as report:
            batches = _by_pool if _in_ray() else _here
            done = 0
            for digests, vectors in batches(missing, folder, config.encoder.threads):
                kept.put(digests, vectors)
                done += len(digests)
                report(done)
    kept.compact([text for text in texts.values() if text])
    return {item_id: kept[text] for item_id, text in texts.items() if text}


def _here(texts: Sequence[str], folder: Path, threads: int) -> Any:
    encoder = Embedder(str(folder), threads)
    found = encoder({"text": texts})
    yield found["digest"].tolist(), found["vector"]


def _by_pool(texts: Sequence[str], folder: Path, threads: int) -> Any:
    from ray.exceptions import RayActorError

    for tries_left in reversed(range(TRIES)):
        done: set[str] = set()
        try:
            for digests, vectors in _pool(texts, folder, threads):
                yield digests, vectors
                done |= set(digests)
            return
        except RayActorError as error:
            if not tries_left:
                raise
            say(f"an actor that embeds texts was lost; another goes on: {error}")
        texts = [text for text in texts if digest_of(text) not in done]


def _pool(texts: Sequence[str], folder: Path, threads: int) -> Any:
    import ray
    from ray.util.annotations import RayDeprecationWarning

    quieten_ray_data()
    step = BATCH_TEXTS * 4
    tables = [pa.table({"text": list(texts[start : start + step])}) for start in range(0, len(texts), step)]
    most = max(1, min(len(tables), int(ray.cluster_resources().get("CPU", 1.0))))
    embedder: Any = Embedder
    with warnings.catch_warnings():
        # Ray Data has no other way to say so as yet.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        dataset = ray.data.from_arrow(tables).map_batches(
            embedder,
            fn_constructor_kwargs={"folder": str(folder), "threads": threads},
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=ACTOR_CPUS,
            batch_size=BATCH_TEXTS,
            ray_remote_args_fn=_once,
        )
    digests: list[str] = []
    vectors: list[np.ndarray] = []
    batches: Any = dataset.iter_batches(batch_size=None, batch_format="numpy")
    for batch in batches:
        digests += batch["digest"].tolist()
        vectors.append(np.stack(list(batch["vector"])))
        if len(digests) >= 50 * BATCH_TEXTS:  # a job that is killed later begins here
            yield digests, np.concatenate(vectors)
            digests, vectors = [], []
    if digests:
        yield digests, np.concatenate(vectors)


def _once() -> dict[str, int]:
    """Actors are not restarted: of those whose arguments are in the object store, as Ray Data's are, Ray complains."""
    return {"max_restarts": 0, "max_task_retries": 0}


def _in_ray() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()
