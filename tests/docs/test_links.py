"""Relative links of all Markdown pages lead to a file that is there, and to a heading that it has."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")


def pages() -> list[str]:
    """The project's Markdown pages, as git sees them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    names = listed.stdout.split() if listed.returncode == 0 else [str(path) for path in ROOT.glob("docs/**/*.md")]
    return [name for name in names if (ROOT / name).exists()]


@cache
def anchors(page: Path) -> frozenset[str]:
    """GitHub's names of a page's headings."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return frozenset(found)


def links(page: Path) -> list[str]:
    """The targets of a page's links that lead inside of the project."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    faults = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_relative_to(ROOT) or not file.exists():
            faults.append(f"{target}: there is no {file}")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            faults.append(f"{target}: no such heading")
    assert faults == []


def test_every_page_of_docs_is_in_its_index() -> None:
    index = {target.partition("#")[0] for target in links(ROOT / "docs" / "README.md")}
    docs = [name.removeprefix("docs/") for name in pages() if name.startswith("docs/") and name != "docs/README.md"]
    assert [name for name in docs if name not in index] == []
