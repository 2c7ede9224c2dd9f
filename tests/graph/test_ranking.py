from __future__ import annotations

import numpy as np
import pytest

from cluster.messages import Item, RankQuery, SessionView
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.model import Model
from graph.ranking import Ranker
from graph.weights import EventWeights
from tests.graph.conftest import LOUD, QUIET


def view(*events: tuple[str, str], user: str | None = None) -> SessionView:
    """A session of (item, type)."""
    items = tuple(item for item, _ in events)
    types = tuple(type_ for _, type_ in events)
    return SessionView(user, items, types, (None,) * len(items), tuple(range(len(items))), frozenset(items))


def ids(ranker: Ranker, query: RankQuery) -> list[str]:
    return [entry.item_id for entry in ranker.rank([query])[0].items]


def score(ranker: Ranker, session: SessionView, item: str) -> float:
    query = RankQuery(session, n=1, allowed=frozenset([item]), include_seen=True)
    return ranker.rank([query])[0].items[0].score


def test_taste_decides(ranker: Ranker) -> None:
    loud = ids(ranker, RankQuery(view((LOUD[0], "like"), (LOUD[4], "like"), (LOUD[9], "click"))))
    quiet = ids(ranker, RankQuery(view((QUIET[0], "like"), (QUIET[4], "like"))))
    assert len(loud) == len(set(loud)) == 10
    assert sum(item in LOUD for item in loud) >= 9
    assert sum(item in QUIET for item in quiet) >= 9


def test_what_was_seen_or_excluded_is_left_out(ranker: Ranker) -> None:
    session = view((LOUD[0], "like"), (LOUD[1], "like"))
    found = ids(ranker, RankQuery(session, n=500, excluded=frozenset([LOUD[2], "nobody knows this"])))
    assert not {LOUD[0], LOUD[1], LOUD[2]} & set(found)
    assert len(found) == len(ranker.items) - 3
    assert LOUD[0] in ids(ranker, RankQuery(session, n=500, include_seen=True))
    assert LOUD[2] not in ids(ranker, RankQuery(session, n=500, include_seen=True, excluded=frozenset([LOUD[2]])))


def test_a_filter_that_leaves_three_gives_three(ranker: Ranker) -> None:
    session = view((LOUD[0], "like"))
    assert set(ids(ranker, RankQuery(session, n=10, allowed=frozenset([*QUIET[:3], "unknown"])))) == set(QUIET[:3])
    assert ids(ranker, RankQuery(session, allowed=frozenset())) == []


def test_strangers_get_what_is_popular(ranker: Ranker, model: Model) -> None:
    for session in (
        SessionView(None),
        SessionView("nobody"),
        view(("unknown item", "like")),
        view((LOUD[0], "impression")),
    ):
        entries = ranker.rank([RankQuery(session)])[0].items
        places = [model.item_ids.index(entry.item_id) for entry in entries]
        assert np.mean(model.popularity[places]) > 1.5 * np.mean(model.popularity)
        assert {entry.source for entry in entries} == {"popular"}
        assert {reason.kind for entry in entries for reason in entry.reasons} == {"popular"}


def test_a_like_raises_and_a_dislike_lowers_what_is_similar(ranker: Ranker) -> None:
    before = view((LOUD[3], "like"), (QUIET[3], "like"))
    liked = view((LOUD[3], "like"), (QUIET[3], "like"), (LOUD[0], "like"))
    disliked = view((LOUD[3], "like"), (QUIET[3], "like"), (LOUD[0], "dislike"))
    rest_loud, rest_quiet = LOUD[5:15], QUIET[5:15]

    def lead(session: SessionView) -> float:
        return float(
            np.mean(
                [
                    score(ranker, session, a) - score(ranker, session, b)
                    for a, b in zip(rest_loud, rest_quiet, strict=True)
                ]
            )
        )

    assert lead(disliked) < lead(before) < lead(liked)


def test_reasons_add_up_to_the_score(ranker: Ranker, data: Interactions) -> None:
    queries = [RankQuery(data.view(user), n=20) for user in range(0, 120, 7)]
    queries.append(RankQuery(view((LOUD[0], "dislike"), (LOUD[1], "like")), n=20))
    for query, found in zip(queries, ranker.rank(queries), strict=True):
        for entry in found.items:
            assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
            kinds = {reason.kind for reason in entry.reasons}
            assert kinds <= {"because_liked", "similar_text", "people_like_you", "popular"}
            named = {reason.item_id for reason in entry.reasons if reason.item_id}
            assert named <= set(query.view.items)
            assert all(r.weight > 0 for r in entry.reasons if r.kind == "because_liked")
        assert any(reason.kind == "because_liked" for entry in found.items for reason in entry.reasons)


def test_what_was_disliked_is_no_reason(ranker: Ranker) -> None:
    disliked = set(LOUD[1:5])
    session = view((LOUD[0], "like"), *((item, "dislike") for item in sorted(disliked)))
    only = view(*((item, "dislike") for item in sorted(disliked)))
    for found in ranker.rank([RankQuery(session, n=100), RankQuery(only, n=100)]):
        assert found.items
        for entry in found.items:
            assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
            assert not disliked & {reason.item_id for reason in entry.reasons}


def test_without_explaining_there_are_no_reasons_and_the_same_list(ranker: Ranker, data: Interactions) -> None:
    plain = ranker.rank([RankQuery(data.view(1), explain=False)])[0].items
    told = ranker.rank([RankQuery(data.view(1))])[0].items
    assert [(e.item_id, e.score) for e in plain] == [(e.item_id, e.score) for e in told]
    assert not any(entry.reasons for entry in plain)


