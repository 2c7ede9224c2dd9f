"""What the description of an item says in sentences that may be quoted, and as a noun that may stand inside one.

A description reads better than any phrase that fits everything, and it is true as far as the catalogue is. What gives
orders, claims, speaks for somebody, addresses or praises is not quoted: titles and descriptions come from anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from generation.lexicon import is_wide
from generation.words import phrases

MAX_SENTENCE_CHARS = 170
MAX_SENTENCE_WORDS = 30
MIN_SENTENCE_WORDS = 3
MAX_SENTENCES = 4
"""So many of a description are looked at: what matters comes first."""
MAX_HEAD_WORDS = 6
_END = re.compile(
    r"(?<![A-Z])(?<!\bDr)(?<!\bMr)(?<!\bSt)(?<!\bNo)(?<!\bvs)(?<!\bOp)(?<!\bMrs)(?<!\be\.g)(?<!\bi\.e)[.!?]+"
    r"(?=\s+[^\sa-z]|\s*$)|[。！？]+"
)
_REFUSED = re.compile(r"[:;()\"“”‘’«»/@$%€£]|www|\.\w{2,4}/|!|\.\.|\s-|[A-Z]{4,}")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_ADDED = re.compile(
    r"[,]? (?:of|with|made|from|for|in|by|on|at|to|into|over|about|that|which|who|whose|where|and|without|next|"
    r"between|around|under|filled|led|built|designed)\b"
)
_CLAUSE = re.compile(
    r"[.?](?!\d)|, (?:and|but|so|he|she|they|it)\b|(?<! that)(?<! which)(?<! who)(?<! it) (?:is|are|was|were)\b"
)
_SUPERLATIVE = re.compile(r"[a-z]{2}est$")
_VERB = re.compile(r"(?<!ga)(?<!sport)(?<!canva)[^s']s$")
_NO_NOUN_END = re.compile(r"[^s]s$|ed$|ly$|ing$")


@dataclass(frozen=True, slots=True)
class Details:
    """`sentences` may follow a sentence that names the item: its first ones, alone and together. `noun` is the first
    where it is a noun with additions ("a lamp of brushed steel"), `head` what comes before those where it has an
    article."""

    sentences: tuple[str, ...] = ()
    noun: str = ""
    head: str = ""

    def quoted(self) -> Iterable[str]:
        """All of it as it may stand in a text, without the mark at the end."""
        return (*(sentence.rstrip(".?。？") for sentence in self.sentences), *filter(None, (self.noun, self.head)))


def details_of(description: str, title: str, labels: Iterable[str] = (), said: Iterable[str] = ()) -> Details:
    """What the description of an item gives to quote.

    Args:
        description: all of it, cleaned.
        title: as it is spoken.
        labels: categories and tags.
        said: further sentences that are true of the item, which may follow the first one.
    """
    whole: list[str] = []
    start = 0
    for match in [*_END.finditer(description)][:MAX_SENTENCES]:
        whole.append(description[start : match.end()].strip())
        start = match.end()
    if start == 0 or (len(whole) < MAX_SENTENCES and len(description) < 2 * MAX_SENTENCE_CHARS):
        rest = description[start:].strip()
        whole += [rest] if rest else []
    fine = [_about(sentence, title) if _is_fine(sentence) else "" for sentence in whole]
    if any(_hostile(sentence) for sentence in whole):
        fine = []
    noun, head = (
        _noun(fine[0], {word.lower() for text in (title, *labels) for word in text.split()}) if fine else ("", "")
    )
    alone = [sentence for place, sentence in enumerate(fine) if sentence and (place == 0 or _stands_alone(sentence))]
    pairs = [f"{one}{'' if is_wide(one[-1]) else ' '}{two}" for one, two in pairwise(fine) if one and two]
    first = fine[0] if fine else ""
    added = [f"{first} {one}" for one in said] if first and not is_wide(first[-1]) else []
    found = (one for one in (*alone, *pairs, *added) if len(one) <= MAX_SENTENCE_CHARS)
    return Details(tuple(dict.fromkeys(found)), noun, head)


@cache
def _list(name: str) -> frozenset[str]:
    return frozenset(phrases()[name])


def _hostile(sentence: str) -> bool:
    """Whether a sentence gives an order to whoever reads or writes."""
    return bool(_list("orders").intersection(word.lower() for word in _WORD.findall(sentence)))


def _orders_or_claims(words: list[str]) -> bool:
    """Whether a sentence tells its reader what to do, or says of the thing what no catalogue can vouch for.

    An order begins with a verb in its plain form: a first word that ends like none and comes before an article or a
    pronoun is one. Others are known ones, duties ("must", "you should"), superlatives, ratings, health, money.
    """
    first, second = [*words, "", ""][:2]
    plain = not re.search(r"(?:s|ed|ing|ly)$", first) and first not in _list("no_verbs") | _list("objects")
    address = any(word in ("you", "your", "yours", "yourself") for word in words)
    return (
        first in _list("commands")
        or (plain and second in _list("objects"))
        or bool(_list("claims").intersection(words))
        or (address and bool(_list("modals").intersection(words)))
        or any(_SUPERLATIVE.search(word) and word not in _list("no_superlatives") for word in words)
        or any(pair == ("the", "most") for pair in pairwise(words))
    )


def _is_fine(sentence: str) -> bool:
    """Whether a sentence can be quoted: a plain one, of ordinary length, about the thing and in nobody's name."""
    if not sentence or _REFUSED.search(sentence.rstrip(".。!！")):
        return False
    if is_wide(sentence[-1]):
        claims = any(word in sentence for word in ("我", *phrases()["claims_zh"]))
        return 5 <= len(sentence) <= MAX_SENTENCE_CHARS // 2 and not claims
    words = _WORD.findall(sentence)
    return (
        MIN_SENTENCE_WORDS <= len(words) <= MAX_SENTENCE_WORDS
        and len(sentence) <= MAX_SENTENCE_CHARS
        and not _list("speakers").intersection(word.lower() for word in words)
        and not _orders_or_claims([word.lower() for word in words])
        and not any(is_wide(char) for char in sentence)
        and sum(map(len, words)) > len(sentence) / 2
    )


