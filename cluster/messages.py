"""The vocabulary: everything that crosses a process or a package border, as frozen dataclasses.

Times are integers, milliseconds since 1970 in UTC (`_ms`). Ids are opaque strings of 1 to 256 characters. Every key
starts with the tenant. A user id here is always the stored one: `cluster.identity` has already been applied.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_TENANT = "default"
MAX_ID_CHARS = 256
NOT_SEEN = frozenset({"impression"})
"""Event types that do not make an item one that the person has seen: being shown is not meeting. All others do, a
dislike above all, whatever they weigh."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a person did with an item. `event_id` makes it idempotent within its tenant."""

    event_id: str
    user_id: str
    item_id: str
    type: str
    timestamp_ms: int
    value: float | None = None
    session_id: str | None = None
    recommendation_id: str | None = None
    context: Mapping[str, Any] | None = None
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class SessionView:
    """What is known of a person at this moment: parallel tuples, oldest event first, bounded by the settings.

    `timestamps_ms` are all 0 where it is not known when things happened; lists then go by taste alone and not by what
    comes next. `seen` holds the items that the person has met in any way that counts as consumption (not mere
    impressions).
    `user_id` is None for an anonymous session that travels in the request. `degraded` is true when the session pool did
    not answer in time and the view is therefore empty.
    """

    user_id: str | None
    items: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()
    timestamps_ms: tuple[int, ...] = ()
    seen: frozenset[str] = frozenset()
    tenant: str = DEFAULT_TENANT
    degraded: bool = False

    def plain(self) -> SessionView:
        """A view that holds its tuples itself, as `dataclasses.replace` needs it."""
        return self


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the catalogue. `attributes` holds whatever else the owner knows: year, price, people, ...

    `vectors` are what encoders of the owner's made of it, by name: of its picture, of how it sounds.
    """

    item_id: str
    title: str = ""
    description: str = ""
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    image_url: str | None = None
    audio_url: str | None = None
    available_from_ms: int | None = None
    available_until_ms: int | None = None
    hidden: bool = False
    updated_ms: int = 0
    tenant: str = DEFAULT_TENANT
    vectors: Mapping[str, array[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class User:
    """One person, as far as the owner told us: attributes only; what they did are their events."""

    user_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    updated_ms: int = 0
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class ActiveRule:
    """A rule of merchandising with the ids that it is about: `kind` is pin, boost, bury or cap.

    A pin has one set with one id and stands at place `number`, from 1; boost and bury have one set and a `factor`; of
    each set of a cap at most `number` items are shown.
    """

    rule_id: str
    kind: str
    sets: tuple[frozenset[str], ...]
    factor: float = 1.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class RankQuery:
    """One list that is asked for.

    `allowed` restricts the candidates to these ids (a filter that was evaluated on the catalogue), None is no limit.
    `excluded` are taken out in any case; the view's `seen` are taken out unless `include_seen`. `explore` is the share
    of the places that are drawn at random, with `seed` if there is one. `rules` count for this list alone, and
    beside them the tenant's own if `steered`; `offset` places were on the pages before, which pins count with.
    """

    view: SessionView
    n: int = 10
    allowed: frozenset[str] | None = None
    excluded: frozenset[str] = frozenset()
    include_seen: bool = False
    diversity: float = 0.0
    explore: float = 0.0
    explain: bool = True
    seed: int | None = None
    rules: tuple[ActiveRule, ...] = ()
    steered: bool = False
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """A part of an item's score: `weight` is its share. `item_id` names the event's item where there is one."""

    kind: str
    weight: float
    item_id: str | None = None
    feature: str | None = None


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One place of a list. `source` is graph, session, text, popular, fresh, explore, ...

    `propensity` is how likely the item was to be in the list, all else alike: below 1 where the list explores. `rules`
    are (id, kind) of the rules that touched it.
    """

    item_id: str
    score: float
    source: str
    reasons: tuple[Reason, ...] = ()
    propensity: float = 1.0
    rules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RankedList:
    """The answer to one `RankQuery`: at most n items, best first, all from one version."""

    items: tuple[RankedItem, ...]
    model_version: str


@dataclass(frozen=True, slots=True)
class Version:
    """One row of the registry: a published bundle. `url` is where its folder is, `metrics` what it reached."""

    name: str
    version: str
    url: str
    created_ms: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class WriteTask:
    """One text that is asked for, complete: the writer needs no other source.

    `items` are what the text is about (one for most kinds, several for a summary or a chat answer). `liked` are items
    that the person liked, most telling first; with `reasons` they are all that the text may say of the person.
    `messages` is the dialogue so far, for kind `chat` only. `max_tokens` and `stop` bound the whole text.
    """

    kind: str
    items: tuple[Item, ...]
    liked: tuple[Item, ...] = ()
    reasons: tuple[Reason, ...] = ()
    tone: str = "friendly"
    language: str = "en"
    max_tokens: int = 512
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    deadline_s: float = 20.0
    tenant: str = DEFAULT_TENANT
    request_id: str = ""
    traceparent: str = ""
    ahead: bool = False
    """Nobody waits for this text yet: it is written only while no other is."""


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A checked clause, ready to be shown."""

    text: str


@dataclass(frozen=True, slots=True)
class TextDone:
    """The last frame of a text. `text` is exactly the pieces joined.

    `source` is generated, cached or template; `rules` are the guard rules that fired on the way; `finish_reason` is
    stop or length, as OpenAI names them.
    """

    text: str
    source: str
    model: str
    prompt_version: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a writer runs on, as `/v1/models` and `tailorbird status` show it."""

    engine: str
    model: str
    quantization: str
    weight_bytes: int
    device: str
    context_tokens: int
