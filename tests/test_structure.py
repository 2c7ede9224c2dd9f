"""What may import what, and how light imports are: each line is measured in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cluster", "graph", "generation", "deployments", "jobs", "benchmarks", "tests")
HEAVY = frozenset({"torch", "dgl", "transformers", "bitsandbytes", "peft", "ray", "faiss", "pandas", "scipy"})


def imported(statement: str) -> set[str]:
    """The heavy libraries that are loaded after a statement."""
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import cluster.config, cluster.messages, cluster.errors, cluster.records, cluster.filters", set()),
        ("import cluster.cli", set()),
        ("import cluster.store, cluster.sessions, cluster.catalogue, cluster.artifacts", set()),
        ("import jobs.ingest, jobs.export, jobs.promote, jobs.prune, jobs.demo", set()),
        ("import graph.config, generation.config, generation.prompts, generation.templates", set()),
        ("import graph.ranking", {"faiss", "scipy"}),
        ("import generation.writer, generation.engines", set()),
        ("import deployments.ingress", {"ray", "pandas"}),  # Ray Serve brings pandas along
        ("import deployments.finder", {"ray", "pandas"}),
        ("import deployments.recommender; import graph.ranking", {"ray", "pandas", "faiss", "scipy"}),
    ],
)
def test_imports_are_light(statement: str, allowed: set[str]) -> None:
    assert imported(statement) <= allowed


def test_only_training_imports_dgl() -> None:
    users = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES[:5]
        for path in (ROOT / package).rglob("*.py")
        if "import dgl" in path.read_text(encoding="utf-8")
    ]
    assert users and all(name.startswith("graph/") for name in users), users


def test_every_folder_of_python_is_a_package() -> None:
    missing = [
        folder.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}
        if not (folder / "__init__.py").exists()
    ]
    assert missing == []


def test_import_directions_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
