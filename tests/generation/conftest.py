"""The demo model, unpacked once per machine, and engines on it for the whole session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from generation.config import GenerationConfig
from generation.engines import Engine, make

CONFIG = GenerationConfig(max_batch=4, max_queue=4, threads=2, kv_bytes=64 << 20, prefill_chunk_tokens=64)


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where unpacked models are kept between test runs."""
    return Path(os.environ.get("TB_TEST_CACHE") or Path.home() / ".cache" / "tailorbird-tests") / "models"


@pytest.fixture(scope="session")
def started(models_dir: Path) -> Iterator[Callable[[str], Engine]]:
    """Starts an engine with the demo model by its name, once."""

    @cache
    def start(name: str) -> Engine:
        made = make(name, "demo", CONFIG, models_dir)
        asyncio.run(made.start())
        running.append(made)
        return made

    running: list[Engine] = []
    yield start
    for made in running:
        asyncio.run(made.stop())


@pytest.fixture(scope="session")
def engine(started: Callable[[str], Engine]) -> Engine:
    """The engine `bitsandbytes`, started."""
    return started("bitsandbytes")