def test_lists_come_in_order_and_do_not_depend_on_the_batch(ranker: Ranker, data: Interactions) -> None:
    queries = [RankQuery(data.view(user), n=3 + user % 5) for user in range(100)]
    together = ranker.rank(queries)
    assert [len(found.items) for found in together] == [query.n for query in queries]
    for query, found in list(zip(queries, together, strict=True))[::9]:
        alone = ranker.rank([query])[0]
        assert [entry.item_id for entry in alone.items] == [entry.item_id for entry in found.items]
    assert ranker.rank([]) == []


def test_what_is_served_is_what_the_model_says(ranker: Ranker, model: Model, data: Interactions) -> None:
    users = list(range(30))
    sessions = ranker.sessions([data.view(user) for user in users])
    assert sessions.item.tolist() == data.pairs.item[: data.pairs.offsets[30]].tolist()
    scores = model.scores(sessions)
    for row, found in enumerate(ranker.rank([RankQuery(data.view(user), n=5) for user in users])):
        for entry in found.items:
            assert entry.score == pytest.approx(float(scores[row, model.item_ids.index(entry.item_id)]), abs=1e-3)


def test_diversity_mixes_the_list(ranker: Ranker, model: Model) -> None:
    session = view(*((item, "like") for item in LOUD[:4]))

    def alike(diversity: float) -> float:
        found = ids(ranker, RankQuery(session, n=10, diversity=diversity))
        assert len(set(found)) == 10
        rows = model.vectors[[model.item_ids.index(item) for item in found]]
        return float((rows @ rows.T).mean())

    assert alike(1.0) < alike(0.0)


def test_similar_and_popular(ranker: Ranker) -> None:
    found = ranker.similar(LOUD[0], 5)
    assert found is not None and len(found) == 5
    assert LOUD[0] not in [entry.item_id for entry in found]
    assert sum(entry.item_id in LOUD for entry in found) >= 4
    assert ranker.similar("unknown", 5) is None
    counts = [entry.score for entry in ranker.popular(20)]
    assert counts == sorted(counts, reverse=True)


def test_new_items_enter_by_what_is_known_of_them(ranker: Ranker) -> None:
    new = [
        Item("new loud", title="Noise of today", categories=("Rock",), attributes={"year": 1992}),
        Item("new quiet", title="Hush of today", categories=("Ambient",), attributes={"year": 1972}),
        Item(LOUD[0], title="is in the version already"),
    ]
    wider = ranker.with_items(new)
    assert "new loud" in wider and "new loud" not in ranker
    session = view((LOUD[0], "like"), (LOUD[4], "like"))
    assert score(wider, session, "new loud") > score(wider, session, "new quiet")
    entry = wider.rank([RankQuery(session, n=1, allowed=frozenset(["new loud"]))])[0].items[0]
    assert entry.source == "fresh"
    assert sum(reason.weight for reason in entry.reasons) == pytest.approx(entry.score, abs=1e-6)
    # A new item in the session speaks for its like, and a later overlay replaces the earlier one.
    by_new = ids(wider, RankQuery(view(("new quiet", "like")), n=10))
    assert sum(item in QUIET or item == "new quiet" for item in by_new) >= 6
    assert "new loud" not in wider.with_items(new[1:2])
    assert wider.with_items([]) is ranker


def test_smoke(ranker: Ranker) -> None:
    ranker.smoke()


def test_a_few_likes_among_ratings_move_the_list(config: GraphConfig, weights: EventWeights) -> None:
    """Where people rate, three likes of one genre by somebody new at least double its part of the list."""
    genres = {"Drama": 40, "Comedy": 30, "Horror": 15, "Western": 15}
    catalogue = {
        f"{genre} {n}": Item(f"{genre} {n}", title=f"Film {n}", categories=(genre,))
        for genre, count in genres.items()
        for n in range(count)
    }
    rng = np.random.default_rng(0)
    films = list(catalogue)
    genre_of = np.array([item_id.split()[0] for item_id in films])
    appeal = np.array([{"Drama": 4.0, "Comedy": 2.5}.get(genre, 1.0) for genre in genre_of]) / (
        3.0 + np.array([int(item_id.split()[1]) for item_id in films])
    )
    users, items, values, times = [], [], [], []
    for user in range(200):
        taste = list(genres)[user % 4]
        chance = appeal * np.where(genre_of == taste, 4.0, 1.0)
        for place, item in enumerate(rng.choice(len(films), size=20, replace=False, p=chance / chance.sum())):
            users.append(str(user))
            items.append(films[item])
            values.append(float(rng.integers(3, 6)))
            times.append(1_000 * place)
    data = Interactions.from_columns(users, items, weights, None, values, times, films)
    ranker = Ranker(fit(data, Content.of(data.item_ids, catalogue, config), weights, config), "v")

    def part(genre: str, session: SessionView) -> int:
        return sum(item_id.startswith(genre) for item_id in ids(ranker, RankQuery(session, n=20)))

    parts = []
    for genre in ("Horror", "Western"):
        liked = view(*((f"{genre} {n}", "like") for n in (1, 4, 6)))
        viewed = view(*((f"{genre} {n}", "view") for n in (1, 4, 6)))
        neutral = SessionView(None, liked.items, ("rating",) * 3, (3.0,) * 3, liked.timestamps_ms, liked.seen)
        before = part(genre, SessionView(None))
        assert part(genre, liked) >= 2 * max(before, 1)
        # Taste shows in any event; a like says clearly more than a view or a middling rating.
        parts.append((part(genre, liked), max(part(genre, viewed), part(genre, neutral))))
        assert parts[-1][0] >= 1.5 * parts[-1][1]
    loud, faint = np.sum(parts, axis=0)
    assert loud >= 2 * faint
