"""Which items of the catalogue a text names, by their titles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cluster.messages import Item
from generation.facts import spoken_title

MARKS = frozenset(".,;:!?")
"""What ends a clause, in Chinese too once `words_of` has read it."""
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
HAN = re.compile(f"[{_HAN}]")
"""A Chinese character: each is a word of its own, for no space stands between."""
_WORD = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+(?:['’-][^\W_{_HAN}]+)*|[.,;:!?，。；：！？]")
_WIDE = str.maketrans("，。；：！？", ",.;:!?")
_LONGEST_WORDS = 12
_MIN_CHARS = 3
_ASKS = (("like",), ("similar", "to"), ("watch",), ("watched",), ("seen",), ("loved",), ("you", "have"), ("about",))
"""Behind these a title may be spelt without a capital: "something like alien"."""
_GOES_ON_WORDS = "but and or only please without not again tonight with instead then yet too"
_GOES_ON = frozenset(_GOES_ON_WORDS.split())
"""What may follow it."""
_POINTER_WORDS = """
it its this that these those them they him her you me us one ones what all any some something anything everything
nothing more most much many other others another here there now new old if when how who why
"""
_POINTERS = frozenset(_POINTER_WORDS.split())
"""Titles too, some of them, but far more often not."""
_SUBTITLE = re.compile(r"\s*:\s.*$")
_BRACKETS = re.compile(r"\s*\([^)]*\)")
"""An alternative title, mostly the original one."""
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, Chinese characters one by one, and the marks between its clauses."""
    return _lowered(_spelled(text))


def word_sets(*phrases: str) -> frozenset[tuple[str, ...]]:
    """The words of each of several phrases."""
    return frozenset(tuple(words_of(phrase)) for phrase in phrases)


def _lowered(words: list[str]) -> list[str]:
    return [word.lower().replace("’", "'") for word in words]


def _spelled(text: str) -> list[str]:
    return [word.translate(_WIDE) for word in _WORD.findall(text)]


class TitleIndex:
    """Titles of a catalogue by their words: as stored, as spoken, without what stands in brackets, and that alone."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._known: dict[tuple[str, ...], tuple[str, str]] = {}
        others: list[tuple[tuple[str, ...], tuple[str, str]]] = []
        shorter: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for item in items:
            spoken = spoken_title(item.title)
            entry = (item.item_id, spoken)
            first, *rest = _forms(item.title, spoken)
            if first:
                self._known.setdefault(first, entry)
            others += [(form, entry) for form in rest if form and form != first]
            if short := _form(_SUBTITLE.sub("", spoken)):
                shorter.setdefault(short, []).append(entry)
        others += [(form, of_it[0]) for form, of_it in shorter.items() if len(of_it) == 1]
        for form, entry in others:  # another form of one title never hides what is itself a title
            self._known.setdefault(form, entry)

    def find(self, text: str, *, written: bool = False) -> list[tuple[str, range]]:
        """Items that a text names, in the order of the text, with the places of their words in `words_of`.

        The longest title wins. A title of one word counts only with a capital, and not as a sentence's first word
        unless it is all of the clause, nor beside another name; or where a title is asked for, as in "like heat":
        "speed" and "heat" are mostly just words. What stands before a colon names the only title that begins so.
        With `written` the text is one of ours, which spells titles letter by letter and may begin with one.
        """
        cased = _spelled(text)
        words = _lowered(cased)
        places = [place for place, word in enumerate(words) if word not in MARKS]
        plain = [words[place] for place in places]
        free = [True] * len(plain)
        found: list[tuple[str, range]] = []
        for length in range(min(_LONGEST_WORDS, len(plain)), 0, -1):
            for start in range(len(plain) - length + 1):
                entry = self._known.get(tuple(plain[start : start + length]))
                if entry is None or not all(free[start : start + length]):
                    continue
                item_id, spoken = entry
                if spoken in text if written else length > 1 or _is_meant(cased, words, places[start]):
                    found.append((item_id, range(places[start], places[start + length - 1] + 1)))
                    free[start : start + length] = [False] * length
        return sorted(found, key=lambda entry: entry[1].start)


def _forms(title: str, spoken: str) -> Iterator[tuple[str, ...]]:
    for form in (spoken, _YEAR.sub("", title), _BRACKETS.sub("", spoken), *_BRACKETS.findall(spoken)):
        yield _form(form)


def _form(text: str) -> tuple[str, ...]:
    words = tuple(word for word in words_of(text) if word not in MARKS)
    return words if sum(map(len, words)) >= _MIN_CHARS else ()


def _is_meant(cased: list[str], words: list[str], place: int) -> bool:
    """Whether a word that is a title stands for it."""
    if _is_name(cased, place):
        return True
    before, behind = words[:place], words[place + 1 : place + 2]
    asked = any(tuple(before[-len(ask) :]) == ask for ask in _ASKS) and words[place] not in _POINTERS
    return asked and (not behind or behind[0] in MARKS or behind[0] in _GOES_ON)


def _is_name(cased: list[str], place: int) -> bool:
    if cased[place] == cased[place].lower() != cased[place].upper():
        return False
    opens = place == 0 or cased[place - 1] in ".!?"
    ends = place + 1 == len(cased) or cased[place + 1] in MARKS or HAN.match(cased[place + 1]) is not None
    if opens or ends:
        return ends
    # "like Seven Samurai" names another film than Seven.
    behind = cased[place + 1]
    return not (behind[0].isupper() and behind.isascii() and len(behind) > 1)
