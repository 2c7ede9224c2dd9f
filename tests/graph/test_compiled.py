"""The compiled loops do what numpy does, for sessions of any length, and without a place for what was compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from graph import compiled

RNG = np.random.default_rng(3)
LENGTHS = (0, 1, 3, 4, 5, 9, 0)
ENDS = np.concatenate(([0], np.cumsum(LENGTHS)))
EVENTS, ITEMS, WIDTH = int(ENDS[-1]), 12, 5
ITEM = RNG.integers(ITEMS, size=EVENTS)
WEIGHTS = RNG.normal(size=EVENTS).astype(np.float32)
MATRIX = RNG.normal(size=(ITEMS, ITEMS)).astype(np.float32)
CHOSEN = RNG.integers(ITEMS, size=(len(LENGTHS), WIDTH))
QUERY = np.repeat(np.arange(len(LENGTHS)), LENGTHS)


def test_rows_are_added_to_what_is_there() -> None:
    out = np.ones((len(LENGTHS), ITEMS), dtype=np.float32)
    compiled.add_rows(ENDS, ITEM, WEIGHTS, MATRIX, out)
    wanted = [1 + WEIGHTS[query == QUERY] @ MATRIX[ITEM[query == QUERY]] for query in range(len(LENGTHS))]
    np.testing.assert_allclose(out, np.stack(wanted), rtol=1e-5, atol=1e-5)


def test_entries_are_those_of_each_events_session() -> None:
    out = np.ones((EVENTS, WIDTH), dtype=np.float32)
    compiled.add_entries(ENDS, ITEM, WEIGHTS, MATRIX, CHOSEN, out)
    wanted = 1 + MATRIX[ITEM[:, None], CHOSEN[QUERY]] * WEIGHTS[:, None]
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)


def test_products_are_with_each_events_session() -> None:
    rows = RNG.normal(size=(EVENTS, 7)).astype(np.float32)
    targets = RNG.normal(size=(len(LENGTHS), WIDTH, 7)).astype(np.float32)
    out = np.ones((EVENTS, WIDTH), dtype=np.float32)
    compiled.add_products(ENDS, rows, WEIGHTS, targets, out)
    wanted = 1 + np.einsum("pd,pnd->pn", rows, targets[QUERY]) * WEIGHTS[:, None]
    np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-5)


def test_a_file_of_a_version_is_read_as_it_lies(tmp_path: Any) -> None:
    np.save(tmp_path / "matrix.npy", MATRIX)
    mapped = np.load(tmp_path / "matrix.npy", mmap_mode="r")
    out = np.zeros((len(LENGTHS), ITEMS), dtype=np.float32)
    again = out.copy()
    compiled.add_rows(ENDS, ITEM, WEIGHTS, mapped, out)
    compiled.add_rows(ENDS, ITEM, WEIGHTS, MATRIX, again)
    np.testing.assert_array_equal(out, again)


def test_without_a_place_for_it_each_process_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def nowhere(loop: Any, *, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(loop, **options)

    monkeypatch.setattr(numba, "njit", nowhere)

    def double(values: np.ndarray) -> np.ndarray:
        return np.asarray(values * 2)

    assert list(compiled._compiled(double)(np.array([1, 2]))) == [2, 4]
