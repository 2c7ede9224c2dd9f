"""What may be said of an item in Chinese: the same as `phrasing`, from lists of its own."""

from __future__ import annotations

from itertools import pairwise

from cluster.messages import Item
from generation.draw import Draw
from generation.facts import spoken_title
from generation.lexicon import Pattern
from generation.profile import DRAWN, WAYS, Profile, profile_of
from generation.words import phrases_zh as phrases
from generation.words import themes

MAX_DOUBLE = 6
"""Two adjectives stand together when they are no longer than so many characters."""
_WORKS = ("片", "剧", "影")
"""What ends a genre's name that is a kind of work already."""


def is_chinese(language: str) -> bool:
    """Whether a text is to be in Chinese."""
    return language.lower().startswith("zh")


def name(item: Item) -> str:
    """A title in its marks: those of works for what tells a story, quotation marks for anything else."""
    title = spoken_title(item.title)
    if profile_of(item).story:
        return f"《{title}》"
    return f"‘{title}’" if "“" in title or "”" in title else f"“{title}”"


def label(category: str) -> str:
    """A category in Chinese where it is a known one."""
    known = themes().get(category.lower())
    return known.zh if known is not None else category


def written(place: str, profile: Profile, shared: bool, draw: Draw) -> list[Pattern]:
    """What may stand in a place of a sentence, see `phrasing`."""
    if place == "list":
        return [(tuple(draw.some("list", phrases()["lists"], DRAWN)),)]
    if profile.story:
        return _story(place, profile, shared, draw)
    return _thing(place, profile, draw)


def _story(place: str, profile: Profile, shared: bool, draw: Draw) -> list[Pattern]:
    lists = phrases()["story"]
    genres = [theme.zh for theme in profile.themes]
    own = [phrases()["themes"].get(genre, {"adjectives": [], "tails": []}) for genre in genres]
    adjectives = [
        *draw.some("own adjectives", [word for one in own for word in one["adjectives"]], DRAWN),
        *draw.some("adjectives", lists["adjectives"], DRAWN),
    ]
    tails = [
        *draw.some("own tails", [tail for one in own for tail in one["tails"]], DRAWN),
        *draw.some("tails", lists["tails"], DRAWN),
    ]
    nouns = tuple(genre if genre.endswith(_WORKS) else f"{genre}作品" for genre in dict.fromkeys(genres))
    opened = tuple(f"一部{word}的" for word in adjectives)
    if place == "short":
        return [(opened, nouns)]
    ended = tuple(f"，{tail}" for tail in tails)
    double = tuple(f"一部{a}又{b}的" for a, b in pairwise(adjectives) if len(a + b) <= MAX_DOUBLE)
    ways: list[Pattern] = [(opened, nouns, ended), (double or opened, nouns, ended)]
    if len(nouns) > 1:
        ways.append((opened, (f"{genres[0]}与{genres[1]}兼具的作品",), ended))
    if profile.year is not None:
        ways.append(((f"一部{profile.year}年的",), nouns, ended))
    return draw.some("ways", ways, WAYS)


def _thing(place: str, profile: Profile, draw: Draw) -> list[Pattern]:
    lists = phrases()["report" if profile.report else "thing"]
    one = lists["one"]
    opened = tuple(f"{word}的" for word in draw.some("adjectives", lists["adjectives"], DRAWN))
    nouns = tuple(draw.some("nouns", lists["nouns"], DRAWN))
    ended = tuple(f"，{tail}" for tail in draw.some("tails", lists["tails"], DRAWN))
    if place == "short":
        return [((one,), opened, nouns)]
    ways: list[Pattern] = [((one,), opened, nouns, ended)]
    if profile.labels:
        ways.append(((f"来自{label(draw.one('label', profile.labels))}分类的{one}",), opened, nouns, ended))
    if profile.brand:
        ways.append(((f"来自{profile.brand}的{one}",), opened, nouns, ended))
    if profile.made_by:
        ways.append(((f"出自{profile.made_by[0]}的{lists['work']}",), ended))
    return draw.some("ways", ways, WAYS)
