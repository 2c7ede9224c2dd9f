"""In which language a chat answers, and what it says where a message asks for nothing: thanks, "what can you do?"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluster.messages import TextDone, TextPiece
from deployments.chat.titles import HAN
from generation.phrasing_zh import is_chinese
from generation.templates import within

PROMPT_VERSION = "small-talk-1"

_THANKS = re.compile(
    r"(?:(?:ok(?:ay)?|great|perfect|cool|nice|good|no|thanks|thank you|thx|cheers|so much|very much|a lot|bye|goodbye"
    r"|good night|see you(?: later| soon)?|that(?:'s| is) (?:all|it)|that will do|for (?:now|your help|the tips?|that)"
    r"|that (?:was|is) (?:great|perfect|helpful|good|all|it)|(?:you(?:'re| are) )?very helpful"
    r"|i(?:'ll| will) watch (?:it|that)"
    r"|好的?|谢谢你?(?:的(?:推荐|帮助))?|多谢|再见|拜拜|晚安|没有了|不用了|太好了|很有帮助)[\s,.!;，。！；]*)+",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"thank|thx|cheers|bye|good night|see you|that(?:'s| is| will)|谢|再见|拜拜|晚安|不用了", re.IGNORECASE
)
_HELP = re.compile(
    r"(?:(?:hi|hello|hey|你好|您好)[\s,.!，。！]*)?"
    r"(?:help(?: me)?|what (?:can|do) you (?:do|offer)(?: for me| here)?|who are you|what are you"
    r"|how does this work|how do you work"
    r"|你(?:能|会)(?:做|干)?什么|你是谁|怎么用|帮助)[\s.!?。！？]*",
    re.IGNORECASE,
)

_WORDS = {
    "thanks": ("You are welcome. Come back whenever you want another idea.", "不客气，想要新的推荐随时告诉我。"),
    "help": (
        "I recommend from this catalogue. Name something you like, a kind or a mood, say what you would rather not "
        "have, ask for a shorter list, or why I chose something.",
        "我从这个目录里为你推荐。告诉我你喜欢的作品、类型或心情，说说不想要什么，也可以让我少推荐几个，或者问我为什么这样选。",
    ),
}


def language_of(text: str) -> str:
    """The language to answer a message in: Chinese where it holds Chinese characters, else English."""
    return "zh" if HAN.search(text) else "en"


def small_talk(
    text: str, language: str, max_tokens: int | None = None, stop: Sequence[str] = ()
) -> tuple[TextPiece, TextDone] | None:
    """The answer to a message that is nothing but small talk; None where it is something else.

    Args:
        max_tokens, stop: what the client lets the answer hold.
    """
    said = text.strip()
    kind = "help" if _HELP.fullmatch(said) else "thanks" if _POLITE.search(said) and _THANKS.fullmatch(said) else None
    if kind is None:
        return None
    answer, reason = within(_WORDS[kind][is_chinese(language)], "", language, max_tokens, stop)
    return TextPiece(answer), TextDone(answer, "template", "template", PROMPT_VERSION, {}, finish_reason=reason)
