from __future__ import annotations

import json
import math
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import InputError
from cluster.messages import Event, Item, User
from cluster.records import (
    event_record,
    format_time,
    item_record,
    parse_event,
    parse_item,
    parse_time,
    parse_user,
    user_record,
)
from cluster.sections import EventsConfig

NOW_MS = 1_800_000_000_000
CONFIG = EventsConfig()
GOOD: dict[str, Any] = {"event_id": "e1", "user_id": "42", "item_id": "50", "type": "like"}


def event(**changes: Any) -> Event:
    return parse_event(GOOD | changes, now_ms=NOW_MS, config=CONFIG)


def test_what_is_missing_is_filled_in() -> None:
    parsed = parse_event({"user_id": "u", "item_id": "i", "type": "view"}, now_ms=NOW_MS, config=CONFIG, tenant="t")
    assert (parsed.timestamp_ms, parsed.tenant, parsed.value, parsed.context) == (NOW_MS, "t", None, None)
    assert len(parsed.event_id) == 32
    record = {"item_id": "i"}
    parsed = parse_event(record, now_ms=NOW_MS, config=CONFIG, user_id="anyone", default_type="view")
    assert (parsed.user_id, parsed.type) == ("anyone", "view")
    assert event(value=None, session_id=None, context=None) == event()


@pytest.mark.parametrize("good", ["1", "x" * 256, "a/b?c#d", "用户-42", "😀", " ", "a\nb", "00042"])
def test_ids_are_opaque(good: str) -> None:
    assert event(user_id=good).user_id == good
    assert parse_item({"item_id": good}, now_ms=1).item_id == good


@pytest.mark.parametrize("bad", ["", "x" * 257, "x" * 10_000, "a\0b", "\ud800", 42, 4.2, True, ["a"], {}, None])
def test_what_is_no_id(bad: object) -> None:
    for field in ("user_id", "item_id"):
        with pytest.raises(InputError) as caught:
            event(**{field: bad})
        assert caught.value.place == field
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("type", ""),
        ("type", "Like"),
        ("type", "a b"),
        ("type", "x" * 65),
        ("type", "é"),
        ("type", 3),
        ("type", None),
        ("value", "3"),
        ("value", True),
        ("value", math.nan),
        ("value", math.inf),
        ("value", 10**400),
        ("timestamp", -1),
        ("timestamp", -0.5),
        ("timestamp", math.nan),
        ("timestamp", math.inf),
        ("timestamp", 10**400),
        ("timestamp", True),
        ("timestamp", "yesterday"),
        ("timestamp", "1767225600"),
        ("timestamp", "1969-12-31T23:59:59Z"),
        ("timestamp", "2026-13-01"),
        ("timestamp", "9999-12-31T23:59:59-23:00"),
        ("timestamp", NOW_MS / 1000 + 86_401),
        ("timestamp", NOW_MS),
        ("timestamp", [1]),
        ("context", []),
        ("context", "{}"),
        ("context", {"a": math.nan}),
        ("context", {"a": "\0"}),
        ("context", {"a": "x" * 4096}),
        ("context", {"a": 10**30}),
        ("session_id", 7),
        ("recommendation_id", ""),
        ("nonsense", 1),
    ],
)
def test_each_fault_names_its_field(field: str, bad: object) -> None:
    with pytest.raises(InputError) as caught:
        event(**{field: bad})
    assert caught.value.place.split(".")[0] == field


@pytest.mark.parametrize("bad", [None, 3, "x", [], [GOOD], True])
def test_an_event_is_an_object(bad: object) -> None:
    with pytest.raises(InputError, match="object"):
        parse_event(bad, now_ms=NOW_MS, config=CONFIG)


def test_a_rating_needs_a_value() -> None:
    assert event(type="rating", value=4).value == 4.0
    with pytest.raises(InputError, match="rating"):
        event(type="rating")


def test_deep_context_is_refused_without_recursing_for_ever() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(InputError, match="nested"):
        event(context=deep)


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01", 1_767_225_600_000),
        ("2026-01-01 01:30:00.25+01:30", 1_767_225_600_250),
        (1_767_225_600, 1_767_225_600_000),
        (0.0015, 2),
        (0, 0),
    ],
)
def test_times(written: object, ms: int) -> None:
    assert parse_time(written, "timestamp") == ms
    assert parse_time(format_time(ms), "") == ms


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("title", 3),
        ("title", "x" * 1001),
        ("title", "\ud800"),
        ("description", "x" * 20_001),
        ("categories", "Drama"),
        ("categories", [1]),
        ("categories", [""]),
        ("categories", ["x" * 201]),
        ("tags", ["x"] * 101),
        ("attributes", []),
        ("attributes", {"a": "x" * 70_000}),
        ("vectors", [1.0]),
        ("vectors", {name: [1.0] for name in "abcde"}),
        ("vectors", {"An image": [1.0]}),
        ("vectors", {"image": "1 2"}),
        ("vectors", {"image": []}),
        ("vectors", {"image": [1.0] * 2049}),
        ("vectors", {"image": [1.0, None]}),
        ("vectors", {"image": [1.0, True]}),
        ("vectors", {"image": [1.0, float("nan")]}),
        ("vectors", {"image": [1e39]}),
        ("vectors", {"image": [0, 0.0, 1e-60]}),
        ("image_url", "javascript:alert(1)"),
        ("image_url", "http://a b"),
        ("audio_url", "file:///etc/passwd"),
        ("available_from", "soon"),
        ("hidden", 1),
        ("hidden", "yes"),
        ("updated_at", "x"),
        ("year", 1999),
    ],
)
def test_each_fault_of_an_item_names_its_field(field: str, bad: object) -> None:
    with pytest.raises(InputError) as caught:
        parse_item({"item_id": "i", field: bad}, now_ms=NOW_MS)
    assert caught.value.place.split(".")[0] == field


