"""How people say what they want of a list, in English and Chinese: lengths, places, years, prices, refusals.

Both languages are understood in one message. Patterns are for the text as it stands, tuples for its words
(`titles.words_of`: Chinese characters one by one).
"""

from __future__ import annotations

import re

from deployments.chat.titles import MARKS, words_of

MAX_ITEMS = 5

_NUMBERS = (
    {
        word: n
        for n, word in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1)
    }
    | {word: n for n, word in enumerate("一二三四五六七八九十", 1)}
    | {"两": 2}
)
_NOUN_WORDS = ("title", "film", "movie", "book", "song", "thing", "item", "pick", "idea")
_NOUNS = rf"(?:{'|'.join(_NOUN_WORDS)})s?\b"
_BEHIND = "please for from to with without about like that tonight today now and but"
COUNTED = frozenset([*_NOUN_WORDS, *(f"{noun}s" for noun in _NOUN_WORDS), *_BEHIND.split()])
"""What may stand behind a category that a number counts: "two comedies for tonight", not "one romantic evening"."""
BESIDE = frozenset({"more", "other", "good", "great", "nice", "new", "different"})
"""What may stand between a number and what it counts."""
_COUNT = re.compile(
    r"\b(?:just|only|top|at most|give me|show me|recommend(?: me)?|suggest)\s+(?:the\s+)?"
    # A greater number may begin a title: "show me 12 Monkeys".
    r"(?:(?P<n>one|two|three|four|five|[1-5])\b"
    rf"|(?P<many>six|seven|eight|nine|ten|[6-9]|[1-9]\d)\b(?=\s*(?:$|[.,!?]|please\b|{_NOUNS})))"
    r"|\ba (?P<single>single)\b"
    rf"|\b(?P<m>one|two|three|four|five|six|seven|eight|nine|ten|[1-9]\d?) (?!(?:more|other) things?\b)"
    rf"(?:(?:{'|'.join(sorted(BESIDE))}) )?{_NOUNS}"
    r"|(?<!第)(?P<z>[二两三四五六七八九十]|(?<!\d)(?:[2-9]|[1-9]\d))\s*(?:部|个|本|首|款|件|条)(?!月|小时)"
    r"|(?:只|就)(?:要|看|给我|推荐|来)?\s*(?P<only>[一1])\s*(?:部|个|本|首|款|件|条)",
    re.IGNORECASE,
)
_SHORTER = re.compile(
    r"\b(?:shorter(?: list)?|fewer|less of them|too many)\b|少一[点些]|少推荐|太多了|短一[点些]", re.IGNORECASE
)
_LONGER = re.compile(
    r"\b(?:longer list|more (?:options|ideas|titles|suggestions|picks|films|movies))\b|多一[点些]|多推荐|多来|再来几",
    re.IGNORECASE,
)
OTHERS = re.compile(
    r"\b(?:another|something else|anything else|what else|others?|different ones?)\b"
    r"|\b(?:seen|watched|read|heard|know) (?:all (?:of )?|both (?:of )?)?(?:them|these|those)\b"
    r"|\b(?:not|(?:don't|don’t|do not) (?:like|want)) (?:(?:any|all|either|both) of )?(?:that|this|it|them|these|those)"
    r"(?: ones?)?(?=\s*(?:$|[.,!?;]|please\b))"
    r"|不(?:要|喜欢)这(?:些|[个几]?(?:部|个|本|首|款|件|条))?\s*(?:$|[，。！,.!])"
    r"|换一|别的|其他|其它|还有吗|还有什么|(?:都|已经|全)(?:看|读|听)过",
    re.IGNORECASE,
)
_PLACES = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "fifth": 4, "last": -1}
_PLACE = re.compile(
    r"\bthe (?P<place>first|second|third|fourth|fifth|last|1st|2nd|3rd)\b"
    r"(?=\s+(?:one|title|film|movie|book|song|thing|item|pick|choice|idea|suggestion|recommendation)\b|\s*(?:[.?!,]|$))"
    r"|\b(?:number|no\.|#)\s*(?P<number>[1-5])\b"
    r"|第\s*(?P<zh>[一二三四五1-5])\s*(?:部|个|本|首|款|件|条)|(?P<final>最后)一(?:部|个|本|首|款|件|条)",
    re.IGNORECASE,
)
_THAT = re.compile(
    r"\bwhy (?:did you (?:pick|choose|suggest|recommend) )?(?:that|this|it)\b"
    r"|为(?:什么|何|啥)(?:要|会)?(?:推荐|选)?[这那它]",
    re.IGNORECASE,
)
WHY = re.compile(r"\b(?:why|how come|what makes)\b|为什么|为何|为啥|理由", re.IGNORECASE)
ABOUT = re.compile(
    r"\b(?:tell me|more about|what is|what's|what about|describe|any good)\b"
    r"|\b(?:worth (?:it|watching|seeing|reading|hearing)"
    r"|who (?:directed|made|wrote|plays|stars)|when (?:was|did)|how (?:old|long|good) is)\b|^is\b.*\bgood\b"
    r"|讲什么|讲的是|关于什么|介绍|是什么|怎么样|说说",
    re.IGNORECASE,
)
LIKE = re.compile(r"\b(?:like|similar to)\s+$|(?:像|类似于?|跟|和)\s*$", re.IGNORECASE)
NOT = re.compile(r"\b(?:not|without|except|no|seen|watched|read|heard)\s+$|(?:不要|除了|不想看|别)\s*$", re.IGNORECASE)
SIMILAR = re.compile(r"\b(?:like|similar)\b|像|类似|差不多|一样", re.IGNORECASE)

