from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.config import Settings
from cluster.errors import InputError
from cluster.identity import Identity
from cluster.messages import Event
from cluster.sections import EventsConfig
from cluster.store import Store
from cluster.store.events import EventStore
from jobs import ingest as ingest_job
from jobs.columns import ColumnMap
from jobs.ingest import ingest
from jobs.intake import Format, Intake
from tests.jobs.conftest import ROOT, RunJob

HEADER = "event_id,user_id,item_id,type,value,timestamp\n"


def take(settings: Settings, *files: tuple[str, Path], maps: tuple[str, ...] = (), **options: Any) -> dict[str, Any]:
    form = options.pop("form", None)
    intake = Intake(settings, time.time_ns() // 1_000_000, ColumnMap.parse(maps), form, **options)
    return ingest(settings, intake, [(kind, str(path)) for kind, path in files])


def stored(settings: Settings) -> list[Event]:
    with Store.open(settings, readonly=True) as store:
        return [event for _, event in store.events.scan(settings.tenant)]


def events_file(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_events_of_all_formats_are_the_same_events(settings: Settings, tmp_path: Path) -> None:
    records = [
        {"event_id": "1", "user_id": "用户", "item_id": "a/b", "type": "like", "timestamp": 1767225600},
        {"event_id": "2", "user_id": "7", "item_id": "8", "type": "rating", "value": 4.5, "timestamp": 1767225601},
    ]
    rows = [",".join(str(record.get(name, "")) for name in HEADER.strip().split(",")) for record in records]
    csv = events_file(tmp_path / "e.csv", *rows)
    tsv = tmp_path / "e.tsv"
    tsv.write_text(csv.read_text(encoding="utf-8").replace(",", "\t"), encoding="utf-8")
    jsonl = tmp_path / "e.jsonl"
    jsonl.write_text("".join(json.dumps(record) + "\n" for record in records))
    parquet = tmp_path / "e.parquet"
    pq.write_table(pa.Table.from_pylist([{"value": None} | record for record in records]), parquet)
    result = take(settings, *(("events", path) for path in (csv, tsv, jsonl, parquet)))
    assert result["events"] == {"rows": 8, "rejected": 0, "new": 2, "duplicate": 6}
    assert stored(settings) == [
        Event("1", "用户", "a/b", "like", 1_767_225_600_000),
        Event("2", "7", "8", "rating", 1_767_225_601_000, 4.5),
    ]


@pytest.mark.parametrize(
    ("broken", "place", "reason"),
    [
        ("7,u,i,view,,yesterday", "column 'timestamp'", "ISO 8601"),
        ("7,u,i,view,many,", "column 'value'", "not a number"),
        ("7,u,i,view,nan,", "column 'value'", "not a number"),
        ("7,u,,view,,", "column 'item_id'", "missing"),
        ("7,u,i,View!,,", "column 'type'", "a-z"),
        ("7,u,i,view,,-5", "column 'timestamp'", "1970"),
        ("7,u,i,view,,99999999999", "column 'timestamp'", "ahead"),
        (f"7,{'x' * 10_000},i,view,,", "column 'user_id'", "256"),
        ("7,u,i,view", "line 7", "has 4 fields"),
        ('7,u,"i,view,,', "line 7", "cannot be read"),
    ],
)
def test_line_7_of_9_is_broken_and_nothing_is_loaded(
    settings: Settings, tmp_path: Path, broken: str, place: str, reason: str
) -> None:
    good = [f"{n},u{n},i{n},view,,1767225600" for n in range(2, 10)]
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\ni2,T\n")
    path = events_file(tmp_path / "e.csv", *good[:5], broken, *good[5:])
    with pytest.raises(InputError, match=reason) as caught:
        take(settings, ("items", items), ("events", path))
    assert caught.value.place.startswith(f"{path}, line 7")
    assert place in caught.value.place
    assert not (settings.state_dir / "tailorbird.db").exists()


def test_with_a_rejects_file_the_good_rows_count(run_job: RunJob, tmp_path: Path) -> None:
    events_file(tmp_path / "e.csv", "1,u,i,view,,1", "2,u,i,VIEW,,1", "3,u,i", "4,u,i,like,,1")
    ran = run_job("jobs.ingest", "--events", "e.csv", "--rejects", "rejects.jsonl")
    assert ran.code == 0
    assert ran.result["events"] == {"rows": 2, "rejected": 2, "new": 2, "duplicate": 0}
    rejects = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(reject["line"], reject["column"]) for reject in rejects] == [(3, "type"), (4, None)]
    assert rejects[0]["row"]["type"] == "VIEW"
    assert all(reject["file"] == "e.csv" and reject["reason"] for reject in rejects)


def test_a_broken_file_is_exit_code_2_and_names_the_place(run_job: RunJob, tmp_path: Path) -> None:
    events_file(tmp_path / "e.csv", *["1,u,i,view,,1"] * 5, "1,u,i,view,x,1", "1,u,i,view,,1")
    ran = run_job("jobs.ingest", "--events", "e.csv")
    assert (ran.code, ran.result["ok"], ran.result["place"]) == (2, False, "e.csv, line 7, column 'value'")
    assert not (tmp_path / "state" / "tailorbird.db").exists()
    for args in (
        (),
        ("--events", "missing.csv"),
        ("--events", "e.csv", "--map", "uid"),
        ("--items", "e.csv", "--map", "a"),
    ):
        assert run_job("jobs.ingest", *args).code == 2


def test_columns_that_do_not_fit(settings: Settings, tmp_path: Path) -> None:
    path = events_file(tmp_path / "e.csv", "u,i,view", header="uid,item_id,type\n")
    with pytest.raises(InputError, match="--map events"):
        take(settings, ("events", path))
    with pytest.raises(InputError, match="'nowhere'"):
        take(settings, ("events", path), maps=("user_id=uid,value=nowhere",))
    assert take(settings, ("events", path), maps=("user_id=uid",))["events"]["new"] == 1


def test_rows_without_ids_get_the_same_ones_again(settings: Settings, tmp_path: Path) -> None:
    header = "user_id,item_id,type,timestamp\n"
    rows = ["u,i,view,1767225600", "u,j,view,1767225600", "u,i,view,1767225600", "u,i,view,"]
    path = events_file(tmp_path / "e.csv", *rows, header=header)
    assert take(settings, ("events", path))["events"]["new"] == 4
    before = stored(settings)
    assert len({event.event_id for event in before}) == 4
    longer = events_file(tmp_path / "longer.csv", *rows, "u,i,view,1767225600", header=header)
    assert take(settings, ("events", longer))["events"] == {"rows": 5, "rejected": 0, "new": 1, "duplicate": 4}
    # The form of the file is not its content.
    records = [dict(zip(header.strip().split(","), row.split(","), strict=True)) for row in rows]
    jsonl = tmp_path / "e.jsonl"
    jsonl.write_text("".join(json.dumps({k: v for k, v in record.items() if v}) + "\n" for record in records))
    assert take(settings, ("events", jsonl))["events"]["new"] == 0


def test_ratings_and_types_from_the_command_line(settings: Settings, tmp_path: Path) -> None:
    path = events_file(tmp_path / "r.csv", "u,i,4", "u,j,5", header="user_id,item_id,rating\n")
    result = take(settings, ("events", path))
    assert [(event.type, event.value) for event in stored(settings)] == [("rating", 4.0), ("rating", 5.0)]
    assert result["warnings"] == []
    path = events_file(tmp_path / "v.csv", "u,i", header="user_id,item_id\n")
    with pytest.raises(InputError, match="type"):
        take(settings, ("events", path))
    take(settings, ("events", path), form=Format(default_type="play"))
    assert stored(settings)[-1].type == "play"


def test_ratings_beyond_the_scale_are_pointed_out(settings: Settings, tmp_path: Path) -> None:
    path = events_file(tmp_path / "r.csv", "u,i,9", header="user_id,item_id,rating\n")
    (warning,) = take(settings, ("events", path))["warnings"]
    assert "events.rating_scale" in warning
    wide = settings.model_copy(update={"events": EventsConfig(rating_scale=(1, 10))})
    assert take(wide, ("events", path))["warnings"] == []


def test_items_and_users_with_attributes(settings: Settings, tmp_path: Path) -> None:
    items = tmp_path / "i.csv"
    items.write_text(
        "item_id,title,categories,year,zip,price,empty\n1,T,Sci-Fi|Drama,1999,01234,5,\n2,U,,2001,99,5.5,\n"
    )
    users = tmp_path / "u.csv"
    users.write_text("user_id;age;vip\nu;42;true\n")
    take(settings, ("items", items), ("users", users))
    with Store.open(settings, readonly=True) as store:
        found = store.items.get("default", ["1", "2"])
        (user,) = store.users.scan("default")
    assert found["1"].categories == ("Sci-Fi", "Drama")
    assert found["1"].attributes == {"year": 1999, "zip": "01234", "price": 5.0}
    assert found["2"].attributes == {"year": 2001, "zip": "99", "price": 5.5}
    assert user.attributes == {"age": 42, "vip": True}


def test_items_with_vectors(settings: Settings, tmp_path: Path) -> None:
    table, text = tmp_path / "i.parquet", tmp_path / "i.csv"
    pq.write_table(pa.table({"item_id": ["1", "2"], "seen": [[0.1, 2.0], None], "title": ["T", "U"]}), table)
    text.write_text('item_id;seen\n3;"[0.5, 1]"\n')
    take(settings, ("items", table), ("items", text), maps=("vectors.image=seen",))
    with Store.open(settings, readonly=True) as store:
        found = store.items.get("default", ["1", "2", "3"])
    assert {name: {key: list(v) for key, v in item.vectors.items()} for name, item in found.items()} == {
        "1": {"image": [pytest.approx(0.1), 2.0]},
        "2": {},
        "3": {"image": [0.5, 1.0]},
    }
    assert found["1"].attributes == {}


def test_vectors_of_two_lengths_are_refused_and_named(settings: Settings, tmp_path: Path) -> None:
    path, rejects = tmp_path / "i.jsonl", []
    lines = [{"item_id": f"i{n}", "vectors": {"image": [1.0] * (2 + (n == 1))}} for n in range(3)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(InputError, match=r"line 2.*vectors\.image.*'i1' has 3 numbers, items before it 2"):
        take(settings, ("items", path))
    take(settings, ("items", path), on_reject=rejects.append)
    with Store.open(settings, readonly=True) as store:
        assert sorted(item.item_id for item in store.items.scan("default")) == ["i0", "i2"]
    assert [reject["line"] for reject in rejects] == [2]


def test_user_ids_are_pseudonymised_unless_they_are_already(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", pseudonymise_key="secret")  # type: ignore[arg-type]
    path = events_file(tmp_path / "e.csv", "1,ann,i,view,,1")
    users = tmp_path / "u.csv"
    users.write_text("user_id\nann\n")
    take(settings, ("events", path), ("users", users))
    pseudonym = Identity(["secret"]).stored("default", "ann")
    assert [event.user_id for event in stored(settings)] == [pseudonym]
    with Store.open(settings, readonly=True) as store:
        assert list(store.users.get("default", [pseudonym])) == [pseudonym]
    path = events_file(tmp_path / "b.csv", f"2,{pseudonym},i,view,,1")
    take(settings, ("events", path), stored_ids=True)
    assert {event.user_id for event in stored(settings)} == {pseudonym}


def test_many_rows_in_chunks(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_job, "CHUNK_ROWS", 7)
    path = events_file(tmp_path / "e.csv", *(f"{n},u{n % 5},i{n},view,,{n}" for n in range(100)))
    assert take(settings, ("events", path))["events"]["new"] == 100
    assert [event.event_id for event in stored(settings)] == [str(n) for n in range(100)]


def test_a_load_that_was_cut_off_is_run_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_job, "CHUNK_ROWS", 3)
    path = events_file(
        tmp_path / "e.csv", *(["u,i,view,5"] * 5 + ["u,j,like,"] * 5), header="user_id,item_id,type,timestamp\n"
    )
    append, calls = EventStore.append, []

    def interrupted(part: EventStore, batch: list[Event]) -> list[bool]:
        calls.append(len(batch))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return append(part, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(EventStore, "append", interrupted)
        take(settings, ("events", path))
    assert len(stored(settings)) == 6
    assert take(settings, ("events", path))["events"] == {"rows": 10, "rejected": 0, "new": 4, "duplicate": 6}
    assert len(stored(settings)) == 10


def test_a_job_waits_for_no_writer_for_ever(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process (here: the fixture) has the right to write, the job says so."""
    from cluster.errors import UnavailableError
    from cluster.store import connect

    monkeypatch.setattr(connect, "START_WAIT_S", 0.1)
    with pytest.raises(UnavailableError, match="one writer"):
        take(settings, ("items", ROOT / "examples/bookshop/items.jsonl"))


def test_the_example_as_its_readme_says(run_job: RunJob, tmp_path: Path) -> None:
    shop = ROOT / "examples" / "bookshop"
    readme = (shop / "README.md").read_text(encoding="utf-8")
    command = readme.split("```")[1].replace("\\\n", " ").split()
    assert command[:3] == ["python", "-m", "jobs.ingest"]
    args = [str(ROOT / part) if part.startswith("examples/") else part for part in command[3:]]
    ran = run_job("jobs.ingest", *args)
    assert ran.code == 0, ran.stderr
    assert ran.result["items"]["rows"] == 10
    assert ran.result["events"]["new"] == 30
    exported = []
    for _ in range(2):
        assert run_job("jobs.export", "--items", "i.jsonl").code == 0
        lines = (tmp_path / "i.jsonl").read_text(encoding="utf-8").splitlines()
        exported.append([{k: v for k, v in json.loads(line).items() if k != "updated_at"} for line in lines])
        assert run_job("jobs.ingest", "--items", shop / "items.jsonl").code == 0
    assert exported[0] == exported[1]
    assert {type(item["attributes"]["year"]) for item in exported[0]} == {int}
