"""How much one event tells of a person's taste: a signed number made of its type and value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graph.compiled_reading import rate
from graph.config import EventConfig

RATING = "rating"


@dataclass(frozen=True)
class EventWeights:
    """The table from event types to strengths.

    `by_type` and `default` are the application's settings; a `rating` counts by its place on `rating_scale`, from
    `config.rating_floor` for the lowest to `config.rating_ceiling` for the highest; other types that weigh 1 or more
    are explicit signs, and count `config.emphasis` times that. Zero means: tells nothing.
    """

    by_type: Mapping[str, float] = field(default_factory=lambda: {"dislike": -1.0, "impression": 0.0})
    default: float = 1.0
    rating_scale: tuple[float, float] = (1.0, 5.0)
    config: EventConfig = field(default_factory=EventConfig)

    @classmethod
    def from_settings(cls, events: Mapping[str, Any], config: EventConfig) -> EventWeights:
        """From a mapping with `weights`, `default_weight` and `rating_scale` (the application's section `events`)."""
        low, high = events.get("rating_scale", (1.0, 5.0))
        return cls(dict(events.get("weights", {})), float(events.get("default_weight", 1.0)), (low, high), config)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, for the bundle."""
        return {"weights": dict(self.by_type), "default_weight": self.default, "rating_scale": list(self.rating_scale)}

    def one(self, type_: str, value: float | None) -> float:
        """Strength of one event."""
        weight = self._of_type(type_)
        if type_ != RATING or value is None or value != value:
            return weight
        low, high = self.rating_scale
        place = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 1.0
        return weight * (self.config.rating_floor + (self.config.rating_ceiling - self.config.rating_floor) * place)

    def _of_type(self, type_: str) -> float:
        weight = self.by_type.get(type_, self.default)
        explicit = type_ != RATING and abs(weight) >= 1.0
        return weight * self.config.emphasis if explicit else weight

    def of(self, types: Iterable[str], values: Iterable[float | None]) -> list[float]:
        """Strength of each event, in the order given."""
        return [self.one(type_, value) for type_, value in zip(types, values, strict=True)]

    def of_coded(self, codes: np.ndarray, names: tuple[str, ...], values: np.ndarray) -> np.ndarray:
        """The same for columns: `codes` (E,) index into `names`, `values` (E,) with NaN for none. float32 (E,)."""
        table = np.array([self._of_type(name) for name in names], dtype=np.float32)
        strength = table[codes] if len(names) else np.zeros(len(codes), dtype=np.float32)
        if RATING in names:
            low, high = self.rating_scale
            floor, ceiling = self.config.rating_floor, self.config.rating_ceiling
            rate(codes, values, names.index(RATING), low, high - low, floor, ceiling, strength)
        return strength
