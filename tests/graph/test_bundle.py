from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import BundleError
from cluster.messages import Item, RankQuery
from graph.bundle import load_model, save_model
from graph.dataset import Interactions
from graph.model import Model
from graph.ranking import Ranker


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("version")
    save_model(model, path)
    return path


def test_what_is_loaded_ranks_as_what_was_saved(folder: Path, ranker: Ranker, data: Interactions) -> None:
    loaded = Ranker.load(folder)
    assert loaded.version == "v1"
    loaded.smoke()
    queries = [RankQuery(data.view(user)) for user in range(40)]
    assert loaded.rank(queries) == ranker.rank(queries)
    assert loaded.with_items([Item("new", categories=("Rock",))]).items[-1] == "new"


def test_no_user_is_in_a_bundle(folder: Path, data: Interactions) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"user 1" not in path.read_bytes()


def test_broken_bundles_are_refused(folder: Path, model: Model, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        load_model(tmp_path)
    save_model(model, tmp_path)
    words = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(words | {"format": 99}))
    with pytest.raises(BundleError, match="99"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(words))
    (tmp_path / "arrays" / "graph.source.npy").write_bytes(b"nonsense")
    with pytest.raises(BundleError):
        load_model(tmp_path)


def test_a_large_catalogue_is_ranked_by_retrieval(
    model: Model, data: Interactions, tmp_path: Path, ranker: Ranker
) -> None:
    serving = model.config.serving.model_copy(update={"exhaustive_items": 10, "retrieve": 40})
    save_model(replace(model, config=model.config.model_copy(update={"serving": serving})), tmp_path)
    large = Ranker.load(tmp_path)
    queries = [RankQuery(data.view(user), n=10) for user in range(30)]
    for ours, exact in zip(large.rank(queries), ranker.rank(queries), strict=True):
        assert len({e.item_id for e in ours.items} & {e.item_id for e in exact.items}) >= 9
    few = large.rank([RankQuery(data.view(0), allowed=frozenset(model.item_ids[:3]), include_seen=True)])[0]
    assert {entry.item_id for entry in few.items} == set(model.item_ids[:3])
    assert "new" in [e.item_id for e in large.with_items([Item("new")]).rank([RankQuery(data.view(0), n=70)])[0].items]


def test_ranking_needs_neither_torch_nor_dgl(folder: Path) -> None:
    code = (
        "import sys; from graph.ranking import Ranker; from cluster.messages import RankQuery, SessionView;"
        f"Ranker.load({str(folder)!r}).rank([RankQuery(SessionView(None))]);"
        "print(sorted({'torch', 'dgl', 'transformers', 'pandas', 'ray'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
