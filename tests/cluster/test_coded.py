"""Sessions as bytes: the view is what a plain one would be, and tables of words are learnt in any order."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.coded import EVENT, PACK, StoredView, Words, makes_seen
from cluster.messages import SessionView

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "片", "x" * 200]),
        st.sampled_from(["click", "like", "impression"]),
        st.none() | st.floats(allow_nan=False, width=64),
        st.integers(0, 2**60),
    ),
    max_size=9,
)


def stored(events: list[tuple]) -> StoredView:
    words = Words()
    record = b"head"
    for item, kind, value, ms in events:
        for table, word in ((words.items, item), (words.types, kind)):
            if word not in table:
                table.append(word)
        code, type_code = words.items.index(item), words.types.index(kind)
        record += PACK.pack(code, type_code, float("nan") if value is None else value, ms)
    return StoredView("u", "t", words, record, 4)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_a_stored_view_is_what_a_plain_one_would_be(events: list[tuple]) -> None:
    columns = tuple(zip(*events, strict=True)) or ((), (), (), ())
    seen = frozenset(item for item, kind, *_ in events if kind != "impression")
    plain = SessionView("u", *columns, seen, "t")
    view = stored(events)
    assert view == plain and plain == view.plain() and not view.degraded
    met = makes_seen(view.events["type"], view.words.types)
    assert frozenset(view.words.items[code] for code in view.events["item"][met].tolist()) == seen
    sent = pickle.loads(pickle.dumps(view))
    assert type(sent) is SessionView and sent == plain


def test_an_event_takes_what_the_layout_says() -> None:
    assert EVENT.itemsize == PACK.size == 24


def test_news_of_words_may_overlap_and_come_twice() -> None:
    words, copy = Words(), Words(0)
    words.items += ["a", "b"]
    words.types += ["click"]
    news = words.news(copy.known)
    assert news[0] == words.name and news[0] != copy.name
    copy = Words(news[0])
    copy.learn(news)
    words.items.append("c")
    first = words.news(copy.known)
    words.items.append("d")
    words.types.append("like")
    second = words.news(copy.known)
    for late in (second, first, second, news):
        copy.learn(late)
    assert (copy.items, copy.types) == (words.items, words.types)
    assert words.news(copy.known) == (words.name, 4, [], 2, [])


def test_news_of_other_words_or_with_a_gap_are_refused() -> None:
    words, copy = Words(), Words(1)
    with pytest.raises(ValueError, match="another table"):
        copy.learn(words.news(copy.known))
    with pytest.raises(ValueError, match="another table"):
        copy.learn((1, 5, ["f"], 0, []))
