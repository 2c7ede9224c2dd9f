"""The demo model, unpacked once per machine, and one engine on it for the whole session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
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
def engine(models_dir: Path) -> Iterator[Engine]:
    """The engine `bitsandbytes` with the demo model, started."""
    made = make("bitsandbytes", "demo", CONFIG, models_dir)
    asyncio.run(made.start())
    yield made
    asyncio.run(made.stop())
