"""Written texts for when no model may, can or should write: always true, always there, in English and Chinese.

Which variant is used depends on the task alone, so that a page does not change when it is loaded again.
"""

from __future__ import annotations

from collections.abc import Sequence

from cluster.messages import WriteTask
from generation import phrasing_zh
from generation.draw import choice
from generation.facts import titles
from generation.lexicon import is_wide
from generation.outlet import Outlet, estimated_tokens
from generation.profile import is_cheerful, profile_of
from generation.prompts import shortened
from generation.sentences import MAX_ITEMS, listed, name_of
from generation.why import by_reasons, told_reason

LANGUAGES = ("en", "zh")
"""What templates are written in; which of them the model writes is `GenerationConfig.languages`."""
SHORT_KINDS = ("push", "headline")
MAX_SHORT_CHARS = 90

_EN: dict[str, tuple[str, ...]] = {
    "pitch": (
        "If you liked {liked}, {title} is a fine next choice{with_kinds}.",
        "{title} is well worth your time after {liked}{with_kinds}.",
        "Because you liked {liked}, take a look at {title}{with_kinds}.",
        "Here's one for anyone who likes {liked}: {title}{with_kinds}.",
        "Make {title} your next pick{with_kinds}. It is a good step on from {liked}.",
    ),
    "pitch_plain": (
        "{title} is well worth your time{with_kinds}.",
        "Take a look at {title}{with_kinds}.",
        "Looking for something new? Try {title}{with_kinds}.",
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
    "reason_popular": ("{title} is a popular choice right now.", "Many people like {title} right now."),
    "reason_fresh": ("{title} is new here{with_kinds}.",),
    "reason_explore": ("We put {title} on your list to try something different{with_kinds}.",),
    "reason_people_like_you": ("People with a taste like yours chose {title}{with_kinds}.",),
    "reason_because_named": ("{title} is close to what you asked for{with_kinds}.",),
    "reason_met": ("{title} goes with what you have looked at{with_kinds}.",),
    "headline": ("{title}, picked for you", "Time for {title}", "Discover {title}", "Your next favorite: {title}"),
    "push": ("{title} is waiting for you.", "Your next pick: {title}", "Time for {title}?"),
    "summary": (
        "Because you liked {liked}, here are some picks for you: {all_titles}.",
        "Here's a list for anyone who likes {liked}: {all_titles}.",
    ),
    "summary_plain": ("Here are some picks for you: {all_titles}.", "Take a look at these: {all_titles}."),
    "email": (
        "Subject: {title}, picked for you\n\nBecause you liked {liked}, we think {title} is worth a look{with_kinds}. "
        "Enjoy!",
        "Subject: {title}, picked for you\n\nLooking for something new? {title} is a good step on from "
        "{liked}{with_kinds}. Enjoy!",
        "Subject: {title}, picked for you\n\nBecause you liked {liked}, we suggest a look at {title}{with_kinds}.",
    ),
    "email_plain": (
        "Subject: {title}, picked for you\n\nWe think {title} is worth a look{with_kinds}. Enjoy!",
        "Subject: {title}, picked for you\n\nLooking for something new? Try {title}{with_kinds}.",
        "Subject: {title}, picked for you\n\nWe suggest a look at {title}{with_kinds}.",
    ),
    "chat": ("Here are some picks for you: {all_titles}.", "You could try {all_titles}.", "How about {all_titles}?"),
    "chat_plain": ("I have nothing that fits. Tell me what you like, and we will find something.",),
}

_ZH: dict[str, tuple[str, ...]] = {
    "pitch": (
        "如果你喜欢{liked}，那么{title}值得一试{with_kinds}。",
        "因为你喜欢{liked}，我们为你挑选了{title}{with_kinds}。",
        "喜欢{liked}的你，不妨试试{title}{with_kinds}。",
        "从{liked}出发，下一站可以是{title}{with_kinds}。",
        "{title}也许正合你意{with_kinds}，毕竟你喜欢{liked}。",
        "既然你喜欢{liked}，就给{title}一个机会吧{with_kinds}。",
    ),
    "pitch_plain": (
        "{title}值得你花些时间{with_kinds}。",
        "不妨试试{title}{with_kinds}。",
        "想来点新的？看看{title}吧{with_kinds}。",
        "给{title}一个机会吧{with_kinds}。",
        "今天为你推荐{title}{with_kinds}。",
    ),
    "reason": (
        "因为你喜欢{all_liked}，所以为你推荐{title}。",
        "你喜欢{all_liked}，也许也会喜欢{title}。",
        "推荐{title}给你，是因为你喜欢{all_liked}。",
    ),
    "reason_plain": ("为你挑选了{title}{with_kinds}。", "我们觉得{title}可能适合你{with_kinds}。"),
    "reason_popular": ("{title}目前很受欢迎。", "现在很多人喜欢{title}。"),
    "reason_fresh": ("{title}刚刚上架{with_kinds}。",),
    "reason_explore": ("推荐{title}给你，是想换个方向试试{with_kinds}。",),
    "reason_people_like_you": ("和你品味相近的人也选了{title}{with_kinds}。",),
    "reason_because_named": ("{title}和你提到的很接近{with_kinds}。",),
    "reason_met": ("{title}和你看过的很接近{with_kinds}。",),
    "headline": ("为你挑选：{title}", "发现{title}", "下一个心头好：{title}", "是时候认识{title}了"),
    "push": ("{title}在等你。", "下一个选择：{title}", "要不要试试{title}？"),
    "summary": ("因为你喜欢{liked}，为你推荐：{all_titles}。", "喜欢{liked}的你，可以看看这些：{all_titles}。"),
    "summary_plain": ("为你推荐：{all_titles}。", "看看这些：{all_titles}。"),
    "email": (
        "主题：为你挑选的{title}\n\n因为你喜欢{liked}，我们觉得{title}值得一试{with_kinds}。祝你愉快！",
        "主题：为你挑选的{title}\n\n喜欢{liked}的你，也许也会喜欢{title}{with_kinds}。祝你愉快！",
        "主题：为你挑选的{title}\n\n因为你喜欢{liked}，我们推荐{title}{with_kinds}。",
    ),
    "email_plain": (
        "主题：为你挑选的{title}\n\n我们觉得{title}值得一试{with_kinds}。祝你愉快！",
        "主题：为你挑选的{title}\n\n我们推荐{title}{with_kinds}。",
    ),
    "chat": ("为你推荐：{all_titles}。", "你可以试试{all_titles}。", "{all_titles}怎么样？"),
    "chat_plain": ("暂时没有合适的。告诉我你喜欢什么，我再找找。",),
}

NOTHING_FITS = frozenset((*_EN["chat_plain"], *_ZH["chat_plain"]))
"""What a chat says where no item fits."""


def render(task: WriteTask) -> str:
    """The template's text for a task, in its language, or in English where that language has none."""
    task, chinese = by_reasons(task), phrasing_zh.is_chinese(task.language)
    texts = _ZH if chinese else _EN
    named = [item for item in task.items if titles((item,))][:MAX_ITEMS]
    own = [name_of(item, chinese) for item in named] or (["这一个"] if chinese else ["this one"])
    liked = [name_of(item, chinese) for item in task.liked if titles((item,))]
    bare = (titles(named) or own)[0]
    variants = texts[_key(task, bool(liked))]
    if task.items and profile_of(task.items[0]).grave:
        variants = tuple(one for one in variants if not is_cheerful(one, chinese=chinese)) or variants
    values = {
        "title": own[0],
        "all_titles": listed(own, chinese),
        "liked": liked[choice(task, "liked", len(liked[:3]))] if liked else "",
        "all_liked": listed(liked[:2], chinese),
        "with_kinds": _kinds(task, chinese),
    }
    text = variants[choice(task, "template", len(variants))].format(**values)
    if task.kind in SHORT_KINDS and len(text) > MAX_SHORT_CHARS:
        text = shortened(bare, MAX_SHORT_CHARS)
    return text if named or chinese else text[0].upper() + text[1:]


def _key(task: WriteTask, liked: bool) -> str:
    if task.kind == "chat":
        return "chat" if task.items else "chat_plain"
    if liked or f"{task.kind}_plain" not in _EN:
        return task.kind
    return f"{task.kind}_{told_reason(task) or 'plain'}"


def _kinds(task: WriteTask, chinese: bool) -> str:
    if not task.items:
        return ""
    profile = profile_of(task.items[0])
    if chinese:
        known = [phrasing_zh.label(category) for category in profile.labels]
        return f"（{'、'.join(known[:3])}）" if known else ""
    topics = [theme.topic for theme in profile.themes][:3]
    if profile.story:
        return f", with {listed(topics)} in one" if len(topics) > 1 else f", for when you want {topics[0]}"
    labels = [label for label in profile.labels if not is_wide(label[0])]
    return f", from the {labels[0]} section" if labels else ""


def within(ending: str, text: str, language: str, max_tokens: int | None, stop: Sequence[str] = ()) -> tuple[str, str]:
    """As much of a text's ending as `stop` and `max_tokens` let stand, and why it ends: `stop` or `length`.

    Tokens are estimated (`outlet.estimated_tokens`): what is written here may have no tokenizer beside it.
    """
    outlet = Outlet(
        chinese=phrasing_zh.is_chinese(language), max_tokens=max_tokens, stop=stop, count=estimated_tokens, given=text
    )
    shown = outlet.feed(ending) + outlet.close()
    return shown, outlet.ended or "stop"
