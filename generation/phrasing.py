"""What may be said of an item, as phrases: the patterns of `lexicon.Phrases` from facts, themes and phrase lists.

A sentence of a prompt file has places in braces that are written: `{pick}` (what the item is, after "is"), `{aside}`
(the same after a comma), `{short}` (the same in a few words), `{list}` (what a list of items is). Everything that can
stand there is grammatical and true of the item, so the model chooses what suits and can say nothing false.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.messages import Item
from generation.draw import Draw
from generation.facts import PEOPLE_KEYS, clean, facts_of
from generation.lexicon import Pattern, joined
from generation.words import Theme, phrases, themes

PLACE = re.compile(r"\{(pick|aside|short|list)\}")
"""What is written by the model, in the sentences of a prompt file."""
DRAWN = 4
"""So many phrases of a list stand in one place of one text: a small model would always take the same of all."""
WAYS = 3
"""So many patterns a text may choose from."""
MAX_NAME_CHARS = 40
_CAST = frozenset(("people", "actors", "cast"))
_NAME = re.compile(r"[^\W\d_][\w&'’. -]*")
_ADDED = re.compile(r"\b(?:of|with|made|from|for|in|by)\b")
_FIRST_ADDED = frozenset(("of", "with", "made", "from", "for"))
_SENTENCE = re.compile(r"[^.!?]+(?:\.\d[^.!?]*)*")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an item gives to talk about. `described` is the beginning of its description where that is a noun with what
    belongs to it; `countable` says that it has its article."""

    themes: tuple[Theme, ...]
    labels: tuple[str, ...]
    made_by: tuple[str, ...]
    cast: tuple[str, ...]
    year: int | None
    described: str
    countable: bool

    @property
    def story(self) -> bool:
        """Whether it is something that tells a story, such as a film or a novel."""
        return any(theme.sure and theme.nouns for theme in self.themes)


