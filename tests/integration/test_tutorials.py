"""Quick start and tutorials, followed to the letter: their blocks are run in order, and print what the pages say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import blocks, folder_of_a_reader, run
from tests.integration.conftest import KEY, Copy, start_copy, stop_copy

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine"),
]


@pytest.mark.parametrize("page", ["quickstart.md", "tutorials/chat.md"])
def test_on_the_demo(page: str, server: Copy, tmp_path: Path) -> None:
    folder_of_a_reader(tmp_path)
    (tmp_path / ".tailorbird").mkdir()
    (tmp_path / ".tailorbird" / "api_key").write_text(server.key)
    before, after = blocks(page)
    quick = [block for block in after if "submit refresh" not in block.script]
    assert not before and len(quick) >= 3
    run(quick, tmp_path, server.environment | {"TAILORBIRD_API_KEY": server.key})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "arguments", "state"),
    [("tutorials/shop.md", ("--no-demo",), ".homeware"), ("tutorials/news.md", ("--no-demo",), ".news")],
)
def test_with_a_copy_of_its_own(
    page: str, arguments: tuple[str, ...], state: str, models_dir: Path, tmp_path: Path
) -> None:
    folder_of_a_reader(tmp_path)
    state_dir = tmp_path / state
    state_dir.mkdir()
    (state_dir / "api_key").write_text(KEY)
    (state_dir / "models").symlink_to(models_dir)
    before, after = blocks(page)
    assert before and len(after) >= 5
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TAILORBIRD_", "RAY_"))}
    run(before, tmp_path, clean | {"TAILORBIRD_STATE_DIR": str(state_dir), "TAILORBIRD_API_KEY": KEY})
    (config,) = tmp_path.glob("*.yaml")
    copy = start_copy(state_dir, "--config", str(config), *arguments)
    try:
        run(after, tmp_path, copy.environment | {"TAILORBIRD_CONFIG": str(config)})
    finally:
        stop_copy(copy)
