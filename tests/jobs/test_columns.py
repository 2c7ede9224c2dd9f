from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from cluster.errors import InputError
from jobs.columns import ColumnMap, ColumnTypes, RecordBuilder


def builder(kind: str, *maps: str, ignore: tuple[str, ...] = (), **options: Any) -> RecordBuilder:
    return RecordBuilder(kind, ColumnMap.parse(maps, ignore), ColumnTypes(), **options)


def test_mapped_by_kind_or_for_all() -> None:
    maps = ("user_id=uid,events.item_id=sku", "items.item_id=ean")
    events = builder("events", *maps)
    assert events.build({"uid": "u", "sku": " i ", "type": "view"}, typed=False) == {
        "user_id": "u",
        "item_id": "i",
        "type": "view",
    }
    assert builder("items", *maps).build({"ean": "7"}, typed=False) == {"item_id": "7"}
    assert builder("users", *maps).build({"uid": "u"}, typed=False) == {"user_id": "u"}


def test_a_field_that_is_mapped_does_not_come_from_its_own_name() -> None:
    assert builder("users", "user_id=uid").build({"uid": "u", "user_id": "7"}, typed=False) == {
        "user_id": "u",
        "attributes": {"user_id": "7"},
    }


@pytest.mark.parametrize(
    "bad", ["user_id", "=uid", "user_id=", "nonsense=x", "events.title=x", "events.attributes.a=x"]
)
def test_a_mapping_that_is_none(bad: str) -> None:
    with pytest.raises(InputError, match="--map"):
        ColumnMap.parse([bad])


def test_a_mapping_that_no_file_uses() -> None:
    columns = ColumnMap.parse(["user_id=uid"])
    RecordBuilder("events", columns, ColumnTypes()).check_columns(("user_id", "item_id"), ("user_id",))
    with pytest.raises(InputError, match="'uid'"):
        columns.check_used()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("user_id", "item_id", "price"), "price: no field"),
        (("user_id", "type"), "item_id: no column"),
        (("user_id", "uid", "item_id"), "user_id: more than one"),
    ],
)
def test_a_table_whose_columns_do_not_fit(columns: tuple[str, ...], words: str) -> None:
    maps = ("user_id=uid,user_id=user_id",) if "uid" in columns else ()
    with pytest.raises(InputError, match=words):
        builder("events", *maps).check_columns(columns, ("user_id", "item_id"))


def test_ignored_columns() -> None:
    row = {"user_id": "u", "a": "1", "b": "2"}
    assert builder("users", ignore=("a,b",)).build(row, typed=False) == {"user_id": "u"}
    events = builder("events", ignore=("*",))
    events.check_columns(("user_id", "a"), ("user_id",))
    assert events.build(row, typed=False) == {"user_id": "u"}


def test_text_becomes_what_its_field_is() -> None:
    row = {
        "item_id": "007",
        "title": " T ",
        "categories": "Science Fiction| Drama ||",
        "tags": "",
        "available_from": "1767225600",
        "available_until": "2026-01-02",
        "hidden": "Yes",
        "attributes": '{"a": [1]}',
        "b": "x",
    }
    assert builder("items").build(row, typed=False) == {
        "item_id": "007",
        "title": "T",
        "categories": ["Science Fiction", "Drama"],
        "available_from": 1767225600.0,
        "available_until": "2026-01-02",
        "hidden": True,
        "attributes": {"a": [1], "b": "x"},
    }
    assert builder("items", separator=" ").build({"tags": "a  b"}, typed=False) == {"tags": ["a", "b"]}
    event = {"timestamp": "1767225600123", "value": "3.5", "context": '{"page": 1}'}
    assert builder("events", time_unit_ms=1).build(event, typed=False) == {
        "timestamp": 1767225600.123,
        "value": 3.5,
        "context": {"page": 1},
    }


def test_typed_values_keep_their_types() -> None:
    row = {
        "item_id": 7,
        "title": " T ",
        "categories": ["a"],
        "hidden": False,
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "day": date(2026, 1, 1),
        "price": Decimal("1.5"),
        "zip": "01234",
        "none": None,
        "parts": [{"at": date(2026, 1, 1)}],
        "available_from": datetime(2026, 1, 1, tzinfo=UTC),
    }
    assert builder("items").build(row, typed=True) == {
        "item_id": "7",
        "title": " T ",
        "categories": ["a"],
        "hidden": False,
        "available_from": "2026-01-01T00:00:00.000000+00:00",
        "attributes": {
            "when": "2026-01-01T00:00:00.000000+00:00",
            "day": "2026-01-01",
            "price": 1.5,
            "zip": "01234",
            "parts": [{"at": "2026-01-01"}],
        },
    }


def test_a_filled_rating_makes_a_rating() -> None:
    events = builder("events", "rating=stars")
    assert events.build({"stars": "4", "type": ""}, typed=False) == {"type": "rating", "value": 4.0}
    assert events.build({"stars": "", "type": "view"}, typed=False) == {"type": "view"}
    for bad in ({"stars": "4", "type": "view"}, {"stars": "4", "value": "4"}, {"stars": "many"}):
        with pytest.raises(InputError) as caught:
            events.build(bad, typed=False)
        assert events.column_of(caught.value.place) == "stars"


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "-20", "0"], [1, -20, 0]),
        (["1", "2.5"], [1.0, 2.5]),
        (["true", "False"], [True, False]),
        (["85711", "T8H1N"], ["85711", "T8H1N"]),
        (["01234", "99"], ["01234", "99"]),
        (["true", "1"], ["true", "1"]),
        (["12345678901234567890", "1"], ["12345678901234567890", "1"]),
        (["1e5", "2"], ["1e5", "2"]),
        (["nan", "1"], ["nan", "1"]),
    ],
)
def test_the_type_of_a_column_is_that_of_all_its_values(texts: list[str], values: list[Any]) -> None:
    types = ColumnTypes()
    for text in texts:
        types.learn({"column": text})
    converted = [types.convert("column", text) for text in texts]
    assert converted == values
    assert [type(value) for value in converted] == [type(value) for value in values]
