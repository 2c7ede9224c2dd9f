"""What of a message is refused: how far "not", "tired of" or "不要" reach, in English and Chinese.

A refusal holds for the categories, titles and years behind it, through lists ("neither horror nor thriller", "not
comedy, drama or horror"), until its clause ends or turns ("but", "just").
"""

from __future__ import annotations

from collections.abc import Callable

from deployments.chat.titles import HAN, MARKS, word_sets

_REFUSALS = word_sets(
    "no", "not", "without", "except", "hate", "hated", "dislike", "disliked", "never", "don't", "dont", "didn't",
    "doesn't", "won't", "nothing", "avoid", "isn't", "less", "nor", "neither", "can't stand", "cannot stand",
    "couldn't stand", "tired of", "sick of", "bored of", "bored with", "fed up with", "enough of", "skip", "exclude",
    "不要", "不想", "不喜欢", "不看", "不是", "不太", "不爱", "别要", "别给", "别太", "别推荐", "别来", "别再",
    "讨厌", "除了", "没有", "避免", "拒绝", "看腻了", "受不了",
)  # fmt: skip
_NO_REFUSALS = word_sets(
    "don't mind", "do not mind", "not only", "not just", "why not", "no problem", "no matter", "can't get enough of",
    "有没有", "不是不", "不只是", "不介意", "不讨厌",
)  # fmt: skip
"""They hold the words of refusals and refuse nothing."""
_BREAKS = MARKS | {"but", "just", "instead", "rather", "prefer", "但", "而", "只"}
"""Behind these a refusal holds no longer."""
_ALL_BUT = frozenset({"anything", "everything", "all", "any"})
"""Before "but" they refuse what comes behind it."""
_OR = frozenset({"or", "nor", "and", "和", "或", "跟", "与"})
_BETWEEN = _OR | {",", "a", "an", "the", "any"}
"""Between the members of a list."""
_GLUE_WORDS = """
a an the any more of too very really want wanted to see watch read hear like liked enjoy enjoyed in mood for much such
that this these those some kind film films movie movies book books from with feel feeling ever fan
"""
_GLUE = frozenset(_GLUE_WORDS.split())
"""Between a refusal and what is refused they take up no room."""
_REACH = 4.0
"""How many other words may stand there; Chinese characters count half."""
_AFTERWARDS = word_sets(
    "is not my thing", "are not my thing", "isn't my thing", "aren't my thing", "is not for me", "are not for me",
    "isn't for me", "aren't for me", "is not my cup of tea", "isn't my cup of tea", "is out", "are out",
    "不适合我", "不行", "就算了", "不合我口味",
)  # fmt: skip
"""They refuse what stands before them."""
_LONGEST = max(map(len, _AFTERWARDS))


def refused_places(words: list[str], is_subject: Callable[[int], int]) -> set[int]:
    """The places of the words (from `words_of`) that a refusal reaches, its own words too.

    Args:
        is_subject: of how many words from a place on a category or a title consists; 0 where there is none. Behind one
            that is refused a list may go on, so the room begins anew.
    """
    found: set[int] = set()
    left, place = 0.0, 0
    while place < len(words):
        word = words[place]
        if length := is_subject(place):  # a title may hold any word
            if left > 0 or _is_refused_after(words, place + length):
                found.update(range(place, place + length))
                left = _REACH if left > 0 else 0.0
            place += length
            continue
        accepts, refuses = _length(words, place, _NO_REFUSALS), _length(words, place, _REFUSALS)
        if word == "but" and place and words[place - 1] in _ALL_BUT:
            refuses = 1
        if accepts or refuses:
            found.update(range(place, place + (accepts or refuses)))
            left, place = 0.0 if accepts else _REACH, place + (accepts or refuses)
            continue
        if word in _BREAKS:
            left = left if word == "," and left > 0 and _goes_on(words, place, is_subject) else 0.0
        elif left > 0:
            found.add(place)
            left -= 0.0 if word in _GLUE or word in _OR else 0.5 if HAN.match(word) else 1.0
        place += 1
    return found


def is_refused(words: list[str]) -> bool:
    """Whether a refusal reaches to the end of the words, and so what comes behind them."""
    return len(words) in refused_places([*words, "\0"], lambda place: int(place == len(words)))


def _length(words: list[str], place: int, phrases: frozenset[tuple[str, ...]]) -> int:
    return next((n for n in range(_LONGEST, 0, -1) if tuple(words[place : place + n]) in phrases), 0)


def _is_refused_after(words: list[str], place: int) -> bool:
    while words[place : place + 1] and words[place] in _GLUE:
        place += 1
    return bool(_length(words, place, _AFTERWARDS))


def _goes_on(words: list[str], comma: int, is_subject: Callable[[int], int]) -> bool:
    """Whether a comma stands in a list that ends with "or": "not comedy, drama or horror", but "not horror, comedy"."""
    place, last = comma, False
    while not last and words[place : place + 1] and words[place] in _BETWEEN:
        while words[place : place + 1] and words[place] in _BETWEEN:
            last = last or words[place] in _OR
            place += 1
        length = is_subject(place) if place < len(words) else 0
        if not length:
            return False
        place += length
    return last
