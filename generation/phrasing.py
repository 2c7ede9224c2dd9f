"""What may be said of an item, as phrases: the patterns of `lexicon.Phrases` from facts, themes and phrase lists.

A sentence of a prompt file has places in braces that are written: `{pick}` (what the item is, after "is"), `{aside}`
(the same after a comma), `{short}` (the same in a few words), `{list}` (what a list of items is), `{detail}` (a
sentence or two of its description). The lists of a language (`words/phrases.yaml`) say which ways there are to fill
one; a way has places in turn, for phrases of the lists and of the facts. What can stand there is grammatical, and comes
from the item's facts, from what its categories imply, or from phrases that claim nothing that could be checked; the
model chooses among it. It is as true as the catalogue is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from cluster.messages import Item
from generation import phrasing_zh
from generation.draw import Draw
from generation.lexicon import Pattern, is_wide, joined, last_word
from generation.phrasing_zh import is_chinese
from generation.profile import Profile, profile_of
from generation.recent import Recent
from generation.words import phrases, phrases_zh

PLACE = re.compile(r"\{(pick|aside|short|list|detail)\}")
"""What is written by the model, in the sentences of a prompt file."""
DRAWN = 10
"""So many phrases of a list stand in one place of one text: of all a small model would take the same too often."""
TRIED = 12
"""Of so many ways that fit the one is taken that repeats least of the last texts."""
DRAWN_STORY = 12
"""The same for what tells a story: there is more that is its own."""
DESCRIBED = 6
"""An item's own description is taken so many times as often as any other way to speak of it."""
_INNER = re.compile(r"\{(a )?(\w+)\}")


def in_common(item: Item, other: Item) -> str:
    """What two items have in common, in words: topics of stories, or the section of things. Empty when nothing."""
    one, two = profile_of(item), profile_of(other)
    if one.story and two.story:
        return " and ".join([theme.topic for theme in one.themes if theme in two.themes][:2])
    return next((label for label in one.labels if label in two.labels), "") if not (one.story or two.story) else ""


def expand(
    rest: str, item: Item, shared: str, draw: Draw, room: int, recent: Recent | None = None, before: str = ""
) -> tuple[Pattern, ...]:
    """The pattern of what comes after the beginning of a sentence; none where nothing is short enough.

    The draw chooses the way and the model the phrases: of several ways a small model would take the same for all.

    Args:
        rest: the sentence from its first place in braces on; at least one.
        item: what the sentence is about, or the first of several.
        shared: what it has in common with the title that the beginning names (`in_common`), or nothing.
        draw: the choices of the task.
        room: no pattern gets longer than so many characters.
        recent: what the last texts hold; of the first few ways the one that need repeat least of it is taken.
        before: the word before the sentence's first place.
    """
    profile = profile_of(item)
    found: list[Pattern] = [()]
    for number, part in enumerate(PLACE.split(rest)):
        if number % 2:
            written = _written(part, profile, shared, draw)
            found = [(*way, *more) for way in found for more in written]
        elif part.strip():
            found = [(*way, (part.strip(),)) for way in found]
    fitting = islice((fitted for way in found if (fitted := _fit(way, room))), 1 if recent is None else TRIED)
    first = min(fitting, key=lambda way: 0 if recent is None else repeats(way, recent, before), default=None)
    return () if first is None else (first,)


def repeats(way: Pattern, recent: Recent, before: str) -> float:
    """How much a way at least repeats of the last texts after `before`, with the freshest phrase of each place."""
    text = before
    for place in way:
        text += joined(recent.freshest(last_word(text), place)[0])
    return recent.repeats(text)


def article(phrase: str) -> str:
    """A phrase with its indefinite article."""
    lower = phrase.lower()
    vowel = lower[:1] in tuple("aeiou") and not lower.startswith(("one", "uni", "use", "eu"))
    return f"{'an' if vowel or lower.startswith(('honest', 'hour')) else 'a'} {phrase}"


def details(profile: Profile, *, chinese: bool) -> tuple[str, ...]:
    """The sentences of an item's description that can be quoted in a language."""
    return tuple(one for one in profile.details.sentences if is_wide(one[0]) == chinese)


