"""SQL databases as sources: a real SQLite file and a real PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cluster.config import Settings
from cluster.errors import InputError
from cluster.store import Store
from jobs.databases import is_database
from jobs.sources import open_table
from tests.cluster.postgres import Postgres
from tests.jobs.conftest import RunJob


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        with psycopg.connect(server.url) as connection:
            connection.execute("create schema shop")
            connection.execute(
                "create table shop.orders (id uuid default gen_random_uuid(), customer bigint, article text,"
                " price numeric(8, 2), bought timestamptz)"
            )
            connection.execute(
                "insert into shop.orders (customer, article, price, bought) select n % 50, 'a' || n % 7, n, "
                "timestamptz '2026-01-01 00:00+00' + n * interval '1 second' from generate_series(1, 12001) n"
            )
        yield server
    finally:
        server.remove()


def test_what_is_a_database() -> None:
    assert is_database("sqlite:///x.db#t") and is_database("postgresql+psycopg://u:p@h/d#select 1")
    assert not any(is_database(url) for url in ("s3://b/k.csv", "https://h/t.csv", "gs://b/k", "t.csv", "C:\\t.csv"))


def test_a_table_of_postgresql(postgres: Postgres, settings: Settings, run_job: RunJob, tmp_path: Path) -> None:
    """12,001 rows are more than two fetches; types come as they are, and loading again adds nothing."""
    url = postgres.url.replace("postgresql://", "postgresql+psycopg://")
    args = ("--events", f"{url}#shop.orders", "--type", "purchase")
    columns = ("--map", "event_id=id,user_id=customer,item_id=article,value=price,timestamp=bought")
    first = run_job("jobs.ingest", *args, *columns)
    assert first.code == 0, first.stderr
    assert first.result["events"] == {"rows": 12001, "rejected": 0, "new": 12001, "duplicate": 0}
    query = f"{url}#select id, customer, article, price, bought from shop.orders where customer < 10 order by bought"
    again = run_job("jobs.ingest", "--events", query, "--type", "purchase", *columns)
    assert again.code == 0 and again.result["events"]["new"] == 0 and again.result["events"]["duplicate"] == 2401
    with Store.open(settings, readonly=True) as store:
        events = [event for _, event in store.events.scan("default", limit=5)]
    assert (events[0].user_id, events[0].item_id, events[0].type, events[0].value) == ("1", "a1", "purchase", 1.0)
    assert events[0].timestamp_ms == 1_767_225_601_000


def test_rows_that_do_not_fit_are_named_and_written_down(run_job: RunJob, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table items (item_id, title, year)")
        connection.executemany(
            "insert into items values (?, ?, ?)", [("a", "A", 1999), ("", "B", 2000), (7, "C", None)]
        )
    connection.close()
    url = f"sqlite:///{tmp_path}/shop.db#items"
    stopped = run_job("jobs.ingest", "--items", url)
    assert stopped.code == 2 and stopped.result["place"].startswith(f"{url}, row 2"), stopped.result
    ran = run_job("jobs.ingest", "--items", url, "--rejects", "rejects.jsonl")
    assert ran.code == 0 and ran.result["items"] == {"rows": 2, "rejected": 1}
    (reject,) = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert reject["line"] == 2 and reject["row"]["title"] == "B"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////nowhere/at/all.db#t", "cannot be opened"),
        ("sqlite://#t", "no such table"),
        ("sqlite://#select 1 as a, 2 as a", "twice"),
        ("sqlite://", "names no table"),
        ("mysql+pymysql://u:secret@h/d#t", "pymysql"),
    ],
)
def test_what_cannot_be_read(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught, open_table(url):
        pass
    assert "secret" not in f"{caught.value.place} {caught.value}"


def test_a_server_that_does_not_answer(postgres: Postgres) -> None:
    with pytest.raises(InputError, match="cannot be opened"), open_table("postgresql+psycopg://u@127.0.0.1:1/d#t"):
        pass
    with pytest.raises(InputError, match="does not exist"), open_table(f"{postgres.url}#nothing"):
        pass
