"""A database that does not answer: clients are told so, the log what the driver said, nobody the password."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from cluster.config import Settings, load_settings
from cluster.errors import ConfigError, FullError, UnavailableError
from cluster.store import Store, database
from tests.cluster.postgres import Postgres

PASSWORD = "pass-word-of-the-operator"
AWAY = f"postgresql://operator:{PASSWORD}@127.0.0.1:9/shop"


@pytest.fixture(autouse=True)
def nothing_told_yet() -> None:
    database._told.clear()


def test_clients_are_told_that_it_is_away_and_the_log_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store.open(Settings(state_dir=tmp_path, database_url=AWAY), readonly=True)
    with caplog.at_level(logging.WARNING, "tailorbird"):
        for _ in range(5):
            with pytest.raises(UnavailableError) as caught:
                store.registry.live("default", "graph")
            assert str(caught.value) == "the database does not answer"
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tailorbird.store"]
    assert "127.0.0.1" in line and "refused" in line and PASSWORD not in caplog.text
    assert PASSWORD not in repr(store) + repr(Settings(state_dir=tmp_path, database_url=AWAY))


def test_another_reason_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "tailorbird"):
        for said in ("locked", "locked", "no such host", "no such host"):
            assert str(database._away(sqlite3.OperationalError(said))) == database.AWAY
    assert [record.getMessage().rsplit(": ", 1)[1] for record in caplog.records] == ["locked", "no such host"]


def test_a_full_disk_is_told_apart() -> None:
    error = sqlite3.OperationalError("/var/lib/db: disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    found = database._away(error)
    assert isinstance(found, FullError) and str(found) == "the database's disk is full"


@pytest.mark.parametrize(
    "values",
    [
        {"database_url": 7},
        {"database_url": ["postgresql://a:pass-word-of-the-operator@b/c"]},
        {"limits": {"storage_url": {"url": PASSWORD}}},
        {"api_key": [PASSWORD]},
        {"encryption_keys": PASSWORD},
        {"oidc": {"issuer": {"password": PASSWORD}}},
    ],
    ids=str,
)
def test_no_message_about_settings_shows_a_secret(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides=values)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("url", [f"mysql://a:{PASSWORD}@b/c", f"postgresql:/{PASSWORD}", f"{PASSWORD}@nowhere"])
def test_a_url_that_is_none_is_not_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(Exception, match=r"database|URL|url") as caught:
        Store.open(Settings(state_dir=tmp_path, database_url=url), readonly=True)
    assert PASSWORD not in str(caught.value)


def test_an_error_of_a_statement_does_not_show_whose_data_it_was_about(tmp_path: Path) -> None:
    postgres = Postgres()
    try:
        for url in (None, postgres.url):
            with (
                Store.open(Settings(state_dir=tmp_path, database_url=url)) as store,
                pytest.raises(DBAPIError) as caught,
                store.database.writing() as connection,
            ):
                connection.execute(text("CREATE TABLE one (name TEXT PRIMARY KEY)"))
                for _ in range(2):
                    connection.execute(text("INSERT INTO one VALUES (:name)"), {"name": "anna@example.org"})
            shown = str(caught.value)
            assert "INSERT" in shown and "parameters hidden" in shown
    finally:
        postgres.remove()


def test_a_connection_gives_up_a_postgresql_that_vanishes(postgres_settings: Settings) -> None:
    url = f"{postgres_settings.database_url}&keepalives_idle=7"
    with Store.open(postgres_settings.model_copy(update={"database_url": url})) as store:
        with store.database.reading() as connection:
            driver: Any = connection.connection.driver_connection
            asked = driver.info.get_parameters()
            assert {name: asked[name] for name in database.CONNECTION} == {
                **{name: str(value) for name, value in database.CONNECTION.items()},
                "keepalives_idle": "7",  # what the URL says stands
            }
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "10min"
        with store.database.writing() as connection, pytest.raises(DBAPIError):
            connection.exec_driver_sql("SET LOCAL statement_timeout = 20")
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        with store.database.writing() as connection:  # the next transaction has the usual one again
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "10min"


def test_a_statement_that_is_ended_is_a_database_that_does_not_answer(
    postgres_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database.SESSION, "statement_timeout", 100)
    with Store.open(postgres_settings) as store:
        store.migrate()
        with pytest.raises(UnavailableError), store.database.reading() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        assert store.registry.live("default", "graph") is None