def _about(sentence: str, title: str) -> str:
    """A sentence as it follows one that names the title: with "it" for that, a capital and a full stop."""
    sentence = sentence.rstrip("!！")
    if sentence[-1] not in ".?。？":
        sentence += "。" if is_wide(sentence[0]) else "."
    words = title.split()
    for length in range(len(words), 0, -1):
        name = " ".join(words[:length])
        if len(name) > 2 and (
            match := re.match(rf"{re.escape(name)} (?=(?:is|has|was|comes|can|keeps|makes)\b)", sentence)
        ):
            return f"It {sentence[match.end() :]}"
    first, second = [*sentence.lower().split(), "", ""][:2]
    if first in _list("verbs") and second not in ("of", "by", "from"):
        return f"It {sentence[0].lower()}{sentence[1:]}"
    return sentence[0].upper() + sentence[1:]


def _stands_alone(sentence: str) -> bool:
    """Whether a sentence that is not the first can come without those before it."""
    return is_wide(sentence[0]) or sentence.split(" ", 1)[0].lower() in ("a", "an", "the")


def _noun(sentence: str, known: set[str]) -> tuple[str, str]:
    """A sentence that is a noun with additions, as it stands inside another, and that noun where it has an article.

    No parser: the words before the first addition are a noun when none of them looks like a verb and they begin with an
    article, or end with a word that title or categories have too.
    """
    text = re.sub(r"^It (?:is|was) (?=an? |the )", "", sentence).rstrip(".")
    added = _ADDED.search(text)
    head = (text[: added.start()] if added else text).split()
    lower = [word.lower() for word in head]
    refused = _list("not_nouns")
    if not 1 <= len(head) <= MAX_HEAD_WORDS or refused & set(lower) or _CLAUSE.search(text):
        return "", ""
    inside = text[0].lower() + text[1:] if text[1:2].islower() or text[1] == " " else text
    if lower[0] not in ("a", "an", "the"):
        return (inside if lower[-1] in known and added is not None and "," not in " ".join(head) else ""), ""
    if (
        len(head) < 2
        or (lower[0] == "the" and (added is None or added[0] != " of"))
        or {"a", "an", "the"} & set(lower[1:])
        or _NO_NOUN_END.search(lower[-1])
        or any(_VERB.search(word) for word in lower[1:-1])
        or not lower[-1].replace("-", "").isalpha()
    ):
        return "", ""
    return inside, "" if lower[0] == "the" or lower[-1] in _list("amounts") else inside[: len(" ".join(head))]
