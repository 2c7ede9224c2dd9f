"""`jobs.evaluate` as the process that it is, on small files."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import InputError
from jobs.evaluation_files import read_catalogue, read_columns
from tests.jobs.conftest import RunJob

SMALL = """graph:
  encoder: {dim: 8, epochs: 10, threads: 1}
  content: {encoder: none, text_dim: 8}
  combine: {steps: 20}
"""


def events(path: Path, times: bool, ratings: bool, users: range = range(60)) -> list[tuple[str, str]]:
    """Two tastes; gives the pairs."""
    rng = np.random.default_rng(0)
    header = ["user", "item", *(["rating"] if ratings else []), *(["ts"] if times else [])]
    lines, pairs = ["\t".join(header)], []
    for user in users:
        for place, item in enumerate(rng.permutation(20)[:10]):
            row = [f"u{user}", f"i{item + 20 * (user % 2)}"]
            pairs.append((row[0], row[1]))
            lines.append("\t".join([*row, *(["4"] if ratings else []), *([str(1_000_000 + place)] if times else [])]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return pairs


@pytest.mark.parametrize(("times", "ratings", "items"), [(True, True, True), (False, False, False)])
def test_the_judges_interface(run_job: RunJob, tmp_path: Path, times: bool, ratings: bool, items: bool) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    events(tmp_path / "train.tsv", times, ratings)
    visible = events(tmp_path / "visible.tsv", times, ratings, range(100, 102))
    (tmp_path / "users").write_text("u100\nu101\nstranger\n")
    (tmp_path / "candidates").write_text("".join(f"i{n}\n" for n in range(42)))
    more = []
    if items:
        rows = [f"i{n}\tTitle {n}\t{1990 + n % 5}\t{'Loud Rock' if n % 41 < 20 else 'Quiet'}" for n in range(42)]
        (tmp_path / "items.tsv").write_text("item\ttitle\tyear\tcategories\n" + "\n".join(rows) + "\n")
        more = ["--items", "items.tsv"]
    ran = run_job(
        "jobs.evaluate", "--train", "train.tsv", "--visible", "visible.tsv", "--users", "users",
        "--candidates", "candidates", "--k", 5, "--run", "out/run.tsv", "--config", "settings.yaml", *more,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    assert ran.result["users"] == 3
    rows = [line.split("\t") for line in (tmp_path / "out/run.tsv").read_text().splitlines()]
    assert [(user, rank) for user, _, rank in rows] == [
        (user, str(rank)) for user in ("u100", "u101", "stranger") for rank in range(1, 6)
    ]
    assert not {(user, item) for user, item, _ in rows} & set(visible)
    assert sum(int(item[1:]) < 20 for user, item, _ in rows if user == "u100") >= 4
    assert sum(20 <= int(item[1:]) < 40 for user, item, _ in rows if user == "u101") >= 4


def test_a_table_beside_peers_on_own_files(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    events(tmp_path / "events.tsv", True, True)
    asked = (
        "jobs.evaluate", "--events", "events.tsv", "--config", "settings.yaml", "--ablation", "--curve",
        "--protocol", "cold-session-1", "--protocol", "cold-session-3", "--protocol", "random", "--out", "out",
        "--peers", "popularity,item_knn,als,text_knn",
    )  # fmt: skip
    ran = run_job(*asked)
    assert ran.code == 0, ran.stderr
    assert set(ran.result["protocols"]) == {"random", "cold-session-1", "cold-session-3"}
    table = ran.result["protocols"]["random"]
    assert table["tailorbird"]["ndcg@10"] > table["popularity"]["ndcg@10"]
    assert table["tailorbird"]["ndcg_low"] < table["tailorbird"]["ndcg@10"] < table["tailorbird"]["ndcg_high"]
    assert {"item_knn", "graph model alone", "without the graph", "tailorbird, diversity 0.3"} <= set(table)
    asked_als = find_spec("implicit") is not None
    assert ("als" in table) == asked_als and ("als" in ran.result["skipped"]) != asked_als
    ratio = ran.result["ratios"]["random"]["popularity"]
    assert ratio["low"] <= ratio["ratio"] <= ratio["high"] and ratio["better"] == (ratio["low"] > 1)
    assert "graph model alone" in ran.stderr

    page = Path(tmp_path / ran.result["page"]).read_text(encoding="utf-8")
    assert page.count("<svg") >= 2 and "cold-session-3" in page
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)[^\"']*", page), "the page needs nothing from elsewhere"
    assert "<script" not in page and "@import" not in page and "url(http" not in page

    # Again, with one seed more: what was answered is taken as it is, what was not is asked now.
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/answers").glob("*.npy")}
    again = run_job(*asked, "--seeds", "2", "--minutes", "0")
    assert again.result["protocols"] == ran.result["protocols"]
    assert {what.split()[-1] for what in again.result["unfinished"]} == {"1"}
    more = run_job(*asked, "--seeds", "2")
    assert more.result["unfinished"] == [] and more.result["protocols"]["random"]["tailorbird"]["seeds"] == 2
    second = run_job(*asked, "--first-seed", "1", "--minutes", "0")
    assert second.result["unfinished"] == [] and second.result["protocols"]["random"]["tailorbird"]["seeds"] == 1
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out/answers").glob("*.npy")}
    assert files.items() < kept.items()


def test_items_that_come_after_training_are_in_open_lists(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    rng = np.random.default_rng(1)
    lines, count = ["user\titem\tts"], 240
    for user in range(120):
        own = rng.permutation(np.arange(user % 4, count, 4))[:16]
        lines += [f"u{user}\ti{item}\t{1_000_000 + place}" for place, item in enumerate(own)]
    (tmp_path / "events.tsv").write_text("\n".join(lines) + "\n")
    kinds = ("Loud Rock", "Quiet Ambient", "Old Baroque", "Odd Noise")
    rows = [f"i{item}\tTitle {item}\t{kinds[item % 4]}" for item in range(count)]
    (tmp_path / "items.tsv").write_text("item\ttitle\tcategories\n" + "\n".join(rows) + "\n")
    ran = run_job(
        "jobs.evaluate", "--events", "events.tsv", "--items", "items.tsv", "--config", "settings.yaml",
        "--protocol", "open-item", "--out", "out", "--peers", "none", "--k", 60,
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    whole, new = (ran.result["protocols"][view] for view in ("open-item", "open-item-new"))
    assert new["without the new items"]["recall@60"] == 0.0
    assert not ran.result["ratios"]["open-item-new"]
    assert new["tailorbird"]["recall@60"] > 0.5
    assert whole["tailorbird"]["recall@60"] > whole["without the new items"]["recall@60"]


def test_bad_input_is_named(run_job: RunJob, tmp_path: Path) -> None:
    assert run_job("jobs.evaluate", "--train", "x").code == 2
    for option in ("--protocol", "--peers"):
        ran = run_job("jobs.evaluate", option, "tarot")
        assert (ran.code, "tarot" in ran.result["error"]) == (2, True)
    path = tmp_path / "bad.tsv"
    path.write_text("user\titem\trating\nu\ti\tmany\n")
    with pytest.raises(InputError, match="line 2") as caught:
        read_columns(path)
    assert "'many'" in str(caught.value)
    for time in ("nan", "1e30", "-1e30", "soon"):
        path.write_text(f"user\titem\tts\nu\ti\t{time}\n")
        with pytest.raises(InputError, match=r"line 2.*is no time"):
            read_columns(path)
    path.write_text("person\titem\nu\ti\n")
    with pytest.raises(InputError, match="user"):
        read_columns(path)


def test_catalogues_are_read(tmp_path: Path) -> None:
    path = tmp_path / "items"
    path.write_text(
        "item\ttitle\tyear\tcategories\tcolour\n夜\tNight\t1990\tDrama Noir\tblue\nb\t\t\t\t\n", encoding="utf-8"
    )
    found = read_catalogue(path)
    assert found["夜"].categories == ("Drama", "Noir")
    assert dict(found["夜"].attributes) == {"year": "1990", "colour": "blue"}
    assert found["b"].title == ""


def test_awkward_files(run_job: RunJob, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    rows = [f"静{user}\ti/{item}\t\t" for user in range(30) for item in range(user % 2, 16, 2)]
    (tmp_path / "train").write_text("user\titem\trating\tts\n" + "\n".join([*rows, *rows[:40]]) + "\n")
    (tmp_path / "visible").write_text("user\titem\n静0\ti/0\n静0\ti/0\n静0\tnobody knows it\n")
    (tmp_path / "users").write_text("静0\nnobody\n静0\n\n")
    (tmp_path / "candidates").write_text("".join(f"i/{n}\n" for n in range(16)) + "new\u2028one\n")
    (tmp_path / "items").write_text('item\tprice in €\ttitle\ni/2\t3,50\tA "title\nnew\u2028one\t\t\nelse\t1\tX\n')
    asked = (
        "jobs.evaluate", "--train", "train", "--users", "users", "--candidates", "candidates", "--items", "items",
        "--k", 4, "--run", "run.tsv", "--config", "settings.yaml",
    )  # fmt: skip
    ran = run_job(*asked, "--visible", "visible")
    assert ran.code == 0, ran.stderr
    lists = [line.split("\t") for line in (tmp_path / "run.tsv").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [user for user, _, _ in lists] == ["静0"] * 4 + ["nobody"] * 4
    assert sum(int(item[2:]) % 2 == 0 for user, item, _ in lists[:4] if item.startswith("i/")) >= 3
    assert "i/0" not in [item for user, item, _ in lists if user == "静0"]
    (tmp_path / "empty").write_text("")
    ran = run_job(*asked, "--visible", "empty", "--held-out", "random")
    assert (ran.code, ran.result["users"]) == (0, 2)
    (tmp_path / "visible").write_text("user\titem\tts\n静0\ti/0\t1\n静0\t\t2\n")
    ran = run_job(*asked, "--visible", "visible")
    assert ran.code == 2 and "visible" in ran.result["place"] and "line 3" in ran.result["place"]
    assert run_job(*asked, "--visible", "visible", "--held-out", "tea").code == 2
