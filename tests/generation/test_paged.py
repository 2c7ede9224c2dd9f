"""What OpenVINO computes for a text depends on its tokens alone: not on how they are read, nor on who is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from generation.engines import Engine
from generation.engines.decode import Part
from generation.engines.openvino import OpenVinoEngine
from generation.engines.paged import PagedBackend
from generation.engines.prefixes import PIECE
from tests.generation.conftest import CONFIG
from tests.generation.test_engine_contract import collect, request

pytestmark = pytest.mark.integration

PROMPT = [1 + 37 * n % 4000 for n in range(5 * PIECE + 7)]
OTHER = [1 + 11 * n % 4000 for n in range(2 * PIECE + 3)]


@pytest.fixture(scope="module")
def backend(models_dir: Path) -> PagedBackend:
    """The demo model, of four rows."""
    backend = OpenVinoEngine("demo", CONFIG, models_dir).load().backend
    assert isinstance(backend, PagedBackend)
    return backend


def read(backend: PagedBackend, row: int, ends: list[int], company: Sequence[Part] = (), begin: int = 0) -> np.ndarray:
    """The logits after the prompt and ten more tokens, read from `begin` up to some places of it in a call each."""
    for end in [*ends, len(PROMPT), *(len(PROMPT) + n for n in range(1, 11))]:
        parts = [*company, Part(row, begin, [*PROMPT, *range(9, 19)][begin:end])]
        logits, begin = backend.step(parts)[-1], end
    return logits.copy()


@pytest.mark.parametrize("ends", [[PIECE], [2 * PIECE, 3 * PIECE], [PIECE * n for n in range(1, 6)], [4 * PIECE]])
def test_how_much_is_read_at_a_time_changes_nothing(backend: PagedBackend, ends: list[int]) -> None:
    assert np.array_equal(read(backend, 1, ends), read(backend, 0, []))


@pytest.mark.parametrize("other", [Part(3, 0, OTHER), Part(2, 0, OTHER[:PIECE]), Part(3, 0, OTHER[:2])])
def test_who_else_is_read_changes_nothing(backend: PagedBackend, other: Part) -> None:
    whole = read(backend, 0, [PIECE])
    assert np.array_equal(read(backend, 0, [3 * PIECE], [other]), whole)
    assert np.array_equal(read(backend, 1, [], [other, Part(0, 0, [7])]), whole)


def test_the_first_tokens_of_another_text_serve_as_ones_own(backend: PagedBackend) -> None:
    length = 2 * PIECE + 5
    whole = read(backend, 0, [length])
    backend.step([Part(1, 0, PROMPT[:length])])
    backend.load(2, backend.save(1, length))
    assert np.array_equal(read(backend, 2, [], begin=length), whole)


@pytest.fixture(scope="module")
def engine(started: Callable[[str], Engine]) -> Engine:
    """The whole engine, started."""
    return started("openvino")


async def test_a_seed_gives_one_text_alone_and_in_any_company(engine: Engine) -> None:
    long = (("user", "Tell me of the sea, of ships and of those who sail them, of storms, of ports. " * 6),)
    asked = {"messages": long, "temperature": 1.0, "seed": 3, "max_tokens": 48}
    alone = await collect(engine, request("alone", **asked))
    for n in range(3):
        others = [request(f"o{n}-{k}", messages=(("user", f"Count to {k}. " * 9 * k),), max_tokens=30) for k in (1, 7)]
        tasks = [asyncio.create_task(collect(engine, other)) for other in others]
        await asyncio.sleep(0.1 * n)
        assert await collect(engine, request("same", **asked)) == alone
        await asyncio.gather(*tasks)
