"""The compiled loops do what numpy does, for sessions of any length, and without a place for what was compiled."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pytest

from graph import compiled, compiled_lists, compiled_reading
from graph.kernels import Kernel

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
    rows = RNG.normal(size=(ITEMS, 7)).astype(np.float32)
    targets = RNG.normal(size=(len(LENGTHS), WIDTH, 7)).astype(np.float32)
    out = np.ones((EVENTS, WIDTH), dtype=np.float32)
    compiled.add_products(ENDS, ITEM, WEIGHTS, rows, targets, out)
    wanted = 1 + np.einsum("pd,pnd->pn", rows[ITEM], targets[QUERY]) * WEIGHTS[:, None]
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


def test_rows_and_entries_of_16_bits_are_nearly_those_of_the_matrix() -> None:
    exact = np.where(np.arange(ITEMS)[:, None] == 3, 0.0, MATRIX).astype(np.float32)
    table, scale = Kernel("item_item", matrix=exact).table
    assert table.dtype == np.int16 and scale[3] == 0.0
    rows, entries = np.ones((len(LENGTHS), ITEMS), np.float32), np.ones((EVENTS, WIDTH), np.float32)
    wanted_rows, wanted_entries = rows.copy(), entries.copy()
    compiled.add_rows(ENDS, ITEM, WEIGHTS * scale[ITEM], table, rows)
    compiled.add_entries(ENDS, ITEM, WEIGHTS * scale[ITEM], table, CHOSEN, entries)
    compiled.add_rows(ENDS, ITEM, WEIGHTS, exact, wanted_rows)
    compiled.add_entries(ENDS, ITEM, WEIGHTS, exact, CHOSEN, wanted_entries)
    np.testing.assert_allclose(rows, wanted_rows, atol=5e-4)
    np.testing.assert_allclose(entries, wanted_entries, atol=2e-4)


def test_large_matrices_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.kernels.SHORTENED", ITEMS - 1)
    table, scale = Kernel("item_item", matrix=MATRIX).table
    assert table is MATRIX and (scale == 1.0).all()


@pytest.mark.parametrize("size", [1, 3, ITEMS])
def test_best_places_are_those_of_a_stable_sort(size: int) -> None:
    scores = RNG.integers(4, size=(6, ITEMS)).astype(np.float32)
    scores[1, 2:] = -np.inf
    scores[2] = -np.inf
    scores[3, 0] = np.nan
    places, values = np.full((6, size), -1), np.full((6, size), -np.inf, dtype=np.float32)
    compiled_lists.best_places(scores, places, values)
    for row, of_row in enumerate(scores):
        order = [place for place in np.argsort(-of_row, kind="stable") if np.isfinite(of_row[place])][:size]
        assert places[row, : len(order)].tolist() == order and (places[row, len(order) :] == -1).all()
        assert values[row, : len(order)].tolist() == of_row[order].tolist()


def test_the_strongest_events_of_each_place_come_first() -> None:
    parts = RNG.normal(size=(EVENTS, WIDTH)).astype(np.float32)
    told = np.minimum(WIDTH, np.arange(len(LENGTHS)))
    weights = np.zeros((len(LENGTHS), WIDTH, 3), dtype=np.float32)
    events = np.full(weights.shape, -1)
    strength = np.where(np.arange(EVENTS) % 4 == 1, -1.0, 1.0).astype(np.float32)
    compiled_lists.strongest(ENDS, strength, parts, told, weights, events)
    for query, length in enumerate(LENGTHS):
        for place in range(WIDTH):
            own = np.arange(ENDS[query], ENDS[query + 1]) if place < told[query] else np.arange(0)
            own = own[strength[own] > 0]  # what was disliked is nobody's reason
            order = own[np.argsort(-parts[own, place], kind="stable")][:3].tolist()
            assert events[query, place].tolist() == order + [-1] * (3 - len(order)), length


def test_each_item_counts_once_where_it_was_met_last() -> None:
    item = np.array([5, 3, 5, -1, 3, 7, 900, 2, 2, 5])
    strength = np.array([1.0, 0.5, 1.0, 9.0, 0.25, 1e-9, 2.0, 1.0, -1.0, -4.0], dtype=np.float32)
    ends, new_ends = np.array([0, 6, 6, 10]), np.empty(4, dtype=np.int64)
    new_item, new_strength = np.empty(10, dtype=np.int64), np.empty(10, dtype=np.float32)
    made = compiled_reading.once(ends, item, strength, 1e-6, 1.5, new_ends, new_item, new_strength)
    assert new_ends.tolist() == [0, 2, 2, 4] and made == 4
    assert new_item[:made].tolist() == [5, 3, 900, 5]  # what adds up to nothing is left out
    assert new_strength[:made].tolist() == [1.5, 0.75, 2.0, -4.0]


@pytest.mark.parametrize(
    ("memory", "power", "most"), [(np.inf, 0.5, np.inf), (np.inf, 0.0, np.inf), (2.0, 1.0, np.inf), (np.inf, 1.0, 3)]
)
def test_events_weigh_less_the_older_they_are_and_the_more_there_are(memory: float, power: float, most: float) -> None:
    strength = RNG.normal(size=EVENTS).astype(np.float32)
    found = compiled_reading.weigh(ENDS, strength, memory, power, most, 1.1, 0.2)
    for start, end in pairwise(ENDS):
        left = np.exp(-np.arange(end - start)[::-1] / memory)
        left[left < 0.2] = 0.0
        total = (np.minimum(np.abs(strength[start:end]), 1.1) * left).sum()
        wanted = strength[start:end] * left / total**power if end - start <= most else 0.0
        np.testing.assert_allclose(found[start:end], wanted, rtol=1e-5)


def test_a_gate_is_that_of_the_events_session() -> None:
    gates, into = RNG.normal(size=len(LENGTHS)).astype(np.float32), np.ones(EVENTS, np.float32)
    compiled_reading.add_gated(ENDS, WEIGHTS, gates, into)
    np.testing.assert_allclose(into, 1 + WEIGHTS * gates[QUERY], rtol=1e-5)


def test_systems_are_solved_for_each_session() -> None:
    met = RNG.normal(size=(EVENTS, 7)).astype(np.float32)
    ground = np.eye(7, dtype=np.float32) * 2.0
    factors, right = (
        np.empty((len(LENGTHS), 7, 7), np.float32),
        RNG.normal(size=(len(LENGTHS), 3, 7)).astype(np.float32),
    )
    found = right.copy()
    compiled.fold_in(ENDS, met, ground, 0.5, factors)
    compiled.solve_each(factors, found)
    for query, (start, end) in enumerate(pairwise(ENDS)):
        system = ground + 0.5 * met[start:end].T @ met[start:end]
        np.testing.assert_allclose(found[query] @ system, right[query], rtol=1e-4, atol=1e-5)


def test_a_system_that_has_no_solution_is_refused() -> None:
    factors = np.empty((len(LENGTHS), 7, 7), np.float32)
    with pytest.raises(np.linalg.LinAlgError):
        compiled.fold_in(ENDS, np.zeros((EVENTS, 7), np.float32), -np.eye(7, dtype=np.float32), 1.0, factors)
