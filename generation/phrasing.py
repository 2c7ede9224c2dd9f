"""What may be said of an item, as phrases: the patterns of `lexicon.Phrases` from facts, themes and phrase lists.

A sentence of a prompt file has places in braces that are written: `{pick}` (what the item is, after "is"), `{aside}`
(the same after a comma), `{short}` (the same in a few words), `{list}` (what a list of items is). Everything that can
stand there is grammatical and true of the item, so the model chooses what suits and can say nothing false.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cluster.messages import Item
from generation import phrasing_zh
from generation.draw import Draw
from generation.lexicon import Pattern, joined
from generation.profile import DRAWN, DRAWN_THING, WAYS, Profile, profile_of
from generation.words import phrases

PLACE = re.compile(r"\{(pick|aside|short|list)\}")
"""What is written by the model, in the sentences of a prompt file."""


def in_common(item: Item, other: Item) -> str:
    """What two items have in common, in words: topics of stories, or the section of things. Empty when nothing."""
    one, two = profile_of(item), profile_of(other)
    if one.story and two.story:
        return " and ".join([theme.topic for theme in one.themes if theme in two.themes][:2])
    return next((label for label in one.labels if label in two.labels), "") if not (one.story or two.story) else ""


def expand(rest: str, item: Item, shared: str, draw: Draw, room: int) -> tuple[Pattern, ...]:
    """The patterns of what comes after the beginning of a sentence.

    Args:
        rest: the sentence from its first place in braces on; at least one.
        item: what the sentence is about, or the first of several.
        shared: what it has in common with the title that the beginning names (`in_common`), or nothing.
        draw: the choices of the task.
        room: no pattern gets longer than so many characters.
    """
    profile = profile_of(item)
    ways: list[Pattern] = [()]
    for number, part in enumerate(PLACE.split(rest)):
        if number % 2:
            if phrasing_zh.is_chinese(draw.language):
                found = phrasing_zh.written(part, profile, bool(shared), draw)
            else:
                found = _WRITTEN[part](profile, shared, draw)
            ways = [(*way, *more) for way in ways for more in found]
        elif part.strip():
            ways = [(*way, (part.strip(),)) for way in ways]
    return tuple(fitted for way in ways if (fitted := _fit(way, room)))


def article(phrase: str) -> str:
    """A phrase with its indefinite article."""
    lower = phrase.lower()
    vowel = lower[:1] in tuple("aeiou") and not lower.startswith(("one", "uni", "use", "eu"))
    return f"{'an' if vowel or lower.startswith(('honest', 'hour')) else 'a'} {phrase}"


def _pick(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    if not profile.story:
        return _thing(profile, shared, draw, bare=False)
    return _story(profile, shared, draw)


def _aside(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    return _story(profile, shared, draw) if profile.story else _thing(profile, shared, draw, bare=True)


def _short(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    if not profile.story:
        return _thing_in_short(profile, draw)
    own = [word for theme in profile.themes for word in theme.adjectives]
    adjectives = tuple(map(article, draw.some("short", [*own, *_adjectives("story", draw)], DRAWN)))
    return [(adjectives, _nouns(profile))]


def _list(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    return [(tuple(draw.some("list", phrases()["lists"], DRAWN)),)]


_WRITTEN = {"pick": _pick, "aside": _aside, "short": _short, "list": _list}


def _story(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    lists = phrases()["story"]
    own = [word for theme in profile.themes for word in theme.adjectives]
    adjectives = [*draw.some("own adjectives", own, DRAWN), *draw.some("adjectives", _adjectives("story", draw), DRAWN)]
    opened = tuple(map(article, adjectives))
    nouns = _nouns(profile)
    own_gifts = [gift for theme in profile.themes for gift in theme.gifts]
    gifts = [*draw.some("own gifts", own_gifts, DRAWN), *draw.some("gifts", lists["gifts"], DRAWN // 2)]
    having = tuple(f"with {gift}" for gift in gifts)
    both = tuple(f"{one} and {other}" for one, other in _pairs(gifts, "with ") if " and " not in one + other)
    own_that = [that for theme in profile.themes for that in theme.that]
    that = (*draw.some("own that", own_that, DRAWN), *draw.some("that", lists["that"], DRAWN))
    moments = tuple(draw.some("moments", lists["moments"], DRAWN // 2))
    ways: list[Pattern] = [
        (opened, nouns, having),
        (opened, nouns, that),
        (opened, nouns, both or having),
        (
            opened,
            nouns,
            tuple(
                f", {one} and {other}"
                for one, other in _pairs(draw.some("last", [*own, *_adjectives("story", draw)], DRAWN), "")
            ),
        ),
        ((*map(article, _double(adjectives)),), nouns, that),
        ((*map(article, _double(adjectives)),), nouns, moments),
    ]
    topics = [theme.topic for theme in profile.themes]
    if len(topics) > 1:
        blends = tuple(f"blend of {one} and {other}" for one, other in _pairs(topics, ""))
        ways += [(opened, blends, having), (opened, blends, that)]
    if origin := _origin(profile):
        ways += [(opened, nouns, origin, having), (opened, nouns, origin, that)]
    chosen = draw.some("ways", ways, WAYS)
    if shared:
        others = tuple(noun for noun in nouns if not set(noun.split()) & set(shared.split()))
        common: list[Pattern] = [(opened, nouns, ("in the same vein",)), (opened, nouns, ("of the same kind",))]
        if others:
            fitting = [way for way in lists["shared"] if not (shared.startswith("the ") and "much" in way)]
            alike = [way.format(shared) for way in draw.some("shared", fitting, 2)]
            common = [(opened, others, (way,)) for way in alike]
        chosen = [*chosen[: WAYS - 1], *common]
    return chosen


def _thing(profile: Profile, shared: str, draw: Draw, *, bare: bool) -> list[Pattern]:
    """What tells no story: goods, news, and whatever else is known by little more than its name."""
    lists = phrases()["report" if profile.report else "thing"]
    that, when = (tuple(draw.some(name, lists[name], DRAWN_THING)) for name in ("that", "when"))
    opened, nouns = _opened_thing(profile, draw)
    if profile.described and (bare or profile.countable):
        described = (profile.described,)
        ways: list[Pattern] = [(described,), (described, (",",), opened, nouns, that)]
        ways += [(described, (",",), opened, nouns, made) for made in [_made(profile)] if made]
        return draw.some("ways", ways, WAYS)
    plain: list[Pattern] = [
        (opened, nouns, that),
        (tuple(draw.some("worth", lists["worth"], DRAWN_THING)), when),
        (tuple(draw.some("one", lists["one"], DRAWN_THING)),),
    ]
    ways = draw.some("ways", plain, WAYS - 1)
    if made := _made(profile):
        made_nouns = nouns if profile.noun or not profile.made_by else tuple(lists["works"])
        ways += [(opened, made_nouns, made), (opened, made_nouns, made, that)]
    elif profile.labels:
        label = shared or draw.one("label", profile.labels)
        sections = tuple(section.format(label) for section in draw.some("sections", lists["sections"], 2))
        ways += [(opened, nouns, sections), (opened, nouns, sections, that)]
    if shared:
        ways += [(opened, nouns, tuple(lists["same"])), (("another",), nouns, (f"from the {shared} section",))]
    return draw.some("all ways", ways, WAYS + 1)


def _opened_thing(profile: Profile, draw: Draw) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Adjectives with their articles, and nouns: what it is where that is known."""
    kind = "report" if profile.report else "thing"
    lists = phrases()[kind]
    if profile.noun:
        adjectives = phrases()["tones"]["enthusiastic"]["thing"] if draw.tone == "enthusiastic" else lists["kinds"]
        return tuple(map(article, draw.some("kinds", adjectives, DRAWN_THING))), (profile.noun,)
    adjectives = lists["adjectives"] if profile.report else _adjectives(kind, draw)
    return tuple(map(article, draw.some("adjectives", adjectives, DRAWN_THING))), tuple(
        draw.some("nouns", lists["nouns"], DRAWN_THING)
    )


