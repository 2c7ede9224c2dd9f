"""What a later training begins with: the encoder's parameters, the gates, and up to when events were seen.

Nothing of it names a person. New items begin where their audience is: with the mean of what the same people met.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from graph.dataset import Pairs
from graph.model import Gate

FOLDER = "training"


@dataclass(frozen=True, eq=False)
class EncoderState:
    """The parameters: `source` and `target` (N, d) before propagation, `bias` (N,), `hops` (layers + 1, 2)."""

    source: np.ndarray
    target: np.ndarray
    bias: np.ndarray
    hops: np.ndarray


@dataclass(frozen=True, eq=False)
class Warm:
    """The state of a version.

    `gates` are those of all sources, before any are fused; `epochs` how long the encoder was trained in full;
    `until_ms` is the time of the newest event that was seen.
    """

    item_ids: tuple[str, ...]
    encoder: EncoderState
    gates: Mapping[str, Gate]
    epochs: int
    until_ms: int

    def save(self, folder: Path) -> None:
        """Write it into a version's folder."""
        place = folder / FOLDER
        place.mkdir(parents=True, exist_ok=True)
        for name, array in asdict(self.encoder).items():
            np.save(place / f"{name}.npy", np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
        words = {
            "gates": {name: asdict(gate) for name, gate in self.gates.items()},
            "epochs": self.epochs,
            "until_ms": self.until_ms,
        }
        (place / "state.json").write_text(json.dumps(words), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, item_ids: tuple[str, ...]) -> Warm | None:
        """That of a version, None when it has none or another number of items."""
        place = folder / FOLDER
        if not (place / "state.json").exists():
            return None
        words = json.loads((place / "state.json").read_text(encoding="utf-8"))
        names = ("source", "target", "bias", "hops")
        encoder = EncoderState(*(np.load(place / f"{name}.npy", allow_pickle=False) for name in names))
        if len(encoder.source) != len(item_ids):
            return None
        gates = {name: Gate(**gate) for name, gate in words["gates"].items()}
        return cls(item_ids, encoder, gates, words["epochs"], words["until_ms"])

    def grown(self, item_ids: tuple[str, ...], pairs: Pairs) -> Warm:
        """The same for these items: those that were known keep what they have, new ones get what their audience met."""
        place = {item_id: number for number, item_id in enumerate(self.item_ids)}
        old = np.array([place.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
        known = old >= 0
        users = pairs.positive
        seen = users[:, known]
        size = np.maximum(np.asarray(seen.sum(axis=1)), 1.0)
        new = users[:, ~known].T.tocsr()
        audience = np.maximum(np.asarray(new.sum(axis=1)), 1.0)
        popularity = np.asarray(users.sum(axis=0), dtype=np.float32).ravel()
        prior = np.log((popularity + 1.0) / (popularity.sum() + len(popularity))).astype(np.float32)

        def fill(values: np.ndarray) -> np.ndarray:
            out = np.zeros((len(item_ids), values.shape[1]), dtype=np.float32)
            out[known] = values[old[known]]
            if not known.all():
                out[~known] = (new @ ((seen @ out[known]) / size)) / audience
            return out

        # How much likelier than its popularity an item is was learnt; of new ones nothing is known but the popularity.
        bias = prior + (float(np.median(self.encoder.bias[old[known]] - prior[known])) if known.any() else 0.0)
        bias[known] = self.encoder.bias[old[known]]
        encoder = replace(
            self.encoder,
            source=fill(self.encoder.source),
            target=fill(self.encoder.target),
            bias=bias.astype(np.float32),
        )
        return replace(self, item_ids=item_ids, encoder=encoder)