def profile_of(item: Item) -> Profile:
    """The profile of an item."""
    facts = facts_of(item)
    labels = [*facts.get("categories", ()), *facts.get("tags", ())]
    known = [themes()[label.lower()] for label in labels if label.lower() in themes()]
    people: dict[bool, list[str]] = {True: [], False: []}
    for key in PEOPLE_KEYS:
        value = item.attributes.get(key, ())
        for name in (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
            if isinstance(name, str) and _is_name(cleaned := clean(name)):
                people[key in _CAST].append(cleaned)
    described, countable = _described(str(facts.get("description", "")), str(facts.get("title", "")), labels)
    return Profile(
        themes=tuple(dict.fromkeys(theme for theme in known if theme.nouns)),
        labels=tuple(label for label in facts.get("categories", ()) if _is_name(label)),
        made_by=tuple(people[False]),
        cast=tuple(people[True]),
        year=facts.get("year"),
        described=described,
        countable=countable,
    )


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
            found = _WRITTEN[part](profile, shared, draw)
            ways = [(*way, *more) for way in ways for more in found]
        elif part.strip():
            ways = [(*way, (part.strip(),)) for way in ways]
    return tuple(fitted for way in ways if (fitted := _fit(way, room)))


@cache
def _not_nouns() -> frozenset[str]:
    return frozenset(phrases()["not_nouns"])


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
    own = [word for theme in profile.themes for word in theme.adjectives]
    lists = phrases()["story" if profile.story else "thing"]
    adjectives = tuple(map(article, draw.some("short", [*own, *_adjectives(lists, draw)], DRAWN)))
    nouns = _nouns(profile) if profile.story else tuple(noun for noun in lists["nouns"] if " " not in noun)
    return [(adjectives, nouns)]


def _list(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    return [(tuple(draw.some("list", phrases()["lists"], DRAWN)),)]


_WRITTEN = {"pick": _pick, "aside": _aside, "short": _short, "list": _list}


def _story(profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    lists = phrases()["story"]
    own = [word for theme in profile.themes for word in theme.adjectives]
    adjectives = [*draw.some("own adjectives", own, DRAWN), *draw.some("adjectives", _adjectives(lists, draw), DRAWN)]
    opened = tuple(map(article, adjectives))
    nouns = _nouns(profile)
    own_gifts = [gift for theme in profile.themes for gift in theme.gifts]
    gifts = [*draw.some("own gifts", own_gifts, DRAWN), *draw.some("gifts", lists["gifts"], DRAWN // 2)]
    having = tuple(f"with {gift}" for gift in gifts)
    own_that = [that for theme in profile.themes for that in theme.that]
    that = (*draw.some("own that", own_that, DRAWN), *draw.some("that", lists["that"], DRAWN))
    moments = tuple(draw.some("moments", lists["moments"], DRAWN // 2))
    ways: list[Pattern] = [
        (opened, nouns, having),
        (opened, nouns, that),
        (
            opened,
            nouns,
            tuple(f"{one} and {other}" for one, other in _pairs(gifts, "with ")),
        ),
        (
            opened,
            nouns,
            tuple(
                f", {one} and {other}"
                for one, other in _pairs(draw.some("last", [*own, *_adjectives(lists, draw)], DRAWN), "")
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
        common: list[Pattern] = [(opened, nouns, ("in the same vein",)), (opened, nouns, ("in the same vein",), having)]
        if others:
            common = [
                (opened, others, (f"with {shared} in common",)),
                (opened, others, (f"with just as much {shared}",)),
            ]
        chosen = [*chosen[: WAYS - 1], *common]
    return chosen


def _thing(profile: Profile, shared: str, draw: Draw, *, bare: bool) -> list[Pattern]:
    lists = phrases()["thing"]
    opened = tuple(map(article, draw.some("adjectives", _adjectives(lists, draw), DRAWN)))
    nouns = tuple(draw.some("nouns", lists["nouns"], DRAWN))
    plain = tuple(noun for noun in nouns if " " not in noun) or ("pick", "choice")
    that = tuple(draw.some("that", lists["that"], DRAWN))
    moments = tuple(draw.some("moments", lists["moments"], DRAWN))
    ways: list[Pattern] = []
    if profile.described and (bare or profile.countable):
        ways = [((profile.described,),), ((profile.described,), (",",), opened, plain, moments)]
        ways += [((profile.described,), (",",), opened, plain, origin) for origin in [_origin(profile)] if origin]
        return draw.some("ways", ways, WAYS)
    if origin := _origin(profile):
        ways += [(opened, plain, origin), (opened, plain, origin, that)]
    if profile.labels:
        label = shared or draw.one("label", profile.labels)
        section = (f"{'also ' if shared else ''}from the {label} section",)
        ways += [(opened, plain, section, that), (opened, plain, section, moments)]
    if not ways:
        ways = [(opened, plain, that), (opened, nouns, moments), (opened, nouns, that)]
    return draw.some("ways", ways, WAYS)


def _adjectives(lists: dict[str, Any], draw: Draw) -> list[str]:
    """Adjectives for any item, in the tone of the text."""
    found: list[str] = phrases()["tones"].get(draw.tone, lists["adjectives"])
    return found


def _nouns(profile: Profile) -> tuple[str, ...]:
    return tuple(dict.fromkeys(noun for theme in profile.themes for noun in theme.nouns))


def _origin(profile: Profile) -> tuple[str, ...]:
    """Who made it, who is in it, when it is from."""
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


def _is_name(text: str) -> bool:
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def _described(description: str, title: str, labels: Iterable[str]) -> tuple[str, bool]:
    """The first sentence of a description where it is a noun with additions ("A lamp of brushed steel"), as it stands
    inside a sentence, and whether it has its article.

    It is that when the word before its first preposition is a noun: after an article, or one that the title or a
    category has too. No parser: what does not look like one is left out.
    """
    match = _SENTENCE.match(description.strip())
    sentence = match[0].strip() if match else ""
    words = sentence.split()
    added = _ADDED.search(sentence)
    if not (3 <= len(words) <= 24) or added is None or len(sentence) > 140 or re.search(r"[:;()\"“”]", sentence):
        return "", False
    head = sentence[: added.start()].split()
    lower = [word.strip(",").lower() for word in head]
    if (
        not 1 <= len(head) <= 6
        or _not_nouns().intersection(word.lower() for word in words)
        or "," in sentence[: added.start()]
    ):
        return "", False
    if lower[0] in ("a", "an"):
        if (
            len(head) < 2
            or {"a", "an", "the"} & set(lower[1:])
            or re.search(r"[^s]s$", lower[-1])
            or added[0] not in _FIRST_ADDED
        ):
            return "", False
        return sentence[0].lower() + sentence[1:], True
    known = {word.lower() for text in (title, *labels) for word in text.split()}
    if lower[-1] in known and lower[0] not in ("the", "this", "my"):
        return (sentence[0].lower() + sentence[1:] if sentence[1:2].islower() else sentence), False
    return "", False