def _written(place: str, profile: Profile, shared: str, draw: Draw) -> list[Pattern]:
    """What may stand in a place of a sentence."""
    chinese = is_chinese(draw.language)
    lists = phrases_zh() if chinese else phrases()
    if place == "list":
        return [(tuple(draw.some("list", lists["lists"], DRAWN)),)]
    if place == "detail":
        quoted = details(profile, chinese=chinese)
        return [(quoted,)] if quoted else []
    kind = "story" if profile.story else "report" if profile.report else "thing"
    if profile.grave:
        kind = {"story": "sober", "thing": "plain"}.get(kind, kind)
    known = phrasing_zh.facts(profile) if chinese else _facts(profile, kind, shared, lists[kind], draw)
    if place == "pick" and not profile.details.noun.startswith(("a ", "an ", "the ")):
        known.pop("described", None)
    source = _Source(lists, kind, profile, known, draw, chinese)
    groups = {name: found for name in lists[kind]["ways"] if (found := source.patterns(name))}
    short, named = groups.pop("short"), groups.pop("named", [])
    if place == "short":
        return [*named, *draw.some("ways short", short, len(short))]
    order = ["shared"] * ("shared" in groups) + ["free"] + draw.some("groups", [*groups], len(groups))
    order = ["described"] * (DESCRIBED * ("described" in groups)) + order
    first = draw.one("group", order)
    return [
        way
        for name in dict.fromkeys((first, *order))
        for way in draw.some(f"ways {name}", groups[name], len(groups[name]))
    ]


class _Source:
    """Where the phrases of a text's places come from: the facts, else the lists of its kind, else those of all."""

    def __init__(
        self,
        lists: Mapping[str, Any],
        kind: str,
        profile: Profile,
        known: Mapping[str, Sequence[str]],
        draw: Draw,
        chinese: bool,
    ) -> None:
        self._lists, self._kind, self._known, self._draw = lists, kind, known, draw
        self._profile = profile
        self._themes = phrasing_zh.themes_of(profile) if chinese else _themes_of(profile)

    def patterns(self, group: str) -> list[Pattern]:
        """The ways of a group all of whose places have something to stand there."""
        found = []
        for way in self._lists[self._kind]["ways"][group]:
            parts = _INNER.split(way)
            names = parts[2::3]
            drawn = {name: self._drawn(name, names.count(name), f"{group}/{way}") for name in names}
            if all(drawn.values()):
                places = [
                    tuple(f"{before.lstrip()}{article(phrase) if opens else phrase}" for phrase in drawn[name].pop())
                    for before, opens, name in zip(parts[::3], parts[1::3], names, strict=False)
                ]
                end = parts[-1].strip()
                found.append((*places, (end,)) if end else tuple(places))
        return found

    def _drawn(self, name: str, times: int, salt: str) -> list[Sequence[str]]:
        """Phrases for each of the places of a name in one way, different ones in each; nothing where there are none."""
        if name in self._known:
            return [self._known[name]] * times if self._known[name] else []
        drawn = DRAWN_STORY if self._profile.story else DRAWN
        own = list(dict.fromkeys(self._themes.get(name, ())))
        general = [phrase for phrase in self._general(name) if phrase not in own]
        some = [
            *self._draw.some(f"own {name} {salt}", own, times * (drawn - 1)),
            *self._draw.some(f"{name} {salt}", general, times * drawn),
        ]
        return [some[place::times] for place in range(min(times, len(some)))] if len(some) >= times else []

    def _general(self, name: str) -> Sequence[str]:
        if name == "adjective":
            return _adjectives(self._lists, self._kind, self._profile, self._draw)
        found: Sequence[str] = self._lists[self._kind].get(name) or self._lists.get("all", {}).get(name, ())
        return found


def _themes_of(profile: Profile) -> dict[str, list[str]]:
    """What the categories of a story say of it."""
    if not profile.story:
        return {}
    themes = profile.told()
    return {
        "adjective": [word for theme in themes for word in theme.adjectives],
        "gift": [gift for theme in themes for gift in theme.gifts],
        "that": [that for theme in themes for that in theme.that],
    }


