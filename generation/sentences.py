"""The sentences of a text: how each begins, which is certain, and in what ways the model may go on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from pydantic import BaseModel, ConfigDict, field_validator

from cluster.messages import Item, WriteTask
from generation.draw import Draw, choice
from generation.facts import quoted, spoken_title, titles
from generation.lexicon import Pattern, Phrases, last_word
from generation.phrasing import PLACE, details, expand, in_common, repeats
from generation.phrasing_zh import is_chinese
from generation.phrasing_zh import name as chinese_name
from generation.profile import is_cheerful, profile_of
from generation.recent import Recent
from generation.why import told_reason

ROOM_CHARS = 30
"""So much must be left for the model after a beginning."""
MAX_LIKED = 3
MAX_ITEMS = 5
LONG_CHARS = 70
"""Of several titles that could be named as liked, none that is longer is taken."""
TRIED = 8
"""Of so many sentences those are looked at that repeat least of recent texts."""
COMPARED = 4
"""Of so many of those the one is taken that repeats least with what may follow."""
LOUD_TONES = frozenset(("playful", "enthusiastic"))
"""Their sentences end with an exclamation mark."""
DETAILED = 3
"""Of so many sentences that could quote the description of their item all but one do."""
_VALUE = re.compile(r"\{\w+\}")
_EITHER = re.compile(r"\[([^\[\]]*)\]")
_TOLD = re.compile(r"(?:[,:] \{aside\}(?P<mark>[.?])|，\{aside\}(?P<wide>。)| It is \{pick\}\.|它是\{pick\}。)$")


class SegmentFile(BaseModel):
    """One sentence of a text: what it is about, and the ways to say it, one of which the task chooses.

    `{title}`, `{last}`, `{all_titles}`, `{liked}`, `{all_liked}` are filled in; from the first of the places `{pick}`,
    `{aside}`, `{short}`, `{list}` on (see `phrasing`) the sentence is the model's. `[Try|Meet]` is one of these words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: int | None = None
    """Which item it is about, from 0; all of them when left out. Without such an item the sentence is left out."""
    with_liked: list[str] = []
    """Sentences that name what the person liked."""
    alike: list[str] = []
    """More of them for an item that has something in common with that."""
    because: dict[str, list[str]] = {}
    """Sentences by what they say of the ranker's reasons (`why.told_reason`), for when no like is named."""
    plain: list[str]
    """Sentences for when nothing is known of the person, or the others are too long."""

    @field_validator("with_liked", "alike", "because", "plain")
    @classmethod
    def _written(cls, sentences: list[str] | dict[str, list[str]]) -> list[str] | dict[str, list[str]]:
        for sentence in chain(*sentences.values()) if isinstance(sentences, dict) else sentences:
            if PLACE.search(sentence) is None:
                raise ValueError(f"{sentence!r} has no place for the model")
        return sentences


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence to write: how it begins, the places of the items that it is about, and how it may go on."""

    begun: str
    items: tuple[int, ...]
    phrases: Phrases


def segments_of(
    sentences: list[SegmentFile], max_chars: int, task: WriteTask, attempt: int, recent: Recent | None
) -> Iterable[Segment]:
    """The sentences of a text, each chosen by the task; with `recent` texts in mind those that repeat least of them."""
    chinese = is_chinese(task.language)
    own = [name_of(item, chinese) for item in task.items[:MAX_ITEMS] if titles((item,))]
    known = [item for item in task.liked if titles((item,))][:MAX_LIKED]
    known = [item for item in known if len(item.title) <= LONG_CHARS] or known
    liked = [name_of(item, chinese) for item in known]
    told = choice(task, "liked", len(liked)) if liked else 0
    for number, segment in enumerate(sentences):
        places = tuple(range(len(own))) if segment.item is None else (segment.item,)
        if not own or places[-1] >= len(own):
            continue
        item = task.items[places[0]]
        shared = in_common(item, known[told]) if liked else ""
        values = {
            "title": own[places[0]],
            "last": own[places[-1]],
            "all_titles": listed(own, chinese),
            "liked": liked[told] if liked else "",
            "all_liked": listed(liked[:2], chinese),
        }
        profile = profile_of(item)
        quotes, grave = bool(details(profile, chinese=chinese)), profile.grave and not profile.report
        personal = [*segment.with_liked, *(segment.alike if shared else ())] if liked else []
        groups = [personal, segment.because.get(told_reason(task), []), segment.plain]
        if grave:
            groups = [_sober(group, chinese) for group in groups]
        turned = chain(*(_turned(group, values, task, number, attempt, recent, quotes) for group in groups))
        loud = task.tone in LOUD_TONES and not grave
        made = _made(turned, values, item, shared, Draw(task, number, attempt), max_chars, recent, loud)
        compared = islice(made, 1 if recent is None else COMPARED)
        first = min(
            compared, key=lambda pair: 0 if recent is None else repeats(pair[1][0], recent, pair[0]), default=None
        )
        if first is not None:
            yield Segment(first[0], places, Phrases(first[1], recent))


def _made(
    sentences: Iterable[str],
    values: Mapping[str, str],
    item: Item,
    shared: str,
    draw: Draw,
    max_chars: int,
    recent: Recent | None,
    loud: bool,
) -> Iterable[tuple[str, tuple[Pattern, ...]]]:
    """The beginnings of the sentences that fit, with the ways to go on."""
    for sentence in sentences:
        if "{last}" in sentence and values["last"] == values["title"]:
            continue
        begun, rest = _split(sentence, values, loud=loud)
        room = max_chars - len(begun) - 1
        common = shared if "{liked}" in sentence else ""
        if room >= ROOM_CHARS and (ways := expand(rest, item, common, draw, room, recent, last_word(begun))):
            yield begun, ways


def _turned(
    sentences: list[str],
    values: Mapping[str, str],
    task: WriteTask,
    number: int,
    attempt: int,
    recent: Recent | None,
    quotes: bool,
) -> Iterable[str]:
    """The sentences in a circle from the one that the task chooses; another attempt begins one further.

    Of the first few those come before the others that repeat less of recent texts: in words of their own, then in how
    they begin. Where there is a description that can be quoted, most do so.
    """
    first = (choice(task, f"segment {number}", max(len(sentences), 1)) + attempt) % max(len(sentences), 1)
    turned, salt = sentences[first:] + sentences[:first], f"{number}/{attempt}"
    if quotes:
        turned = [_quoting(sentence, choice(task, f"{salt}/{sentence}", DETAILED) > 0) for sentence in turned] + turned
    if recent is not None:
        tried = [_resolved(sentence, task, salt + again) for sentence in turned[:TRIED] for again in ("", "'")]
        begun = {sentence: _split(sentence, values, loud=False)[0] for sentence in tried}
        yield from sorted(begun, key=lambda told: (recent.repeats(_VALUE.sub("\0", told)), recent.repeats(begun[told])))
        turned = turned[TRIED:]
    for sentence in turned:
        yield _resolved(sentence, task, salt)


def _sober(sentences: list[str], chinese: bool) -> list[str]:
    """Sentences for what is grave: without the cheerful ones, and without alternatives of that kind in others."""

    def kept(match: re.Match[str]) -> str:
        either = [one for one in match[1].split("|") if not is_cheerful(one, chinese=chinese)]
        return f"[{'|'.join(either)}]" if either else match[0]

    found = [_EITHER.sub(kept, sentence) for sentence in sentences]
    return [sentence for sentence in found if not is_cheerful(sentence, chinese=chinese)] or found


def _quoting(sentence: str, wanted: bool) -> str:
    """A sentence that ends after the title, and the description in one of its own, where it can be told so."""
    match = _TOLD.search(sentence) if wanted else None
    if match is None:
        return sentence
    mark = match["mark"] or match["wide"] or ""
    return f"{sentence[: match.start()]}{mark}{'' if match['wide'] or match[0][0] == '它' else ' '}{{detail}}"


def _resolved(sentence: str, task: WriteTask, salt: str) -> str:
    """A sentence with one of the alternatives wherever it has some: `[Try|Meet] {title}`."""
    parts = _EITHER.split(sentence)
    for place in range(1, len(parts), 2):
        either = parts[place].split("|")
        parts[place] = either[choice(task, f"either {salt}/{place}", len(either))]
    return "".join(parts)


def _split(sentence: str, values: Mapping[str, str], *, loud: bool) -> tuple[str, str]:
    """How a sentence begins, with the values filled in, and the rest of it from its first written place on."""
    match = PLACE.search(sentence)
    assert match is not None  # checked when the file was read
    rest = sentence[match.start() :]
    if loud and rest.endswith((".", "。")):
        rest = rest[:-1] + ("!" if rest.endswith(".") else "！")
    for name, value in values.items():
        rest = rest.replace(f"{{{name}}}", value)
    begun = sentence[: match.start()].format(**values).rstrip()
    if loud and match[1] == "detail" and begun.endswith((".", "。")):  # what is quoted keeps its own mark
        begun = begun[:-1] + ("!" if begun.endswith(".") else "！")
    return begun, rest


def listed(names: list[str], chinese: bool = False) -> str:
    """Names in one phrase: `A, B and C`."""
    if len(names) < 2:
        return names[0] if names else ""
    comma, last = ("、", "和") if chinese else (", ", " and ")
    return f"{comma.join(names[:-1])}{last}{names[-1]}"


def name_of(item: Item, chinese: bool) -> str:
    """A title as it stands in a sentence."""
    return chinese_name(item) if chinese else quoted(spoken_title(item.title))
