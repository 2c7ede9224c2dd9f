"""What is known of an item before anybody met it, and what follows from it for its behaviour.

Features are hashed words, categories, tags and attributes, for which numpy suffices, and a text vector where there is
one. A kernel ridge regression expresses any item as a weighted sum of anchors, the items with most events: whatever
holds of the anchors (vectors, biases, rows of item-item matrices) is carried over to the new item by the same weights,
so that scores of new items fall apart into contributions as those of old ones do. The kernel is exp(likeness) - 1,
where the likeness is that of the facts plus that of the texts, each weighed: what two items share counts more where
they share much else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg

from cluster.messages import Item

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
"""Scripts that are written without spaces: Thai, Lao, Burmese, Khmer, kana, Chinese."""
FIELD_WEIGHTS = {"word": 0.4, "category": 1.0, "tag": 0.8, "attribute": 0.7, "step": 0.5}
FACTS, TEXTS = 0.6, 0.8
"""What the likeness of facts, and that of texts, counts in the kernel."""


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
    """

    anchors: np.ndarray
    inverse: np.ndarray
    hashed: np.ndarray
    text: np.ndarray | None = None
    centre: np.ndarray | None = None

    @property
    def buckets(self) -> int:
        """F."""
        return self.hashed.shape[1]

    @property
    def text_dim(self) -> int:
        """T, 0 where there are no text vectors."""
        return 0 if self.text is None else self.text.shape[1]

    def express(self, hashed: np.ndarray, text: np.ndarray | None = None) -> np.ndarray:
        """(n, A) float32 weights whose rows sum to one. `hashed` (n, F), `text` (n, T) with zero rows where missing."""
        alike = hashed @ self.hashed.T
        if text is not None and self.text is not None and self.centre is not None:
            alike += _centred(text, self.centre) @ self.text.T
        weights = np.expm1(alike) @ self.inverse
        rest = 1.0 - weights.sum(axis=1, keepdims=True)
        return np.asarray(weights + rest / weights.shape[1], dtype=np.float32)


def fit_content_map(
    hashed: np.ndarray, text: np.ndarray | None, popularity: np.ndarray, ridge: float, max_anchors: int
) -> ContentMap:
    """The map whose anchors are the items that most people met, `max_anchors` of those that anybody met.

    All anchors count alike: that few met an item is known as surely as that many did.
    """
    anchors = np.argsort(-popularity, kind="stable")[:max_anchors]
    anchors = np.sort(anchors[popularity[anchors] > 0])
    facts = np.ascontiguousarray(hashed[anchors], dtype=np.float32) * np.float32(FACTS)
    alike = (facts @ hashed[anchors].T).astype(np.float64)
    own, centre = None, None
    if text is not None:
        present = np.abs(text).sum(axis=1) > 0
        centre = (text[present].mean(axis=0) if present.any() else np.zeros(text.shape[1])).astype(np.float32)
        unit = _centred(text[anchors], centre)
        own = unit * np.float32(TEXTS)
        alike += own @ unit.T
    kernel = np.expm1(alike)
    kernel[np.diag_indices_from(kernel)] += ridge
    inverse = scipy.linalg.inv(kernel, overwrite_a=True, check_finite=False).astype(np.float32)
    return ContentMap(anchors, inverse, facts, own, centre)


def _centred(text: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(n, T) float32: less the centre, of unit length, zero rows left as they are."""
    moved = np.where(np.abs(text).sum(axis=1, keepdims=True) > 0, text - centre, 0.0)
    length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return np.asarray(moved / length, dtype=np.float32)


def reduce_text(text: np.ndarray, dim: int) -> np.ndarray:
    """Centred and reduced to the `dim` directions with most variance, unit length: (N, dim) float32."""
    present = np.abs(text).sum(axis=1) > 0
    mean = text[present].mean(axis=0) if present.any() else 0.0
    centred = np.where(present[:, None], text - mean, 0.0)
    covariance = centred.T.astype(np.float64) @ centred
    _, vectors = np.linalg.eigh(covariance)
    reduced = centred @ vectors[:, ::-1][:, :dim]
    return np.asarray(reduced / np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9), dtype=np.float32)