def test_a_vector_is_kept_in_32_bits_and_written_as_it_came() -> None:
    item = parse_item({"item_id": "i", "vectors": {"image": [0.1, -2, 3e-9], "sound": None}}, now_ms=1)
    assert item.vectors["image"].itemsize == 4 and list(item.vectors) == ["image"]
    assert item_record(item)["vectors"] == {"image": [0.1, -2.0, 3e-9]}
    assert "vectors" not in item_record(item, with_vectors=False)
    with pytest.raises(InputError, match=r"vectors\.image\.1"):
        parse_item({"item_id": "i", "vectors": {"image": [1, "2"]}}, now_ms=1)


def test_an_item_may_not_end_before_it_begins() -> None:
    with pytest.raises(InputError, match="available_until"):
        parse_item({"item_id": "i", "available_from": 20, "available_until": 10}, now_ms=1)


def test_the_id_of_the_path_and_of_the_record_agree() -> None:
    assert parse_item({"title": "T"}, now_ms=1, item_id="i").item_id == "i"
    assert parse_user({"user_id": "u"}, now_ms=1, user_id="u").user_id == "u"
    with pytest.raises(InputError, match="item_id"):
        parse_item({"item_id": "j"}, now_ms=1, item_id="i")


def test_the_time_of_change_is_believed_only_when_asked() -> None:
    record = {"item_id": "i", "updated_at": 5}
    assert parse_item(record, now_ms=NOW_MS).updated_ms == NOW_MS
    assert parse_item(record, now_ms=NOW_MS, keep_updated=True).updated_ms == 5000


ids = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=256)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
times = st.integers(0, NOW_MS)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
objects = st.dictionaries(texts, scalars | texts | st.lists(texts, max_size=3), max_size=5)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.dictionaries(
    st.from_regex(r"[a-z0-9_]{1,32}", fullmatch=True),
    st.lists(numbers, min_size=1, max_size=5).filter(any).map(lambda found: array("f", found)),
    max_size=4,
)
labels = st.lists(texts.filter(bool), max_size=4, unique=True).map(tuple)


@given(
    st.builds(
        Event,
        event_id=ids,
        user_id=ids,
        item_id=ids,
        type=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True).filter(lambda name: name != "rating"),
        timestamp_ms=times,
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        session_id=st.none() | ids,
        recommendation_id=st.none() | ids,
        context=st.none() | objects,
    )
)
def test_an_event_survives_its_record(given_event: Event) -> None:
    record = json.loads(json.dumps(event_record(given_event)))
    assert parse_event(record, now_ms=NOW_MS, config=CONFIG) == given_event


@given(
    st.builds(
        Item,
        item_id=ids,
        title=texts,
        description=texts,
        categories=labels,
        tags=labels,
        attributes=objects,
        image_url=st.none() | st.just("https://example.org/a.png"),
        available_from_ms=st.none() | st.integers(0, 10**12),
        available_until_ms=st.none() | st.integers(10**12, 2 * 10**12),
        hidden=st.booleans(),
        updated_ms=times,
        vectors=vectors,
    )
)
def test_an_item_survives_its_record(item: Item) -> None:
    assert parse_item(json.loads(json.dumps(item_record(item))), now_ms=1, keep_updated=True) == item


@given(st.builds(User, user_id=ids, attributes=objects, updated_ms=times))
def test_a_user_survives_its_record(user: User) -> None:
    assert parse_user(json.loads(json.dumps(user_record(user))), now_ms=1, keep_updated=True) == user


json_values = st.recursive(
    scalars | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "value", "timestamp", "context", "session_id", "x"]), json_values))
def test_any_json_gives_an_event_or_an_input_error(raw: dict[str, Any]) -> None:
    try:
        parsed = parse_event(raw, now_ms=NOW_MS, config=CONFIG)
    except InputError as error:
        str(error).encode()
    else:
        assert parse_event(event_record(parsed), now_ms=NOW_MS, config=CONFIG) == parsed
