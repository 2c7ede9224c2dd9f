"""The reference of the settings is whole, up to date, and its environment names work."""

from __future__ import annotations

import pytest

from cluster.config import load_settings, parse_section
from graph.config import GraphConfig
from tests.docs.configuration import PAGE, environment_name, page, settings


def test_the_page_says_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "out of date: run `make docs`"


def test_every_setting_has_a_meaning_and_is_on_the_page() -> None:
    names = dict(settings())
    assert len(names) > 100
    assert [name for name, field in names.items() if not field.description] == []
    text = page()
    assert [name for name in names if f"`{name}`<br>`{environment_name(name)}`" not in text] == []


def test_names_of_the_environment_reach_every_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment_name("graph.encoder.fanouts") == "TAILORBIRD_GRAPH__ENCODER__FANOUTS"
    monkeypatch.setenv("TAILORBIRD_LOG_LEVEL", "error")
    monkeypatch.setenv("TAILORBIRD_LIMITS__PER_KEY", '["100/second", "5000000/day"]')
    monkeypatch.setenv("TAILORBIRD_GRAPH__ENCODER__FANOUTS", "[8, 4]")
    monkeypatch.setenv("TAILORBIRD_GRAPH__ENCODER__DIM", "32")
    read = load_settings()
    assert read.log_level == "error" and read.limits.per_key == ["100/second", "5000000/day"]
    encoder = parse_section(GraphConfig, read.graph, "graph").encoder
    assert (encoder.fanouts, encoder.dim) == ((8, 4), 32)
