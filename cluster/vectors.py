"""Vectors that an owner's own encoders made of an item: how they are checked, kept small in memory, and written.

In memory a number takes 4 bytes, as in the encoders that such vectors come from. Written are the shortest decimals
that read back as the same 4 bytes, so that an export of an import is equal byte for byte.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from cluster.errors import InputError
from cluster.fields import finite_number, kind_of, shown

MAX_VECTORS = 4
MAX_NUMBERS = 2048

_NAME = re.compile(r"[a-z0-9_]{1,32}")


def read_vectors(raw: Any, place: str) -> dict[str, array[float]]:
    """Vectors by name; empty when there are none."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise InputError(f"must be an object, not {kind_of(raw)}", place)
    if len(raw) > MAX_VECTORS:
        raise InputError(f"has {len(raw)} vectors, {MAX_VECTORS} are allowed", place)
    for name in raw:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(f"{shown(name)} is not a name of 1 to 32 of a-z, 0-9 and _", place)
    return {name: _vector(numbers, f"{place}.{name}") for name, numbers in raw.items() if numbers is not None}


def written_vectors(vectors: Mapping[str, array[float]]) -> dict[str, list[float]]:
    """The same as lists of numbers."""
    found: dict[str, list[float]] = {}
    for name, vector in vectors.items():
        numbers = np.frombuffer(vector, dtype=np.float32)
        found[name] = orjson.loads(orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY))
    return found


def _vector(raw: Any, place: str) -> array[float]:
    if not isinstance(raw, (list, tuple)):
        raise InputError(f"must be a list of numbers, not {kind_of(raw)}", place)
    if not 0 < len(raw) <= MAX_NUMBERS:
        raise InputError(f"has {len(raw)} numbers, 1 to {MAX_NUMBERS} are allowed", place)
    for index, entry in enumerate(raw):
        if finite_number(entry, f"{place}.{index}") is None:
            raise InputError("is not a number", f"{place}.{index}")
    vector = array("f", raw)
    for index, number in enumerate(vector):
        if math.isinf(number):
            raise InputError(f"{shown(raw[index])} is more than 32 bits hold", f"{place}.{index}")
    if not any(vector):
        raise InputError("holds only zeros, which say nothing: leave it out", place)
    return vector
