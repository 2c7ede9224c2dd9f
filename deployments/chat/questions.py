"""Questions about one fact of an item: "who directed Psycho?" is answered by the catalogue, or it says nothing of that.

The answer is a sentence before the text about the item, made of what is stored and of nothing else.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.messages import Item, TextDone, TextPiece
from generation.facts import YEAR_KEYS, clean, facts_of
from generation.outlet import Outlet, estimated_tokens
from generation.phrasing_zh import is_chinese

MOST = 5
"""So many values of a list are told."""
_UNSAID = ("The catalogue does not say.", "目录里没有写。")


@dataclass(frozen=True)
class _Question:
    """How one is asked, what the answer is called in English and Chinese, and the attributes that hold it."""

    asked: re.Pattern[str]
    label: tuple[str, str]
    keys: tuple[str, ...]


def _question(asked: str, english: str, chinese: str, *keys: str) -> _Question:
    return _Question(re.compile(asked, re.IGNORECASE), (english, chinese), keys)


_QUESTIONS = (
    _question(
        r"\bwho (?:directed|made|filmed)\b|\bwho(?:'s|’s| is| was) the director\b|\bdirected by who|谁导|导演是|的导演",
        "Director", "导演", "director", "directors",
    ),
    _question(
        r"\bwho (?:stars|starred|plays|played|acts|acted)\b|\bwho(?:'s|’s| is| was) in (?!the mood)|\bwhich actors\b"
        r"|谁演|谁主演|主演是|的(?:主演|演员)",
        "With", "主演", "cast", "actors", "starring", "stars",
    ),
    _question(
        r"\bwho (?:wrote|is the author|was the author)\b|\bwho(?:'s|’s) the author\b|谁写|作者是|的作者",
        "Author", "作者", "author", "authors", "writer", "writers",
    ),
    _question(
        r"\bwhen (?:was|did)\b|\b(?:what|which) year\b|\bhow old is\b|哪一?年|什么时候",
        "Year", "年份", *YEAR_KEYS,
    ),
    _question(
        r"\bhow long is\b|\bhow many minutes\b|\bwhat(?:'s|’s| is) the (?:runtime|length|duration)\b|多长|时长",
        "Minutes", "时长（分钟）", "minutes", "runtime", "duration", "length",
    ),
    _question(r"\bhow many pages\b|多少页|几页", "Pages", "页数", "pages"),
    _question(r"\bhow much (?:is|does|for)\b|\bwhat(?:'s|’s| is) the price\b|多少钱|价格", "Price", "价格", "price"),
)  # fmt: skip


def answer_to(text: str, item: Item, language: str) -> str | None:
    """The sentence that answers a question about a fact of the item; None where the text asks for none."""
    question = next((one for one in _QUESTIONS if one.asked.search(text)), None)
    if question is None:
        return None
    chinese = is_chinese(language)
    told = next((values for key in question.keys if (values := _told(item, key))), None)
    if told is None:
        return _UNSAID[chinese]
    label = question.label[chinese]
    return f"{label}：{'、'.join(told)}。" if chinese else f"{label}: {', '.join(told)}."


def _told(item: Item, key: str) -> list[str]:
    """The values of an attribute as a text may hold them; a year is in a title too."""
    value: Any = facts_of(item).get("year") if key in YEAR_KEYS else item.attributes.get(key)
    values = value if isinstance(value, list | tuple) else [value]
    plain = [one for one in values if isinstance(one, str | int | float) and not isinstance(one, bool)]
    return [told for one in plain if (told := clean(f"{one:.12g}" if isinstance(one, float) else str(one)))][:MOST]


async def after(
    sentence: str,
    frames: AsyncIterator[TextPiece | TextDone],
    language: str,
    max_tokens: int,
    stop: Sequence[str] = (),
) -> AsyncIterator[TextPiece | TextDone]:
    """A sentence, then a text; both together as far as `stop` and `max_tokens` allow."""
    outlet = Outlet(chinese=is_chinese(language), max_tokens=max_tokens, stop=stop, count=estimated_tokens)
    begun = outlet.feed(sentence if is_chinese(language) else f"{sentence} ")
    if begun:
        yield TextPiece(begun)
    done = TextDone(begun, "template", "template", "question-1")
    async for frame in frames:
        if isinstance(frame, TextDone):
            done = frame
        elif shown := outlet.feed(frame.text):
            yield TextPiece(shown)
        if outlet.ended is not None:
            break
    if isinstance(frames, AsyncGenerator):
        await frames.aclose()  # who writes is to stop
    if held := outlet.close(done.finish_reason):
        yield TextPiece(held)
    yield replace(done, text=outlet.text, finish_reason=outlet.ended or "stop")
