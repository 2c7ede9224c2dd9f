"""The shell blocks of a page, run in order as a reader would, and what the page says that they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"```sh\n(?P<script>.*?)```\n(?P<prints>(?:<!-- prints: [^\n]* -->\n)*)", re.DOTALL)
_FAIL_ON_ERRORS = 'curl() { command curl --fail-with-body -S "$@"; }\n'


@dataclass(frozen=True)
class Block:
    """A block, and texts that its output holds."""

    script: str
    prints: tuple[str, ...]


def blocks(page: str) -> tuple[list[Block], list[Block]]:
    """The blocks of a page below `docs/`, before and after the line that starts the server."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    before, found, after = text.partition("```\nmake serve")
    return _blocks(before) if found else [], _blocks(after if found else text)


def folder_of_a_reader(folder: Path) -> None:
    """Make a folder look like a clone in which `make install` was run, but for what the reader makes there."""
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)


def run(blocks: list[Block], folder: Path, environment: Mapping[str, str], timeout_s: float = 300) -> None:
    """Run the blocks in one shell and check what each prints. A failed command or request fails."""
    mark = "-- end of block --"
    script = f"set -euo pipefail\n{_FAIL_ON_ERRORS}" + "".join(f"{block.script}\necho '{mark}'\n" for block in blocks)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, **environment, "NO_PROXY": "127.0.0.1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    outputs = done.stdout.split(f"{mark}\n")
    assert done.returncode == 0, (
        blocks[min(len(outputs), len(blocks)) - 1].script,
        done.stdout[-2000:],
        done.stderr[-2000:],
    )
    for block, output in zip(blocks, outputs, strict=False):
        for text in block.prints:
            assert text in output, f"{text!r} is not what this prints:\n{block.script}\n{output[-3000:]}"


def _blocks(text: str) -> list[Block]:
    return [
        Block(found["script"], tuple(re.findall(r"<!-- prints: (.*) -->", found["prints"])))
        for found in _BLOCK.finditer(text)
    ]
