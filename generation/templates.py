"""Written texts for when no model may, can or should write: always true, always there, in English and Chinese.

Which variant is used depends on the task alone, so that a page does not change when it is loaded again.
"""

from __future__ import annotations

from typing import Any

from cluster.messages import WriteTask
from generation.facts import facts_of, titles
from generation.prompts import MAX_ITEMS, choice, listed

LANGUAGES = ("en", "zh")
"""What templates are written in; which of them the model writes is `GenerationConfig.languages`."""

_EN: dict[str, tuple[str, ...]] = {
    "pitch": (
        "If you liked {liked}, {title} is a fine next choice{with_kinds}.",
        "{title} is well worth your time after {liked}{with_kinds}.",
        "Because you liked {liked}, take a look at {title}{with_kinds}.",
        "Here's one for anyone who enjoyed {liked}: {title}{with_kinds}.",
        "Make {title} your next pick{with_kinds}. It goes well with {liked}.",
    ),
    "pitch_plain": (
        "{title} is well worth your time{with_kinds}.",
        "Take a look at {title}{with_kinds}.",
        "Looking for something good tonight? Try {title}{with_kinds}.",
        "Make some room for {title}{with_kinds}.",
    ),
    "reason": (
        "You liked {all_liked}, so {title} may be just right for you.",
        "Because you liked {all_liked}.",
        "We think {title} will suit you, because you liked {all_liked}.",
    ),
    "reason_plain": (
        "{title} is a pick for you to try{with_kinds}.",
        "We think {title} may be just right for you{with_kinds}.",
    ),
    "reason_popular": ("{title} is a popular choice right now.", "Many people enjoy {title} right now."),
    "headline": ("{title}, picked for you", "Time for {title}", "Discover {title}", "Your next favorite: {title}"),
    "push": ("{title} is waiting for you.", "Your next pick: {title}", "Time for {title}?"),
    "summary": (
        "Because you liked {liked}, here are some picks for you: {all_titles}.",
        "Here's a list for anyone who enjoyed {liked}: {all_titles}.",
    ),
    "summary_plain": ("Here are some picks for you: {all_titles}.", "Take a look at these: {all_titles}."),
    "email": (
        "Subject: {title}, picked for you\n\nBecause you liked {liked}, we think {title} is worth a look{with_kinds}. "
        "Enjoy!",
        "Subject: {title}, picked for you\n\nLooking for something new? {title} goes well with {liked}{with_kinds}. "
        "Have a lovely evening!",
    ),
    "email_plain": (
        "Subject: {title}, picked for you\n\nWe think {title} is worth a look{with_kinds}. Enjoy!",
        "Subject: {title}, picked for you\n\nLooking for something new? Try {title}{with_kinds}.",
    ),
    "chat": ("Here are some picks for you: {all_titles}.", "You could try {all_titles}.", "How about {all_titles}?"),
    "chat_plain": ("I have nothing that fits. Tell me what you like, and we will find something.",),
}

_ZH: dict[str, tuple[str, ...]] = {
    "pitch": (
        "如果你喜欢《{liked}》，那么《{title}》值得一看{with_kinds}。",
        "因为你喜欢《{liked}》，我们为你挑选了《{title}》{with_kinds}。",
        "看过《{liked}》之后，不妨试试《{title}》{with_kinds}。",
    ),
    "pitch_plain": ("《{title}》值得你花些时间{with_kinds}。", "不妨试试《{title}》{with_kinds}。"),
    "reason": ("因为你喜欢{all_liked}。", "你喜欢{all_liked}，也许也会喜欢《{title}》。"),
    "reason_plain": ("为你挑选的《{title}》{with_kinds}。",),
    "reason_popular": ("《{title}》目前很受欢迎。", "现在很多人喜欢《{title}》。"),
    "headline": ("为你挑选：《{title}》", "是时候看看《{title}》了"),
    "push": ("《{title}》在等你。", "下一个选择：《{title}》"),
    "summary": ("因为你喜欢《{liked}》，为你推荐：{all_titles}。",),
    "summary_plain": ("为你推荐：{all_titles}。", "看看这些：{all_titles}。"),
    "email": (
        "主题：为你挑选的《{title}》\n\n因为你喜欢《{liked}》，我们觉得《{title}》值得一看{with_kinds}。祝你愉快！",
    ),
    "email_plain": ("主题：为你挑选的《{title}》\n\n我们觉得《{title}》值得一看{with_kinds}。祝你愉快！",),
    "chat": ("为你推荐：{all_titles}。", "你可以试试{all_titles}。"),
    "chat_plain": ("暂时没有合适的。告诉我你喜欢什么，我再找找。",),
}


def render(task: WriteTask) -> str:
    """The template's text for a task, in its language, or in English where that language has none."""
    chinese = task.language.lower().startswith("zh")
    texts = _ZH if chinese else _EN
    own, liked = titles(task.items)[:MAX_ITEMS], titles(task.liked)
    own = own or (["这一个"] if chinese else ["this one"])
    variants = texts[_key(task, bool(liked))]
    values = {
        "title": own[0],
        "all_titles": _list([f"《{name}》" for name in own] if chinese else own, chinese),
        "liked": liked[choice(task, "liked", len(liked[:3]))] if liked else "",
        "all_liked": _list([f"《{name}》" for name in liked[:2]] if chinese else liked[:2], chinese),
        "with_kinds": _kinds(task, chinese),
    }
    text = variants[choice(task, "template", len(variants))].format(**values)
    if task.kind == "push" and len(text) > 90:
        text = f"{own[0][:86].rstrip()}..."
    return text[0].upper() + text[1:] if not chinese else text


def _key(task: WriteTask, liked: bool) -> str:
    if task.kind == "chat":
        return "chat" if task.items else "chat_plain"
    if liked or f"{task.kind}_plain" not in _EN:
        return task.kind
    if task.kind == "reason" and any(reason.kind == "popular" for reason in task.reasons):
        return "reason_popular"
    return f"{task.kind}_plain"


def _kinds(task: WriteTask, chinese: bool) -> str:
    facts: dict[str, Any] = facts_of(task.items[0]) if task.items else {}
    names = facts.get("categories", [])[:3]
    if not names:
        return ""
    if chinese:
        return f"（{'、'.join(names)}）"
    return (
        f", with {_list([name.lower() for name in names], chinese)} in one"
        if len(names) > 1
        else f" ({names[0].lower()})"
    )


def _list(names: list[str], chinese: bool) -> str:
    return "、".join(names) if chinese else listed(names)
