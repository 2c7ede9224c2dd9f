"""Pages of the catalogue and of users: filter, full-text query, limit, opaque cursor.

Everything here blocks and belongs in a thread. Items come from the process's mirror of the catalogue (at most a
fraction of a second behind the store), users from the store.

A text query is made of words, all of which an item must have: as the beginning of a word, or anywhere in it for
scripts that put no spaces between words. Upper and lower case are alike. Hits in the title count most.
"""

from __future__ import annotations

import base64
import heapq
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from cluster.catalogue import Catalogue, yielding
from cluster.errors import InputError
from cluster.fields import opaque_id
from cluster.filters import Predicate, parse_filter
from cluster.messages import Item, User
from cluster.store import Store

MAX_LIMIT = 1000
MAX_QUERY_WORDS = 16
USERS_PER_REQUEST = 20_000
"""Users that one request looks at; a page of a narrow filter may be short, or empty, and still have a next one."""
_TITLE, _LABEL, _TEXT = 4, 2, 1
_WORDS = re.compile(r"\w+")
_SPACED = re.compile(r"[\u0000-\u0dff\u1100-\u167f\u1c80-\u2e7f\ua640-\ua69f\uac00-\ud7ff]+")
"""Letters of scripts that put spaces between words."""

Score = Callable[[Item], int]


def items_page(
    catalogue: Catalogue, tenant: str, filter_: str | None, q: str | None, limit: int, cursor: str | None
) -> tuple[list[Item], str | None]:
    """A page of items: by id, or the best hits first when there is a text query. And the cursor of the next page.

    Raises:
        InputError: the filter, the query or the cursor cannot be understood.
    """
    holds = parse_filter(filter_) if filter_ else None
    score = text_score(q) if q else None
    after = _read_cursor(cursor, scored=score is not None)
    if score is None:
        ids = catalogue.ids(tenant)
        start = bisect_right(ids, after[1]) if after else 0
        found = _kept((item_id for item_id in ids[start:]), catalogue, tenant, holds)
        page = [item for item, _ in zip(found, range(limit + 1), strict=False)]
        return page[:limit], _cursor(0, page[limit - 1].item_id) if len(page) > limit else None
    hits = (
        (-points, item.item_id, item)
        for item in _kept((item.item_id for item in catalogue.items(tenant)), catalogue, tenant, holds)
        if (points := score(item))
    )
    rest = (hit for hit in hits if after is None or hit[:2] > after)
    best = heapq.nsmallest(limit + 1, rest, key=lambda hit: hit[:2])
    return [item for _, _, item in best[:limit]], _cursor(*best[limit - 1][:2]) if len(best) > limit else None


def users_page(
    store: Store, tenant: str, filter_: str | None, q: str | None, limit: int, cursor: str | None
) -> tuple[list[User], str | None]:
    """A page of users by stored id, and the cursor of the next page. Errors as for `items_page`."""
    holds = parse_filter(filter_) if filter_ else None
    score = text_score(q) if q else None
    after = _read_cursor(cursor, scored=False)
    last = after[1] if after else ""
    page: list[User] = []
    looked = 0
    while looked < USERS_PER_REQUEST:
        rows = store.users.scan(tenant, last, limit + 1 if holds is None and score is None else 1_000)
        for user in rows:
            if len(page) == limit:
                return page, _cursor(0, last)
            looked += 1
            last = user.user_id
            # To a filter and a query, a person is what is known of them.
            attributes = {**user.attributes, "user_id": user.user_id}
            alike = Item(user.user_id, attributes=attributes, updated_ms=user.updated_ms)
            if (holds is None or holds(alike)) and (score is None or score(alike)):
                page.append(user)
        if not rows:
            return page, None
    return page, _cursor(0, last)


def text_score(q: str) -> Score:
    """How well an item fits a text query: 0 when a word of it is nowhere.

    Raises:
        InputError: there is no word in the query, or too many.
    """
    words = list(dict.fromkeys(_WORDS.findall(q.casefold())))
    if not 1 <= len(words) <= MAX_QUERY_WORDS:
        raise InputError(f"holds {len(words)} words; 1 to {MAX_QUERY_WORDS} are looked for", "q")
    tests = [(word, _tester(word)) for word in words]

    def score(item: Item) -> int:
        # A quick look that says no to nearly everything: whoever has all words has them somewhere in here.
        labels, values = "\n".join(item.categories + item.tags), "\n".join(map(str, item.attributes.values()))
        whole = f"{item.title}\n{labels}\n{item.description}\n{values}\n{item.item_id}".casefold()
        for word in words:
            if word not in whole:
                return 0
        title, labels = item.title.casefold(), labels.casefold()
        text = "\n".join((item.description, *_texts(item.attributes), item.item_id)).casefold()
        total = 0
        for word, test in tests:
            points = 0
            for weight, field in ((_TITLE, title), (_LABEL, labels), (_TEXT, text)):
                if word in field and test(field):
                    points = weight
                    break
            if not points:
                return 0
            total += points
        return total

    return score


def _tester(word: str) -> Callable[[str], object]:
    if _SPACED.fullmatch(word):
        return re.compile(r"(?<!\w)" + re.escape(word)).search
    return lambda text: True


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _kept(ids: Iterable[str], catalogue: Catalogue, tenant: str, holds: Predicate | None) -> Iterator[Item]:
    for item_id in yielding(ids):
        item = catalogue.get(tenant, item_id)
        if item is not None and (holds is None or holds(item)):
            yield item


def _cursor(rank: int, last_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([rank, last_id])).decode().rstrip("=")


def _read_cursor(cursor: str | None, scored: bool) -> tuple[int, str] | None:
    if cursor is None:
        return None
    try:
        rank, last_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        opaque_id(last_id, "cursor")
    except (ValueError, TypeError, InputError):
        rank = None
    if type(rank) is not int or (rank != 0) != scored:
        raise InputError(
            "is not a cursor of this list; pass `next_cursor` of the page before, all else alike", "cursor"
        )
    return rank, last_id
