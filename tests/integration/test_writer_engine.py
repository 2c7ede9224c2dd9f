"""The deployment `Writer` with its real engine, as Serve makes it, without a Serve round it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.errors import OverloadError
from cluster.messages import Item, TextDone, TextPiece, WriteTask
from deployments.writer import Writer
from generation.demo import DEMO_NAME
from tests.generation.conftest import models_dir  # noqa: F401  # the fixture

pytestmark = pytest.mark.integration

LIKED = Item("1", title="Alien (1979)", categories=("Horror", "Sci-Fi", "Thriller"))
ITEM = Item("2", title="Toy Story (1995)", categories=("Animation", "Children's", "Comedy"))


@pytest.fixture(scope="module")
def writer(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Writer:  # noqa: F811
    """One replica: max_batch 4, queue 4."""
    state_dir = tmp_path_factory.mktemp("state")
    models_dir.mkdir(parents=True, exist_ok=True)
    (state_dir / "models").symlink_to(models_dir)
    generation = {"max_batch": 4, "max_queue": 4, "kv_bytes": 64 << 20}
    made = Writer.__new__(Writer)
    asyncio.run(made.__init__(Settings(state_dir=state_dir, generation=generation)))  # type: ignore[misc]
    return made


def task(number: int = 0, **values: object) -> WriteTask:
    return WriteTask("pitch", (ITEM,), (LIKED,), request_id=str(number), seed=number, **values)  # type: ignore[arg-type]


async def collect(writer: Writer, made: WriteTask) -> TextDone:
    frames = [frame async for frame in writer.write(made)]
    assert isinstance(frames[-1], TextDone)
    assert "".join(frame.text for frame in frames if isinstance(frame, TextPiece)) == frames[-1].text
    return frames[-1]


async def test_it_says_what_it_runs_on(writer: Writer) -> None:
    info = await writer.info()
    assert (info.engine, info.model, info.quantization) == ("openvino", DEMO_NAME, "q4_1")
    assert 50e6 < info.weight_bytes < 135e6
    await writer.check_health()


async def test_a_text_is_about_its_item(writer: Writer) -> None:
    done = await collect(writer, task())
    assert "Toy Story" in done.text and done.source in ("generated", "template")


async def test_64_at_once_end_and_the_queue_is_bounded(writer: Writer) -> None:
    began = time.monotonic()
    ends = await asyncio.gather(*(collect(writer, task(n, deadline_s=30.0)) for n in range(64)), return_exceptions=True)
    assert all(isinstance(end, TextDone | OverloadError) for end in ends)
    assert sum(isinstance(end, OverloadError) for end in ends) >= 1
    assert sum(isinstance(end, TextDone) for end in ends) >= 8
    assert time.monotonic() - began < 40
    await writer.check_health()


async def test_a_reader_who_leaves_frees_the_place(writer: Writer) -> None:
    frames = writer.write(task(9))
    await anext(frames)
    await frames.aclose()
    end = time.monotonic() + 5
    while writer._engine.counts().running:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