_DECADES = {
    "twenties": 20, "thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80,
    "nineties": 90, "二十": 20, "三十": 30, "四十": 40, "五十": 50, "六十": 60, "七十": 70, "八十": 80, "九十": 90,
}  # fmt: skip
_YEAR = r"(?:1[89]|20)\d\d"
_TENS = r"(?:1[89]|20)\d0"
_BETWEEN = re.compile(
    rf"\b(?:between|from)\s+({_YEAR})\s+(?:and|to|until)\s+({_YEAR})\b|({_YEAR})\s*年?\s*[-–到至]\s*({_YEAR})"
)
_DECADE = re.compile(
    rf"\b({_TENS})'?s\b|(?<!\d)'?([2-9]0)'?s\b|\b(twenties|thirties|forties|fifties|sixties|seventies"
    rf"|eighties|nineties)\b|({_TENS})年代|(?<!\d)([2-9]0)年代|([二三四五六七八九]十)年代",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"\b(?:before|older than|earlier than|until)\s+({_YEAR})\b|({_YEAR})\s*年?\s*(?:以前|之前)", re.IGNORECASE
)
_AFTER = re.compile(rf"\b(?:after|newer than|later than)\s+({_YEAR})\b|({_YEAR})\s*年?\s*(?:以后|之后)", re.IGNORECASE)
_SINCE = re.compile(rf"\bsince\s+({_YEAR})\b|\bfrom\s+({_YEAR})\s+(?:on|onwards)\b", re.IGNORECASE)
_IN = re.compile(rf"\b(?:from|in|of)\s+({_YEAR})\b|({_YEAR})\s*年的?", re.IGNORECASE)
ANY_YEAR = re.compile(r"\bany (?:year|time|decade|age)\b|哪年都|不限年", re.IGNORECASE)
_PRICE = re.compile(
    r"\b(?:under|below|less than|cheaper than|at most|up to|no more than|max(?:imum)?)\s*[$€£¥]?\s*"
    r"(\d{1,7}(?:\.\d{1,2})?)"
    r"(?!\s*(?:%|st\b|nd\b|rd\b|th\b|min|hour|page|year|day|week|month|title|film|movie|book|song|thing|item|pick"
    r"|idea|[a-z]{1,2}\b|\d))"
    r"|(\d{1,7}(?:\.\d{1,2})?)\s*(?:元|块钱?|美元|欧元)(?:以下|以内|之内)",
    re.IGNORECASE,
)

Years = tuple[int | None, int | None]
"""From and to, both included."""


def _words(*phrases: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words_of(phrase)) for phrase in phrases)


REFUSALS = _words(
    "no", "not", "without", "except", "hate", "dislike", "never", "don't", "nothing", "avoid", "isn't", "less", "nor",
    "不要", "不想", "不喜欢", "不看", "不是", "不太", "不爱", "别要", "别给", "别太", "别推荐",
    "讨厌", "除了", "没有", "避免", "拒绝",
)  # fmt: skip
BREAKS = MARKS | {"but", "just", "instead", "rather", "但", "而", "只"}
"""Behind these a refusal holds no longer."""
ALL_BUT = frozenset({"anything", "everything", "all", "any"})
"""Before "but" they refuse what comes behind it."""
REACH = 4
"""How many words before a category a word of refusal may stand; Chinese characters count half."""
BY_NAME = _words(
    "recommend me", "recommend", "to watch", "to see", "to read", "do you have", "have you got", "looking for",
    "find me", "show me", "is there", "想看", "想读", "有没有", "推荐", "找一下",
)  # fmt: skip
"""What stands before the title of the very item that somebody wants."""

