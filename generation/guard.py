"""The guard: lets a clause through only when nothing in it goes beyond the facts.

It trusts no engine and no prompt: it sees the text and the facts, nothing else. Every rule has a name, which the
report of a text carries when the rule has fired.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.messages import WriteTask
from generation.facts import WITHIN_KEYS, facts_of, titles
from generation.lexicon import at_sentence_start, words_of
from generation.phrasing_zh import is_chinese
from generation.profile import profile_of
from generation.words import attributes, theme_words, themes, vocabulary, words_of_facts

RULES = ("empty", "length", "markup", "prompt", "number", "script", "name", "genre", "person", "loop")

_MARKUP = re.compile(r"[<>{}\[\]|`*#_\\~^=@\n\r\t]|https?:|www\.|&\w+;")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SPELLED = re.compile(
    r"(?<!\bor )\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|"
    r"seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|dozens?)\b",
    re.IGNORECASE,
)
_SPELLED_ZH = re.compile(
    r"[零〇一二两三四五六七八九十百千万亿]{2,}|[二两三四五六七八九十百千万亿](?=年|元|块|项|座|次|届|位|人|美|欧|奖|亿|万)"
)
_MARKED = re.compile(r"《([^》]*)》?|“([^”]*)”?")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_PROMPT = re.compile(
    r"\b(?:system prompt|instructions?|as an ai|language model|assistant|chatbot|openai|smollm|"
    r"(?:title|kind|year|people|liked|about|items?|reasons?)\s*:)",
    re.IGNORECASE,
)
_TASTE = re.compile(
    r"\byou(?:'ve| have)?(?: also)? (?:really )?(?:liked|loved|enjoyed|watched|adored|bought|read)\b", re.I
)
_TOOK = r"\b(?:liked|loved|enjoyed|watched|adored|fans? of|like)(?: watching)? "
_LETTER = r"[^\W\u3000-\u9fff]"
"""What belongs to a word: in Chinese a name stands between other words without a space."""
STAND_IN = "it"
"""What names become before the rest is looked at."""
_COPY_WORDS = 7
"""So many words in a row from the instructions count as leaking them."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a text may rest on, made once per task.

    `names` may appear exactly so, longest first, and so may sentences of a description; `own` are names of the items
    written about, `liked` those that the person likes. `words` holds the lower-case words that each own name entitles
    to, `labels` its categories and tags as they are written, `numbers` the digit sequences in the facts, `said`
    all of their text, `genres` all words that name a category, `secrets` the instructions, as lower-case words.
    """

    names: tuple[str, ...]
    own: tuple[str, ...]
    liked: tuple[str, ...]
    words: Mapping[str, frozenset[str]]
    labels: Mapping[str, frozenset[str]]
    numbers: frozenset[str]
    said: str
    genres: frozenset[str]
    secrets: str
    language: str
    max_chars: int


def ground_of(task: WriteTask, instructions: str, max_chars: int, categories: Iterable[str] = ()) -> Ground:
    """The ground of one task. `categories` are all that the catalogue has, beyond the known ones."""
    item_facts = [facts_of(item) for item in task.items]
    liked = titles(task.liked)
    own = titles(task.items)
    people = [person for facts in item_facts for person in facts.get("people", ())]
    labels = {
        str(facts.get("title", "")): frozenset((*facts.get("categories", ()), *facts.get("tags", ())))
        for facts in item_facts
    }
    description_names = [name for facts in item_facts for name in _names_in(str(facts.get("description", "")))]
    keys = (*WITHIN_KEYS, *attributes()["made"])
    within = [str(facts[key]) for facts in item_facts for key in keys if key in facts]
    quoted = [said for item in task.items for said in profile_of(item).details.quoted()]
    names = {*own, *liked, *people, *within, *description_names, *quoted} - {""}
    words = {str(facts.get("title", "")): words_of_facts(facts) for facts in item_facts}
    said = " ".join(_all_text(item_facts, liked)).lower()
    genre_words = {word for theme in themes().values() for word in theme.genre} | {name.lower() for name in categories}
    return Ground(
        names=tuple(sorted(names, key=len, reverse=True)),
        own=tuple(own),
        liked=tuple(liked),
        words=words,
        labels=labels,
        numbers=frozenset(_NUMBER.findall(said)),
        said=said,
        genres=frozenset(genre_words),
        secrets=" ".join(words_of(instructions.lower())),
        language=task.language,
        max_chars=max_chars,
    )


def check(clause: str, before: str, ground: Ground) -> str | None:
    """The name of the first rule that `clause`, coming after the accepted text `before`, breaks; None if it is fine."""
    text = before + clause
    if not any(char.isalnum() for char in clause):
        return "empty"
    if len(text) > ground.max_chars:
        return "length"
    bare = _without_names(clause, ground.names)
    subjects = _subjects(text, ground)
    bare = _without_names(bare, sorted(_shared(ground.labels, subjects), key=len, reverse=True))
    if _MARKUP.search(bare):
        return "markup"
    if _PROMPT.search(bare) or _copies(bare, ground.secrets):
        return "prompt"
    if any(number not in ground.numbers for number in _NUMBER.findall(bare)) or _spells_number(bare, ground):
        return "number"
    if ground.language == "en" and any(ord(char) > 0x24F and char.isalpha() for char in bare):
        return "script"
    if ground.language == "en" and _invents_name(bare, before, ground):
        return "name"
    if is_chinese(ground.language) and (rule := _false_in_chinese(bare, subjects, ground)):
        return rule
    foreign = ground.genres - _shared(ground.words, subjects)
    if any(word.lower() in foreign for word in words_of(bare)):
        return "genre"
    if _misjudges_person(clause, ground):
        return "person"
    if _loops(bare, _without_names(before, ground.names)):
        return "loop"
    return None


def _spells_number(bare: str, ground: Ground) -> bool:
    """Whether a number in words is there that the facts do not spell."""
    found = _SPELLED.findall(bare) + (_SPELLED_ZH.findall(bare) if is_chinese(ground.language) else [])
    return any(re.search(rf"(?<![a-z]){word.lower()}(?![a-z])", ground.said) is None for word in found)


def _false_in_chinese(bare: str, subjects: Iterable[str], ground: Ground) -> str | None:
    """A name in marks or in Latin letters that is none of the facts, or another item's category."""
    marked = (title or other for title, other in _MARKED.findall(bare))
    if any(title != STAND_IN for title in marked) or any(word != STAND_IN for word in _LATIN.findall(bare)):
        return "name"
    own = {themes()[label.lower()].zh for label in _shared(ground.labels, subjects) if label.lower() in themes()}
    return "genre" if any(genre not in own for genre in _genres_zh().findall(bare)) else None