def _thing_in_short(profile: Profile, draw: Draw) -> list[Pattern]:
    lists = phrases()["report" if profile.report else "thing"]
    ways: list[Pattern] = [_opened_thing(profile, draw), (tuple(draw.some("short", lists["short"], DRAWN_THING)),)]
    return ways


def _adjectives(kind: str, draw: Draw) -> list[str]:
    """Adjectives for any item that is a `story` or a `thing`, in the tone of the text."""
    toned: list[str] = phrases()["tones"].get(draw.tone, {}).get(kind, phrases()[kind]["adjectives"])
    return toned


def _made(profile: Profile) -> tuple[str, ...]:
    """Who made a thing, or when it is from."""
    made = [f"by {name}" for name in profile.made_by[:2]] + ([f"from {profile.brand}"] if profile.brand else [])
    return tuple(made or ([f"from {profile.year}"] if profile.year is not None else []))


def _nouns(profile: Profile) -> tuple[str, ...]:
    return tuple(dict.fromkeys(noun for theme in profile.themes for noun in theme.nouns))


def _origin(profile: Profile) -> tuple[str, ...]:
    """Who made a story, who is in it, when it is from."""
    made = [f"by {name}" for name in profile.made_by[:2]] + [f"with {name}" for name in profile.cast[:3]]
    return tuple(made or ([f"from {profile.year}"] if profile.year is not None else []))


def _pairs(values: Sequence[str], before: str) -> Iterable[tuple[str, str]]:
    """Neighbours in a list, in a circle."""
    return [(f"{before}{a}", b) for a, b in zip(values, [*values[1:], *values[:1]], strict=True) if a != b]


def _double(adjectives: Sequence[str]) -> list[str]:
    return [f"{one}, {other}" for one, other in _pairs(adjectives, "")]


def _fit(way: Pattern, room: int) -> Pattern:
    """A pattern without the phrases that would make it too long; nothing where it is in any case."""
    places = [sorted(set(place), key=lambda phrase: (len(phrase), phrase)) for place in way]
    while sum(len(joined(place[-1])) for place in places) > room:
        longest = max(places, key=lambda place: len(place[-1]) - len(place[0]))
        if len(longest) == 1:
            return ()
        longest.pop()
    return tuple(map(tuple, places))
