"""The content cache: who may be served what, one writer at a time, within the budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.messages import Item, Reason, TextDone, WriteTask
from generation.cache import CachedText, ContentCache, Query, cacheable, in_segment, mark_of, query_of, text_of

ITEM = Item("50", title="Star Wars (1977)", categories=("Action", "Sci-Fi"))
JAWS, ALIEN, BABE, HEAT = (Item(name, title=f"{name} (1980)") for name in ("Jaws", "Alien", "Babe", "Heat"))


def task(*liked: Item, **values: object) -> WriteTask:
    return WriteTask(**{"kind": "pitch", "items": (ITEM,), "liked": liked, **values})  # type: ignore[arg-type]


def written(made: WriteTask, text: str) -> CachedText:
    kept = text_of(made, TextDone(text, "generated", "m", "p"))
    assert kept is not None
    return kept


def fill(cache: ContentCache, made: WriteTask, text: str) -> Query:
    query = query_of(made, "w")
    cache.put(query, written(in_segment(made), text))
    return query


def found(cache: ContentCache, made: WriteTask) -> str | None:
    query = query_of(made, "w")
    look = cache.look(query, 0.0, 1.0)
    cache.release(query)
    return look.text.text if look.text else None


def test_a_text_is_served_to_all_who_liked_what_it_names_and_to_nobody_else() -> None:
    cache = ContentCache(1 << 20)
    fill(cache, task(JAWS), "If you liked Jaws, Star Wars is great.")
    assert found(cache, task(JAWS)) and found(cache, task(BABE, JAWS, HEAT))
    assert found(cache, task(ALIEN, BABE)) is None and found(cache, task()) is None


def test_a_text_that_names_nothing_stays_with_its_segment() -> None:
    cache = ContentCache(1 << 20)
    fill(cache, task(), "Star Wars is great.")
    assert found(cache, task()) and found(cache, task(JAWS)) is None
    fill(cache, task(JAWS), "Star Wars is good.")
    assert found(cache, task(JAWS)) == "Star Wars is good." and found(cache, task(ALIEN)) is None
    assert found(cache, task()) == "Star Wars is great."


@pytest.mark.parametrize(
    "other",
    [
        {"items": (replace(ITEM, description="New."),)},
        {"items": (replace(ITEM, title="Star Wars IV"),)},
        {"kind": "push"},
        {"tone": "dry"},
        {"language": "zh"},
        {"max_tokens": 12},
        {"tenant": "b"},
        {"liked": (replace(JAWS, title="Jaws 2"),)},
        {"liked": (replace(JAWS, categories=("Action",)),)},
        {"liked": (replace(JAWS, tags=("sci-fi",)),)},
    ],
)
def test_what_matters_is_in_the_key(other: dict[str, object]) -> None:
    cache = ContentCache(1 << 20)
    fill(cache, task(JAWS), "If you liked Jaws, Star Wars is great.")
    assert found(cache, replace(task(JAWS), **other)) is None  # type: ignore[arg-type]
    assert cache.look(query_of(task(JAWS), "another model"), 0.0, 1.0).text is None


def test_reasons_matter_where_they_are_written_about() -> None:
    popular = (Reason("popular", 1.0),)
    assert query_of(task(kind="reason"), "w") != query_of(task(kind="reason", reasons=popular), "w")
    assert query_of(task(), "w") == query_of(task(reasons=popular, request_id="7", deadline_s=1.0), "w")


def test_one_writes_and_the_others_wait_until_it_has_ended_or_died() -> None:
    cache, query = ContentCache(1 << 20), query_of(task(JAWS), "w")
    assert cache.look(query, 0.0, 5.0).lead
    waiting = cache.look(query, 1.0, 5.0)
    assert not waiting.lead and waiting.text is None and cache.is_led(query)
    cache.release(query)
    assert cache.look(query, 2.0, 5.0).lead
    assert cache.look(query, 7.1, 5.0).lead  # the lease ran out
    cache.expire(13.0)
    assert not cache.is_led(query)
    assert (cache.counts.leads, cache.counts.waits) == (3, 1)


def test_the_budget_holds_and_what_was_used_last_stays() -> None:
    cache = ContentCache(5_000)
    tasks = [task(JAWS, items=(Item(str(n), title=f"T{n}"),)) for n in range(12)]
    for made in tasks:
        fill(cache, made, "After Jaws, this.")
        assert found(cache, tasks[0]) is not None
        assert cache.counts.bytes <= 5_000
    assert cache.counts.evicted > 0 and cache.counts.entries < 12
    assert found(cache, tasks[1]) is None and found(cache, tasks[-1]) is not None
    fill(cache, task(BABE), "x" * 6_000)
    assert found(cache, task(BABE)) is None and cache.counts.bytes <= 5_000


def test_segments_of_one_item_are_bounded_and_rewriting_leaks_nothing() -> None:
    cache = ContentCache(1 << 20)
    for n in range(200):
        fill(cache, task(Item(str(n), title=f"T{n}")), "Star Wars is great.")
    assert cache.counts.entries == 64
    for _ in range(3):
        fill(cache, task(JAWS), "After Jaws, Star Wars.")
    assert cache.counts.entries == 64


def test_the_facts_of_a_cached_text_are_the_readers_own() -> None:
    made = task(JAWS, HEAT)
    done = written(task(JAWS, BABE), "If you liked Jaws, Star Wars is great.").done(made)
    assert done.source == "cached" and done.facts["liked"] == ["Jaws"] and done.facts["title"] == "Star Wars"


def test_who_asks_for_a_text_of_their_own_gets_one() -> None:
    assert cacheable(task())
    assert not any(cacheable(task(**own)) for own in ({"seed": 1}, {"temperature": 0.0}, {"kind": "chat"}))


def test_only_what_a_model_wrote_is_kept() -> None:
    assert text_of(task(), TextDone("Star Wars.", "template", "m", "p")) is None


def test_a_segment_holds_as_many_titles_as_the_text_names() -> None:
    assert len(in_segment(task(JAWS, ALIEN, BABE)).liked) == 1
    carried = tuple(Reason("because_liked", 0.5, item.item_id) for item in (JAWS, ALIEN, BABE))
    assert in_segment(task(JAWS, ALIEN, BABE, kind="reason", reasons=carried)).liked == (JAWS, ALIEN)
    assert in_segment(task()).liked == ()
    assert mark_of(JAWS) != mark_of(replace(JAWS, title="Jaws (1975)"))
