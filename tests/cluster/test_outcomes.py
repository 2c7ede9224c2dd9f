"""What became of lists, from the events, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.messages import Event
from cluster.store import Recommendation, Store
from cluster.store.outcomes import Outcome

NOW_MS = 1_700_000_000_000


def event(item: str, kind: str, **changes: Any) -> Event:
    fields: dict[str, Any] = {"recommendation_id": "r1", "timestamp_ms": NOW_MS, "user_id": "u"} | changes
    event.count += 1  # type: ignore[attr-defined]
    return Event(f"o{event.count}", fields.pop("user_id"), item, kind, **fields)  # type: ignore[attr-defined]


event.count = 0  # type: ignore[attr-defined]


@pytest.fixture
def lists(store: Store) -> Store:
    one = Recommendation("r1", NOW_MS, "v1", (("a", 1.0, 1.0, "graph"), ("b", 0.5, 1.0, "popular")), "u")
    two = Recommendation("r2", NOW_MS, "v2", (("a", 1.0, 1.0, "graph"),), "u")
    other = Recommendation("r1", NOW_MS, "theirs", (("a", 1.0, 1.0, "theirs"),), "u", tenant="other")
    store.feedback.log([one, two, other])
    return store


def test_each_item_of_a_list_counts_once(lists: Store) -> None:
    lists.events.append(
        [
            event("a", "impression"),
            event("a", "click"),
            event("a", "click"),
            event("b", "impression"),
            event("a", "like", recommendation_id="r2"),
        ]
    )
    found = lists.outcomes.of_lists("default", NOW_MS - 1)
    assert found["source"] == {"graph": Outcome(shown=2, clicked=1, liked=1), "popular": Outcome(shown=1)}
    assert found["model_version"] == {"v1": Outcome(shown=2, clicked=1), "v2": Outcome(shown=1, liked=1)}
    assert found["content_kind"] == {}


def test_dwell_is_seconds_and_the_text_that_was_read_has_its_own_figures(lists: Store) -> None:
    context = {"content_kind": "pitch"}
    lists.events.append(
        [
            event("a", "dwell", value=10.0, context=context),
            event("a", "dwell", value=30.0),
            event("b", "purchase", context={"content_kind": 7}),
        ]
    )
    found = lists.outcomes.of_lists("default", NOW_MS - 1)
    assert found["source"]["graph"] == Outcome(shown=1, dwells=2, dwell_s=40.0)
    assert found["content_kind"] == {"pitch": Outcome(shown=1, dwells=2, dwell_s=40.0)}
    assert found["source"]["popular"] == Outcome(shown=1, clicked=1, liked=1)


def test_what_is_older_without_a_list_or_of_another_tenant_does_not_count(lists: Store) -> None:
    lists.events.append(
        [
            event("a", "click", timestamp_ms=NOW_MS - 5),
            event("a", "click", recommendation_id=None),
            event("a", "click", tenant="other"),
        ]
    )
    assert lists.outcomes.of_lists("default", NOW_MS - 1) == {"source": {}, "model_version": {}, "content_kind": {}}
    assert lists.outcomes.of_lists("other", NOW_MS - 1)["source"] == {"theirs": Outcome(shown=1, clicked=1)}


def test_a_list_that_is_not_kept_any_more_is_named_unknown(lists: Store) -> None:
    lists.events.append([event("a", "click", recommendation_id="gone")])
    found = lists.outcomes.of_lists("default", NOW_MS - 1)
    assert found["source"] == {"unknown": Outcome(shown=1, clicked=1)}
