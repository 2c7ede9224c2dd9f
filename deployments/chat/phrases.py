"""How people say what they want of a list, in English and Chinese: lengths, places, years, prices.

Both languages are understood in one message. Patterns are for the text as it stands, tuples for its words
(`titles.words_of`: Chinese characters one by one).
"""

from __future__ import annotations

import re

from deployments.chat.titles import word_sets

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
    r"|(?<!about )\ba (?P<couple>couple)(?=\s+(?:of|more)\b|\s*(?:$|[.,!?;]|please\b))"
    r"|\bmake (?:it|that) (?P<made>one|two|three|four|five|[1-5])\b"
    rf"|\b(?P<m>one|two|three|four|five|six|seven|eight|nine|ten|[1-9]\d?) (?!(?:more|other) things?\b)"
    rf"(?:(?:{'|'.join(sorted(BESIDE))}) )?{_NOUNS}"
    r"|(?<!第)(?P<z>[二两三四五六七八九十]|(?<!\d)(?:[2-9]|[1-9]\d))\s*(?:部|个|本|首|款|件|条)(?!月|小时|人)"
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
    r"\b(?:another|something else|anything else|what else|others?|different ones?|(?:one|two|some|any) more)\b"
    r"|^\W*(?:next|more|again)\W*$"
    r"|\b(?:seen|watched|read|heard|know) (?:all (?:of )?|both (?:of )?)?(?:them|these|those)\b"
    r"|\b(?:not|(?:don't|don’t|do not) (?:like|want)) (?:(?:any|all|either|both) of )?(?:that|this|it|them|these|those)"
    r"(?: ones?)?(?=\s*(?:$|[.,!?;]|please\b))"
    r"|不(?:要|喜欢)这(?:些|[个几]?(?:部|个|本|首|款|件|条))?\s*(?:$|[，。！,.!])"
    r"|换一|换几|换批|别的|其他|其它|还有吗|还有什么|再来[一几两]|下一[部个本]|(?:都|已经|全)(?:看|读|听)过",
    re.IGNORECASE,
)
_PLACES = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "fifth": 4, "last": -1}
_PLACE = re.compile(
    r"\bthe (?P<place>first|second|third|fourth|fifth|last|1st|2nd|3rd)\b"
    r"(?=\s+(?:one|title|film|movie|book|song|thing|item|pick|choice|idea|suggestion|recommendation)\b"
    r"|\s*(?:[.?!,]|$)|\s+(?:and|or|but|please)\b)"
    r"|(?:\b(?:number|no\.)|#)\s*(?P<number>[1-5]|one|two|three|four|five)\b"
    r"|第\s*(?P<zh>[一二三四五1-5])\s*(?:部|个|本|首|款|件|条)|(?P<final>最后)一(?:部|个|本|首|款|件|条)",
    re.IGNORECASE,
)
_FIRST_FEW = re.compile(r"\bthe first (?P<few>two|three|four|[2-4])\b|前(?P<zh>[两三四2-4])(?:部|个|本)", re.IGNORECASE)
_THAT = re.compile(
    r"\bwhy (?:did you (?:pick|choose|suggest|recommend) )?(?:that|this|it|these|those|them)\b|^\W*why\W*$"
    r"|^\W*(?:tell me more|more about (?:it|that|this))\W*$|\bhow (?:long|old|much) is (?:it|that|this)\b"
    r"|为(?:什么|何|啥)(?:要|会)?(?:推荐|选)?[这那它]|^\W*(?:为什么|为啥|为何)(?:呢|啊)?\W*$",
    re.IGNORECASE,
)
WHY = re.compile(r"\b(?:why|how come|what makes)\b|为什么|为何|为啥|理由", re.IGNORECASE)
ABOUT = re.compile(
    r"\b(?:tell me|more about|what is|what's|what about|describe|any good)\b"
    r"|\b(?:worth (?:it|watching|seeing|reading|hearing)"
    r"|who (?:directed|made|wrote|plays|stars)|when (?:was|did)|how (?:old|long|good) is)\b|^is\b.*\bgood\b"
    r"|讲什么|讲的是|关于什么|介绍|是什么|怎么样|说说|谁(?:导|演|主演|写)|(?:导演|主演|作者)是|哪一?年上映|多长时间|多少钱",
    re.IGNORECASE,
)
LIKE = re.compile(r"\b(?:liked?|loved?|enjoyed|similar to)\s+$|(?:喜欢|像|类似于?|跟|和)\s*$", re.IGNORECASE)
NOT = re.compile(
    r"\b(?:not|without|except|no|seen|watched|read|heard|skip|hated?|(?:don't|don’t|didn't|didn’t) (?:like|want|enjoy))"
    r"\s+$|(?:不要|除了|不想看|不喜欢|看过|别)\s*$",
    re.IGNORECASE,
)
MET = re.compile(
    r"\b(?:seen|saw|watched|already (?:read|own|have|know)|(?:have|have already|i've|i’ve) (?:read|heard))\b"
    r"|(?:看|读|听|玩)(?:过|完)",
    re.IGNORECASE,
)
"""Who says so of a title does not want it; unless `PRAISE` or `SIMILAR` says what else it is named for."""
PRAISE = re.compile(
    r"\b(?:loved?|liked?|enjoyed|great|amazing|favou?rites?|brilliant|good|more)\b|喜欢|好看|很棒|太棒|最爱",
    re.IGNORECASE,
)
ANEW = re.compile(
    r"\b(?:start (?:over|again|afresh)|reset|forget (?:it|that|this|everything|about it|what i said|all that)"
    r"|never mind)\b"
    r"|重新开始|从头来|重来|忘了(?:刚才|之前)",
    re.IGNORECASE,
)
"""What was asked for before counts no longer."""
TOLERATED = re.compile(r"\b(?:don't|don’t|do not|wouldn't) mind\b|不介意|不讨厌", re.IGNORECASE)
"""A category of which somebody says so is neither wanted nor refused."""
ANY_KIND = re.compile(
    r"\bany (?:genre|kind|category|type|mood)s?\b|\b(?:genre|kind) does(?:n't| not) matter\b"
    r"|什么类型都|类型不限|随便|都可以|都行",
    re.IGNORECASE,
)
"""Categories and words that were asked for before count no longer."""
SIMILAR = re.compile(r"\b(?:like|similar)\b|像|类似|差不多|一样", re.IGNORECASE)