def _facts(profile: Profile, kind: str, shared: str, lists: Mapping[str, Any], draw: Draw) -> dict[str, Sequence[str]]:
    """What the facts of an item put into places. A name that is there without phrases closes the ways that need it."""
    if profile.story:
        nouns = list(dict.fromkeys(noun for theme in profile.themes for noun in theme.nouns))
        topics = [theme.topic for theme in profile.themes]
        fitting = [way for way in lists["alike"] if not (shared.startswith("the ") and "much" in way)]
        return {
            "noun": nouns,
            "other": [noun for noun in nouns if not set(noun.split()) & set(shared.split())] if shared else [],
            "alike": [way.format(shared) for way in draw.some("alike", fitting, DRAWN)] if shared else [],
            "akin": draw.some("akin", lists["akin"], DRAWN) if shared else [],
            "topics": [f"{one} and {other}" for one, other in _pairs(topics)],
            "parts": [f"{one}, part {other}" for one, other in _pairs(topics)],
            "made": _made(profile, story=True),
        }
    shared = "" if shared and is_wide(shared[0]) else shared
    labels = [label for label in profile.labels if not is_wide(label[0])]
    label = shared or (draw.one("label", labels) if labels else "")
    known: dict[str, Sequence[str]] = {
        "made": _made(profile, story=False),
        "label": [label] if label and not _says(label, profile.noun) else [],
        "section": [way.format(label) for way in draw.some("section", lists["section"], DRAWN)] if label else [],
        "mutual": [shared] if shared else [],
        "same": draw.some("same", lists["same"], DRAWN) if shared else [],
        "described": [profile.details.noun] if profile.details.noun else [],
        "head": [profile.details.head] if profile.details.head.count(" ") > profile.noun.count(" ") + 1 else [],
    }
    if profile.kind is not None and kind == "thing":
        known["use"] = draw.some("use", profile.kind.use, DRAWN)
    if profile.noun:
        known |= {"noun": [profile.noun], "work": [profile.noun]}
    elif profile.kind is not None and profile.kind.noun and kind == "thing":
        known |= {"noun": profile.kind.noun, "work": profile.kind.noun}
    elif not profile.made_by:
        known["work"] = draw.some("work", lists["noun"], DRAWN)
    return known


def _says(label: str, noun: str) -> bool:
    """Whether a category is the plural of what an item is called: a lamp among Lamps is no "Lamps lamp"."""
    return bool(noun) and label.lower().split()[-1].startswith(noun[:-1])


def _adjectives(lists: Mapping[str, Any], kind: str, profile: Profile, draw: Draw) -> Sequence[str]:
    """Adjectives for any item of a kind, in the tone of the text; for what is called by its name those that fit any."""
    called = bool(profile.noun or (profile.kind and profile.kind.noun))
    own: Sequence[str] = lists[kind].get("kinds" if called else "adjective", lists[kind]["adjective"])
    if called and draw.tone != "enthusiastic":
        return own
    toned: Sequence[str] = lists.get("tones", {}).get(draw.tone, {}).get(kind, own)
    return toned


def _made(profile: Profile, *, story: bool) -> list[str]:
    """Who made it, who is in it, when or where it is from, what it is of."""
    made = [f"by {name}" for name in profile.made_by[:2]]
    if story:
        made += [f"with {name}" for name in profile.cast[:3]]
    else:
        made += [f"from {profile.brand}"] if profile.brand else []
        made += [*profile.placed, *(f"in {value}" for value in profile.within)]
    return made + ([f"from {profile.year}"] if profile.year is not None else [])


def _pairs(values: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Neighbours in a list, in a circle; none of a single one."""
    return [(a, b) for a, b in zip(values, [*values[1:], *values[:1]], strict=True) if a != b]


def _fit(way: Pattern, room: int) -> Pattern:
    """A pattern without the phrases that would make it too long; nothing where it is in any case."""
    places = [sorted(set(place), key=lambda phrase: (len(phrase), phrase)) for place in way]
    while sum(len(joined(place[-1])) for place in places) > room:
        longest = max(places, key=lambda place: len(place[-1]) - len(place[0]))
        if len(longest) == 1:
            return ()
        longest.pop()
    return tuple(map(tuple, places))
