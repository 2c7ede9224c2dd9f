"""The years and prices that a message names, in English and Chinese."""

from __future__ import annotations

import re

from deployments.chat.refusals import is_refused
from deployments.chat.titles import words_of

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


def years_of(text: str, this_year: int) -> tuple[Years, bool] | None:
    """The years that a message names and whether it refuses them ("not from the 80s"); None when it names none."""
    found = _named_years(text, this_year)
    if found is None:
        return None
    match, years = found
    return years, is_refused(words_of(text[: match.start()]))


def _named_years(text: str, this_year: int) -> tuple[re.Match[str], Years] | None:
    if (match := _BETWEEN.search(text)) is not None:
        one, other = (int(group) for group in match.groups() if group)
        return match, (min(one, other), max(one, other))
    if (match := _DECADE.search(text)) is not None:
        whole, short, word, *chinese = match.groups()
        if found := whole or chinese[0]:
            return match, (int(found), int(found) + 9)
        tens = _DECADES[(word or chinese[2]).lower()] if word or chinese[2] else int(short or chinese[1])
        first = 2000 + tens if 2000 + tens <= this_year else 1900 + tens
        return match, (first, first + 9)
    for pattern, shift, is_end in ((_BEFORE, -1, True), (_AFTER, 1, False), (_SINCE, 0, False)):
        if (match := pattern.search(text)) is not None:
            year = int(next(group for group in match.groups() if group)) + shift
            return match, (None, year) if is_end else (year, None)
    if (match := _IN.search(text)) is not None:
        year = int(match[1] or match[2])
        return match, (year, year)
    return None


def price_of(text: str) -> float | None:
    """What an item may cost at most, None when the message does not say."""
    match = _PRICE.search(text)
    return None if match is None else float(match[1] or match[2])
