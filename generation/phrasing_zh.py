"""What the facts and themes of an item give to a text in Chinese; how titles and categories are called in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cluster.messages import Item
from generation.facts import spoken_title
from generation.profile import Profile, profile_of
from generation.words import phrases_zh as phrases
from generation.words import themes

_WORKS = ("片", "剧", "影")
"""What ends a genre's name that is a kind of work already."""


def is_chinese(language: str) -> bool:
    """Whether a text is to be in Chinese."""
    return language.lower().startswith("zh")


def name(item: Item) -> str:
    """A title in its marks: those of works for what tells a story, quotation marks for anything else."""
    title = spoken_title(item.title)
    if profile_of(item).story:
        return f"《{title}》"
    return f"‘{title}’" if "“" in title or "”" in title else f"“{title}”"


def label(category: str) -> str:
    """A category in Chinese where it is a known one."""
    known = themes().get(category.lower())
    return known.zh if known is not None else category


def themes_of(profile: Profile) -> dict[str, list[str]]:
    """What the categories of a story say of it."""
    if not profile.story:
        return {}
    own = [phrases()["themes"].get(theme.zh, {}) for theme in profile.told()]
    return {name: [phrase for one in own for phrase in one.get(name, ())] for name in ("adjective", "tail")}


def facts(profile: Profile) -> dict[str, Sequence[str]]:
    """What the facts of an item put into places, see `phrasing`."""
    year = [f"{profile.year}年"] if profile.year is not None else []
    if profile.story:
        genres = list(dict.fromkeys(theme.zh for theme in profile.themes))
        return {
            "noun": [genre if genre.endswith(_WORKS) else f"{genre}作品" for genre in genres],
            "topics": [f"{one}与{other}" for one, other in pairwise(genres)],
            "year": year,
            "made": profile.made_by[:2],
        }
    return {
        "label": [label(category) for category in profile.labels],
        "brand": [profile.brand] if profile.brand else [],
        "made": profile.made_by[:2],
        "year": year,
    }
