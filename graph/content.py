"""What is known of an item before anybody met it, and what follows from it for its behaviour.

Features are hashed words, categories, tags and attributes, for which numpy suffices, and a text vector where there is
one. A kernel ridge regression expresses any item as a weighted sum of anchors, the items with most events: whatever
holds of the anchors (vectors, biases, rows of item-item matrices) is carried over to the new item by the same weights,
so that scores of new items fall apart into contributions as those of old ones do. The kernel is exp(likeness) - 1,
where the likeness is that of the facts plus that of the texts, each weighed: what two items share counts more where
they share much else. Where the owner gives vectors of further modalities, what each counts is learnt
(`graph.modalities`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.linalg

from cluster.messages import Item
from graph.modalities import (
    FACTS,
    FACTS_COUNT,
    OWN,
    TEXT,
    TEXT_COUNT,
    Carried,
    Fusion,
    carried,
    centre_of,
    centred,
)

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
"""Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, kana, Chinese."""
FIELD_WEIGHTS = {"word": 0.4, "category": 1.0, "tag": 0.8, "attribute": 0.7, "step": 0.5}


@lru_cache(maxsize=200_000)
def _bucket(token: str, buckets: int) -> tuple[int, float]:
    digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    return number % buckets, 1.0 if number >> 63 else -1.0


def words(text: str) -> set[str]:
    """The words of a text. Where they are written without spaces, each two neighbouring characters stand for one."""
    found = set()
    for run in _WORD.findall(text.lower()):
        for place, part in enumerate(_UNSPACED.split(run)):
            if place % 2 and len(part) > 1:
                found |= {part[start : start + 2] for start in range(len(part) - 1)}
            elif part:
                found.add(part)
    return found


def tokens(item: Item) -> Iterator[tuple[str, float]]:
    """The tokens of an item's facts with their weights. A number lies between two steps of a coarse scale, softly."""
    for word in words(f"{item.title} {item.description}"):
        yield f"word={word}", FIELD_WEIGHTS["word"]
    for category in item.categories:
        yield f"category={category.lower()}", FIELD_WEIGHTS["category"]
    for tag in item.tags:
        yield f"tag={tag.lower()}", FIELD_WEIGHTS["tag"]
    for name, value in item.attributes.items():
        number = _number(value)
        if number is not None:
            yield from _steps(name, number)
        elif isinstance(value, str) and value:
            yield f"{name}={value.lower()}", FIELD_WEIGHTS["attribute"]
        elif isinstance(value, list | tuple):
            for part in value[:20]:
                yield f"{name}={str(part).lower()}", FIELD_WEIGHTS["attribute"]


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,12}(\.\d+)?", value):
        return float(value)
    return None


def _steps(name: str, number: float) -> Iterator[tuple[str, float]]:
    # Years differ by single units, prices by factors: a linear scale for the former, a logarithmic one otherwise.
    year = 1800 <= number <= 2200
    scale = number - 1800 if year else float(np.sign(number) * np.log1p(abs(number)) * 2)
    for width in (3.0, 10.0) if year else (1.0,):
        place = scale / width
        lower = int(np.floor(place))
        for step, share in ((lower, 1 - (place - lower)), (lower + 1, place - lower)):
            if share > 0:
                yield f"{name}~{width}:{step}", FIELD_WEIGHTS["step"] * share


def hashed_features(items: Sequence[Item | None], buckets: int) -> np.ndarray:
    """(n, buckets) float32, unit length (zero for None and for items that nothing is known of)."""
    out = np.zeros((len(items), buckets), dtype=np.float32)
    for row, item in enumerate(items):
        for token, weight in tokens(item) if item else ():
            bucket, sign = _bucket(token, buckets)
            out[row, bucket] += sign * weight
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