@cache
def _genres_zh() -> re.Pattern[str]:
    return re.compile("|".join(sorted({theme.zh for theme in themes().values()}, key=len, reverse=True)))


def _invents_name(bare: str, before: str, ground: Ground) -> bool:
    for match in re.finditer(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", bare):
        word = match[0]
        if word == word.lower():
            continue
        opens = at_sentence_start(before + bare[: match.start()])
        lower = word.lower()
        common = lower in vocabulary().words or word in vocabulary().starters
        if not (opens and (common or lower in theme_words())):
            return True
    return False


def _subjects(text: str, ground: Ground) -> list[str]:
    """The items that the end of a text speaks of, by their titles: those of its last sentence, else those before."""
    known = list(ground.words)
    if len(known) <= 1:
        return known
    for place, title in sorted(enumerate(known), key=lambda pair: -len(pair[1])):
        if title:  # a mark inside a title ends no sentence
            text = re.sub(rf"(?<!{_LETTER}){re.escape(title)}(?!{_LETTER})", f"\0{place}\0", text)
    for sentence in reversed(re.split(r"(?<=[.!?。！？])\s*", text.rstrip())):
        if named := re.findall(r"\0(\d+)\0", sentence):
            return [known[int(place)] for place in named]
    return known


def _shared(of: Mapping[str, frozenset[str]], subjects: Iterable[str]) -> frozenset[str]:
    """What is true of every one of the items."""
    found = [of[title] for title in subjects]
    return frozenset.intersection(*found) if found else frozenset()


def _misjudges_person(clause: str, ground: Ground) -> bool:
    """Whether a taste is claimed that the person has not shown: any at all, or that for the item itself."""
    if not ground.liked and _TASTE.search(clause):
        return True
    clause = _without_names(clause, sorted(ground.liked, key=len, reverse=True), "…")
    return any(re.search(rf"(?i:{_TOOK})[“\"]?{re.escape(title)}(?!\w)", clause) for title in ground.own)


def _loops(clause: str, before: str) -> bool:
    old, new = words_of(before.lower()), words_of(clause.lower())
    words = old + new
    if any(a == b and len(a) > 2 for a, b in zip(words[max(len(old) - 1, 0) :], words[len(old) or 1 :], strict=False)):
        return True
    seen: dict[tuple[str, ...], int] = {}
    for place in range(len(words) - 3):
        phrase = tuple(words[place : place + 4])
        seen[phrase] = seen.get(phrase, 0) + 1
        if seen[phrase] > 1 and place + 4 > len(old):
            return True
    long = [word for word in new if len(word) > 5]
    return any(words.count(word) > 3 for word in long)


def _copies(bare: str, secrets: str) -> bool:
    words = words_of(bare.lower())
    return any(
        f" {' '.join(words[place : place + _COPY_WORDS])} " in f" {secrets} "
        for place in range(len(words) - _COPY_WORDS + 1)
    )


def _without_names(clause: str, names: Iterable[str], stand_in: str = STAND_IN) -> str:
    """The clause with each allowed name replaced by a stand-in of no meaning."""
    for name in names:
        if name in clause:
            clause = re.sub(rf"(?<!{_LETTER}){re.escape(name)}(?!{_LETTER})", stand_in, clause)
    return clause


def _names_in(description: str) -> list[str]:
    """Capitalised runs inside the sentences of a description."""
    return re.findall(r"(?<=[a-z,] )[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*", description)


def _all_text(item_facts: Iterable[Mapping[str, Any]], liked: Iterable[str]) -> Iterable[str]:
    for facts in item_facts:
        for value in facts.values():
            yield " ".join(map(str, value)) if isinstance(value, list) else str(value)
    yield from liked
