"""Moods in everyday words, and the categories that they ask for. A small lexicon, and no more is claimed for it.

A mood counts only where the catalogue has one of its categories; a category's own name, in English as it is stored or
in Chinese, goes before. What neither knows is looked for by meaning: see `deployments.finder`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deployments.chat.phrases import COMMON
from deployments.chat.titles import words_of
from generation.phrasing_zh import label

LONGEST = 4
"""Words of the longest entry that is looked for."""

_MOODS: Mapping[str, str] = {
    "comedy": "funny funnier hilarious humorous humor humour laugh laughs amusing silly witty lighthearted jokes "
    "好笑 搞笑 轻松 幽默 欢乐 爆笑",
    "horror": "scary scarier scares frightening terrifying creepy spooky eerie horrifying zombies vampires monsters "
    "恐怖 吓人 可怕",
    "romance": "romantic romances date-night 浪漫 甜蜜",
    "drama": "sad touching emotional serious tearjerker heartbreaking poignant 感人 催泪 伤感",
    "thriller": "tense suspenseful suspense gripping thrilling edge-of-the-seat nerve-racking 紧张 惊险 悬疑 烧脑",
    "action": "exciting explosive fast-paced action-packed explosions fights chases violent violence 打斗 枪战 刺激",
    "adventure": "adventurous quest epic treasure 探险",
    "sci-fi, science fiction": "space futuristic future aliens robots spaceship spaceships time-travel "
    "太空 外星人 机器人 未来",
    "fantasy": "magic magical wizards dragons fairies enchanted 魔法 魔幻",
    "animation": "animated cartoon cartoons anime 卡通 动漫",
    "children's, children, family": "kids kid family family-friendly child toddlers 孩子 小孩 亲子 家庭 全家",
    "musical, music": "songs singing dancing sing-along 歌曲 歌舞",
    "mystery": "mysterious whodunit puzzling detective detectives 推理 侦探",
    "crime": "gangster gangsters mafia heist criminals murder 黑帮 警匪",
    "war": "soldiers battle battles military army 军事 打仗",
    "western": "cowboy cowboys frontier gunslingers 牛仔",
    "documentary": "factual educational informative true-story 纪实",
    "film-noir, noir": "noirish noir",
}
"""For alternative spellings of a category, the words that ask for it."""

Lexicon = dict[tuple[str, ...], str]
"""Categories by the words, one or several, that ask for them."""


def lexicon_of(categories: Iterable[str]) -> Lexicon:
    """What asks for which category of a catalogue: its own name, its name in Chinese, moods."""
    names = sorted(categories)
    by_name = {name.lower(): name for name in names}
    known: Lexicon = {}
    for spellings, moods in _MOODS.items():
        if (category := next((by_name[name] for name in spellings.split(", ") if name in by_name), None)) is not None:
            known |= {tuple(words_of(mood)): category for mood in moods.split()}
    for name in names:
        known |= {tuple(words_of(form)): name for form in _forms(name)}
    return {words: name for words, name in known.items() if words and not _is_empty(words)}


def _is_empty(words: tuple[str, ...]) -> bool:
    """Whether a category's name, such as "A", is a word that stands in any sentence."""
    return len(words) == 1 and len(words[0]) < 3 and words[0] in COMMON


def _forms(category: str) -> set[str]:
    word = category.lower()
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    chinese = label(category)
    own = {word, plural, word.replace("-", ""), word.replace("-", " "), word.replace("'s", "")}
    return own | {chinese, chinese.removesuffix("片") or chinese}
