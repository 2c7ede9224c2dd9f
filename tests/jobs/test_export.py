from __future__ import annotations

import gzip
import json
from array import array
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.messages import Event, Item, User
from cluster.rules import Rule
from cluster.store import Feedback, Store
from jobs import export as export_job
from jobs.export import export
from tests.jobs.conftest import RunJob

EVENTS = [
    Event("z", "用户 42", "a/b", "like", 1_767_225_600_001),
    Event("a", "u", "i", "rating", 5_000, 4.5, "session", "list", {"b": [1, 2.5, None], "a": {"猫": "\u2028"}}),
    Event("m", "u", "i", "view", 0, -0.1, context={}),
]
ITEMS = [
    Item("b", "Misérables", "About\nit", ("Sci-Fi", "Children's"), ("t",), {"year": 1995, "z": [1.5], "a": "01"}),
    Item(
        "ä/1",
        image_url="https://example.org/i.png",
        audio_url="s3://bucket/a.mp3",
        available_from_ms=1,
        available_until_ms=2,
        hidden=True,
        updated_ms=1_700_000_000_123,
        vectors={"image": array("f", [0.1, 1 / 3, -2e-7]), "audio": array("f", [7.0])},
    ),
    Item("B", updated_ms=5),
]
USERS = [User("u", {"age": 42, "tags": ["x"]}, 7), User("用户 42")]
RULES = [
    Rule("a/b", "pin", item_id="a/b", position=1, note="太吵", updated_ms=9),
    Rule("z", "boost", filter='genre == "Drama"', factor=2.5, enabled=False, starts_ms=1_000, ends_ms=2_001),
]
FEEDBACK = [
    Feedback("z", 1_700_000_000_123, "用户 42", "list", None, "a/b", "up", "太好了\n\u2028"),
    Feedback("a", 5, content_id="text", rating="down"),
]
KINDS = ("events", "items", "users", "feedback", "rules")


def filled(settings: Settings) -> None:
    with Store.open(settings) as store:
        store.migrate()
        store.events.append(EVENTS)
        store.items.put(ITEMS)
        store.users.put(USERS)
        store.feedback.add([*FEEDBACK, Feedback("other", 1, content_id="t", comment="?", tenant="other")])
        store.rules.put(None, [*RULES, Rule("other", "cap", each="tag", max_items=1, tenant="other")])
        store.events.append([Event("other", "x", "y", "view", 1, tenant="other")])


def test_a_backup_comes_back_byte_for_byte(
    settings: Settings, run_job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(settings)
    first = {kind: tmp_path / f"{kind}.jsonl" for kind in KINDS}
    args = [part for kind in KINDS for part in (f"--{kind}", first[kind])]
    ran = run_job("jobs.export", *args)
    assert ran.code == 0, ran.stderr
    assert {kind: ran.result[kind]["rows"] for kind in KINDS} == {
        "events": 3,
        "items": 3,
        "users": 2,
        "feedback": 2,
        "rules": 2,
    }
    settings.state_dir.rename(tmp_path / "old")
    assert run_job("jobs.ingest", *args).code == 0
    again = {kind: tmp_path / f"{kind}-again.jsonl" for kind in KINDS}
    assert run_job("jobs.export", *(part for kind in KINDS for part in (f"--{kind}", again[kind]))).code == 0
    for kind in KINDS:
        assert again[kind].read_bytes() == first[kind].read_bytes()
    with Store.open(settings, readonly=True) as store:
        assert [event for _, event in store.events.scan("default")] == EVENTS
        assert [entry for _, entry in store.feedback.scan("default")] == FEEDBACK
    assert run_job("jobs.ingest", *args).code == 0
    with Store.open(settings, readonly=True) as store:
        assert len(store.feedback.scan("default")) == 2  # what comes again counts once


@pytest.mark.parametrize(
    "line",
    [
        {"feedback_id": "x", "rating": "up"},
        {"rating": "up", "created_at": 5},
        {"feedback_id": "x", "created_at": 5, "rating": "good"},
        {"feedback_id": "x", "created_at": 5, "verdict": "up"},
    ],
)
def test_a_line_that_is_no_feedback_stops_everything(
    settings: Settings, run_job: RunJob, tmp_path: Path, line: dict[str, object]
) -> None:
    filled(settings)
    good = {"feedback_id": "new", "created_at": 5, "rating": "up", "content_id": "t"}
    (tmp_path / "f.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(line)}\n")
    ran = run_job("jobs.ingest", "--feedback", tmp_path / "f.jsonl")
    assert ran.code == 2 and "f.jsonl, line 2" in ran.stderr
    with Store.open(settings, readonly=True) as store:
        assert len(store.feedback.scan("default")) == 2


def test_lines_are_canonical_and_in_order(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_job, "PAGE_ROWS", 2)
    filled(settings)
    with Store.open(settings, readonly=True) as store:
        assert export(store, "default", "events", tmp_path / "e.jsonl") == 3
        assert export(store, "default", "items", tmp_path / "i.jsonl") == 3
        assert export(store, "default", "events", tmp_path / "e.jsonl.gz") == 3
    lines = (tmp_path / "e.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == ["z", "a", "m"]
    for line in lines:
        canonical = json.dumps(json.loads(line), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert line.decode() == canonical
    ids = [json.loads(line)["item_id"] for line in (tmp_path / "i.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ids == sorted(ids) == ["B", "b", "ä/1"]
    zipped = (tmp_path / "e.jsonl.gz").read_bytes()
    assert gzip.decompress(zipped) == (tmp_path / "e.jsonl").read_bytes()


def test_a_file_appears_whole_or_not_at_all(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(settings)
    out = tmp_path / "out" / "e.jsonl"
    out.parent.mkdir()
    out.write_text("before")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with Store.open(settings, readonly=True) as store, monkeypatch.context() as patch:
        patch.setattr(export_job, "event_record", fail)
        with pytest.raises(KeyboardInterrupt):
            export(store, "default", "events", out)
    assert out.read_text() == "before"
    assert list(out.parent.iterdir()) == [out]


def test_export_beside_a_writer(settings: Settings, store: Store, tmp_path: Path, run_job: RunJob) -> None:
    store.events.append(EVENTS)
    ran = run_job("jobs.export", "--events", "e.jsonl")
    assert (ran.code, ran.result["events"]["rows"]) == (0, 3)
    assert (tmp_path / "e.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_exported(run_job: RunJob, tmp_path: Path) -> None:
    assert run_job("jobs.export").code == 2
    ran = run_job("jobs.export", "--events", "e.jsonl")
    assert (ran.code, ran.result["ok"]) == (1, False)
    assert "does not exist yet" in ran.result["error"]
    (tmp_path / "state").mkdir(exist_ok=True)
    with Store.open(Settings(state_dir=tmp_path / "state")) as store:
        store.migrate()
    assert run_job("jobs.export", "--events", "no/such/folder/e.jsonl").code == 2