@dataclass(frozen=True, eq=False)
class ContentMap:
    """Expresses items by anchors.

    `anchors` (A,) are item numbers, `inverse` (A, A) that of their ridged kernel; `hashed` (A, F) are their features,
    times what the likeness of facts counts. Where there are text vectors, `text` (A, T) are theirs, less the `centre`
    (T,), of unit length, or zero, and times what the likeness of texts counts.

    Where items carry vectors of their owner's, `fusion` says what each modality counts: `hashed`, `text` and `vectors`
    (A, D), by the owner's name, are the parts of the anchors' joined vectors, and there is no `centre`.
    """

    anchors: np.ndarray
    inverse: np.ndarray
    hashed: np.ndarray
    text: np.ndarray | None = None
    centre: np.ndarray | None = None
    fusion: Fusion | None = None
    vectors: Carried = field(default_factory=dict)

    @property
    def buckets(self) -> int:
        """F."""
        return self.hashed.shape[1]

    @property
    def text_dim(self) -> int:
        """T, 0 where there are no text vectors."""
        return 0 if self.text is None else self.text.shape[1]

    def vectors_of(self, items: Sequence[Item]) -> dict[str, np.ndarray]:
        """(n, D) by the owner's name: the items' vectors of the anchors' names and lengths, zero rows where missing."""
        out = {name: np.zeros((len(items), array.shape[1]), np.float32) for name, array in self.vectors.items()}
        for row, item in enumerate(items):
            for name, vector in item.vectors.items():
                if name in out and len(vector) == out[name].shape[1]:
                    out[name][row] = vector
        return out

    def express(self, hashed: np.ndarray, text: np.ndarray | None = None, vectors: Carried | None = None) -> np.ndarray:
        """(n, A) float32 weights whose rows sum to one.

        `hashed` (n, F), `text` (n, T) and `vectors` (n, D) by name have zero rows where missing.
        """
        if self.fusion is not None:
            own = carried(self.hashed, self.text, self.vectors)
            joined = self.fusion.joined(carried(hashed, text, vectors))
            alike = np.sum([part @ own[name].T for name, part in joined.items()], axis=0)
        else:
            alike = hashed @ self.hashed.T
            if text is not None and self.text is not None and self.centre is not None:
                alike += centred(text, self.centre) @ self.text.T
        weights = np.expm1(alike) @ self.inverse
        rest = 1.0 - weights.sum(axis=1, keepdims=True)
        return np.asarray(weights + rest / weights.shape[1], dtype=np.float32)


def anchors_of(popularity: np.ndarray, max_anchors: int) -> np.ndarray:
    """(A,), sorted: the items that most people met, `max_anchors` of those that anybody met.

    All anchors count alike: that few met an item is known as surely as that many did.
    """
    anchors = np.argsort(-popularity, kind="stable")[:max_anchors]
    return np.sort(anchors[popularity[anchors] > 0])


def fit_content_map(
    hashed: np.ndarray,
    text: np.ndarray | None,
    popularity: np.ndarray,
    ridge: float,
    max_anchors: int,
    vectors: Carried | None = None,
    fusion: Fusion | None = None,
) -> ContentMap:
    """The map by these anchors (`anchors_of`); with a `fusion` the owner's `vectors` (N, D) count, by name."""
    anchors = anchors_of(popularity, max_anchors)
    centre, own, parts = None, None, {}
    if fusion is not None:
        parts = fusion.joined({name: array[anchors] for name, array in carried(hashed, text, vectors).items()})
        alike = np.sum([part.astype(np.float64) @ part.T for part in parts.values()], axis=0)
        facts, own = parts.pop(FACTS), parts.pop(TEXT, None)
    else:
        facts = np.ascontiguousarray(hashed[anchors], dtype=np.float32) * np.float32(FACTS_COUNT)
        alike = (facts @ hashed[anchors].T).astype(np.float64)
        if text is not None:
            centre = centre_of(text)
            unit = centred(text[anchors], centre)
            own = unit * np.float32(TEXT_COUNT)
            alike += own @ unit.T
    kernel = np.expm1(alike)
    kernel[np.diag_indices_from(kernel)] += ridge
    inverse = scipy.linalg.inv(kernel, overwrite_a=True, check_finite=False).astype(np.float32)
    of_owner = {name.removeprefix(OWN): part for name, part in parts.items()}
    return ContentMap(anchors, inverse, facts, own, centre, fusion, of_owner)