BY_NAME = word_sets(
    "recommend me", "recommend", "to watch", "to see", "to read", "do you have", "have you got", "looking for",
    "find me", "show me", "is there", "watch", "想看", "想读", "有没有", "推荐", "找一下",
)  # fmt: skip
"""What stands before the title of the very item that somebody wants."""

_COMMON = """
a about actual actually after again all already also am an and any anything are article articles as at available
be because been before being below best better birthday book books bring bucks but buy by can can't catalogue
cheap choose could couple day decade did do does dollar dollars don't earlier else enjoy eur euro euros evening
every everything expensive favorite favourite family feel fewer film films find fine first five for forget four
from fun genre genres get gift gifts give go good got great had has have haven't he hear hello help her here
hers hey hi him his how i i'd i'm i've idea ideas if in instead interesting into is isn't it it's item items its
just kind know last later latest less let lets like liked list listen little longer lot love loved made make
many maximum may maybe me mean mind mood more morning most movie movies much must my need new newer next nice
night no nor not now number of off old older on one ones only option options or other our out over own people
perfect pick picture pictures play please possible pound pounds prefer present presents pretty product products
quite rather read really recent recommend recommendation recommendations right said same saw say second see seen
she shorter should show similar since so some somebody someone something song songs sort still start stories
story stuff such suggest suggestion suggestions sure take tell than thank thanks that that's the their them then
there these they thing things think third this those three title titles to today tomorrow tonight too top try
two under until up us usd use very want wanted was wasn't watch watched we wear week weekend well were what
what's when where which while who why will wish with without would year years yes yet you your
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
        if match["couple"]:
            return 2
        word = (match["n"] or match["many"] or match["m"] or match["z"] or match["made"]).lower()
        return min(MAX_ITEMS, _NUMBERS.get(word) or int(word))
    if counted is not None:
        return min(MAX_ITEMS, counted)
    before = before or default
    if _SHORTER.search(text):
        return max(1, min(before, MAX_ITEMS) - 1)
    if _LONGER.search(text):
        return min(MAX_ITEMS, before + 2)
    return default


def places_of(text: str, shown: int) -> tuple[list[int], str]:
    """The places in the answer before (of so many items) that a message points at, and the text before the pointer."""
    if not shown:
        return [], ""
    if (match := _FIRST_FEW.search(text)) is not None:
        few = match["few"] or match["zh"]
        return list(range(min(shown, _NUMBERS.get(few.lower()) or int(few)))), text[: match.start()]
    matches = list(_PLACE.finditer(text))
    found: list[int] = []
    for match in matches:
        number = match["number"] or match["zh"]
        place = (
            (_NUMBERS.get(number.lower()) or int(number)) - 1 if number else _PLACES[(match["place"] or "last").lower()]
        )
        if place < shown and (place := place % shown) not in found:
            found.append(place)
    if found:
        return found, text[: matches[0].start()]
    return ([0], "") if _THAT.search(text) else ([], "")