_COMMON = """
a about after again all also am an and any anything are article articles as at available be because been before
being below best better birthday book books bring bucks but buy by can can't catalogue cheap choose could day
decade did do does dollar dollars don't earlier else enjoy eur euro euros evening every everything expensive
favorite favourite feel fewer film films find first five for four from fun get gift gifts give go good got great
had has have haven't he hear hello help her here hers hey hi him his how i i'd i'm i've idea ideas if in instead
interesting into is isn't it it's item items its just kind know last later latest less let lets like liked list
listen little longer lot love loved made make many maximum may maybe me mean mind mood more morning most movie
movies much must my need new newer next nice night no nor not now number of off old older on one ones only option
options or other our out over own people perfect pick picture pictures play please possible pound pounds prefer
present presents pretty product products quite rather read really recent recommend recommendation recommendations
right same saw say second see seen she shorter should show similar since so some somebody someone something song
songs sort still stories story stuff such suggest suggestion suggestions sure take tell than thank thanks that
that's the their them then there these they thing things think third this those three title titles to today
tomorrow tonight too top try two under until up us usd use very want wanted was wasn't watch watched we wear week
weekend well were what what's when where which while who why will wish with without would year years yes yet you
your
"""
COMMON = frozenset(_COMMON.split())
"""Words that say nothing of what an item is about."""
WEAK = frozenset({"time"})
"""Words that say something beside others only: "time travel", but not "this time"."""


def number_of(word: str) -> int | None:
    """The number that an English word or up to two digits say, None for all else."""
    if word.isascii() and word.isdigit():
        return int(word) or None if len(word) <= 2 else None
    return _NUMBERS.get(word) if word.isascii() else None


def count_of(text: str, before: int, default: int, counted: int | None = None) -> int:
    """How many items are asked for now.

    Args:
        before: how many the answer before had, 0 without one. default: what was asked for so far.
        counted: the number that stands before a category, as in "two comedies".
    """
    if (match := _COUNT.search(text)) is not None:
        if match["single"] or match["only"]:
            return 1
        word = (match["n"] or match["many"] or match["m"] or match["z"]).lower()
        return min(MAX_ITEMS, _NUMBERS.get(word) or int(word))
    if counted is not None:
        return min(MAX_ITEMS, counted)
    before = before or default
    if _SHORTER.search(text):
        return max(1, min(before, MAX_ITEMS) - 1)
    if _LONGER.search(text):
        return min(MAX_ITEMS, before + 2)
    return default


def place_of(text: str, shown: int) -> tuple[int, str] | None:
    """The place in the answer before (of so many items) that a message points at, and the text before the pointer."""
    if (match := _PLACE.search(text)) is not None and shown:
        number = match["number"] or match["zh"]
        if number:
            place = (_NUMBERS.get(number) or int(number)) - 1
        else:
            place = -1 if match["final"] else _PLACES[match["place"].lower()]
        if place < shown:
            return place, text[: match.start()]
    return (0, "") if shown and _THAT.search(text) else None


def years_of(text: str, this_year: int) -> Years | None:
    """The years that a message asks for, None when it names none."""
    if (match := _BETWEEN.search(text)) is not None:
        one, other = (int(group) for group in match.groups() if group)
        return min(one, other), max(one, other)
    if (match := _DECADE.search(text)) is not None:
        whole, short, word, *chinese = match.groups()
        if found := whole or chinese[0]:
            return int(found), int(found) + 9
        tens = _DECADES[(word or chinese[2]).lower()] if word or chinese[2] else int(short or chinese[1])
        first = 2000 + tens if 2000 + tens <= this_year else 1900 + tens
        return first, first + 9
    for pattern, shift, is_end in ((_BEFORE, -1, True), (_AFTER, 1, False), (_SINCE, 0, False)):
        if (match := pattern.search(text)) is not None:
            year = int(next(group for group in match.groups() if group)) + shift
            return (None, year) if is_end else (year, None)
    if (match := _IN.search(text)) is not None:
        year = int(match[1] or match[2])
        return year, year
    return None


def price_of(text: str) -> float | None:
    """What an item may cost at most, None when the message does not say."""
    match = _PRICE.search(text)
    return None if match is None else float(match[1] or match[2])
