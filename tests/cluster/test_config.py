"""Settings: where they come from, which wins, and how a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import load_settings
from cluster.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("TAILORBIRD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str) -> Path:
    file = Path("settings.yaml")
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_bind_to_loopback_and_keep_state_here(tmp_path: Path) -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/.tailorbird/tailorbird.db"
    assert settings.resolved_artifacts_url == f"{tmp_path}/.tailorbird/artifacts"


def test_environment_wins_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("port: 9001\nsessions:\n  max_queue: 7\n  max_batch: 9\n")
    monkeypatch.setenv("TAILORBIRD_PORT", "9002")
    monkeypatch.setenv("TAILORBIRD_SESSIONS__MAX_QUEUE", "8")
    settings = load_settings(file)
    assert settings.port == 9002
    assert (settings.sessions.max_queue, settings.sessions.max_batch) == (8, 9)


def test_file_of_the_working_directory_and_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tailorbird.yaml").write_text("port: 9003\n")
    assert load_settings().port == 9003
    Path("other.yaml").write_text("port: 9004\n")
    monkeypatch.setenv("TAILORBIRD_CONFIG", "other.yaml")
    assert load_settings().port == 9004


def test_sections_of_the_domain_packages_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_GRAPH__TRAINING__EPOCHS", "3")
    assert load_settings(write("graph:\n  seed: 1\n")).graph == {"seed": 1, "training": {"epochs": 3}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot: 1\n", ["prot"]),
        ("sessions:\n  shrads: 2\n", ["sessions.shrads"]),
        ("port: many\n", ["port", "'many'"]),
        ("port: 80\n", ["port", "80", "1024"]),
        ("events:\n  weights: {Bad Name: 1}\n", ["Bad Name"]),
        ("sessions:\n  shards: 2\n", ["sessions.shards", "2", "SQLite"]),
        ("- a\n", ["list", "mapping"]),
        ("a: [\n", ["cannot be read"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(text: str, named: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write(text))
    for part in named:
        assert part in str(raised.value)


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_PROT", "1")
    with pytest.raises(ConfigError, match="TAILORBIRD_PROT"):
        load_settings()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILORBIRD_API_KEY", "very-secret-key")
    assert "very-secret-key" not in repr(load_settings())


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_settings("nowhere.yaml")
