"""The content cache: texts that were written before and are true for whoever asks now.

A text about an item may name titles that its reader liked, so it is kept with what it names: it is served again only to
people who liked all of that. People with the same telling like form a segment; they share texts, and while one is being
written for the first of them the others wait for it. The facts of the item are part of the key: a changed item has
another key, and its old texts are never found again and age out.

Pure logic for one thread; `deployments.content_cache` shares it among all writers.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from cluster.messages import Item, TextDone, WriteTask
from generation import prompts
from generation.config import GenerationConfig
from generation.facts import facts_of, facts_of_task, spoken_title
from generation.why import by_reasons, told_reason

CACHED_KINDS = frozenset(prompts.KINDS) - {"chat"}
"""An answer in a dialogue belongs to that dialogue."""
NAMED = {"reason": 2}
"""How many liked titles a text of a kind names at most; 1 where nothing is said."""
CHOICE_OF = 3
"""The one that is named is among so many of the most telling, so that not every text of a person names the same."""
MAX_VARIANTS = 64
"""Texts for different segments under one key that a look-up goes through."""
_OVERHEAD_BYTES = 600
"""What an entry takes beside its strings, roughly."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. `key` is all but the person; `segment` and `liked` are marks of liked items (`mark_of`)."""

    key: str
    segment: tuple[str, ...]
    liked: frozenset[str]


@dataclass(frozen=True, slots=True)
class CachedText:
    """A text, and the marks of the liked items whose titles stand in it."""

    text: str
    named: frozenset[str]
    model: str
    prompt_version: str
    finish_reason: str = "stop"

    def done(self, task: WriteTask) -> TextDone:
        """The last frame for a task that this text answers; its facts are the task's own."""
        liked = tuple(item for item in task.liked if mark_of(item) in self.named)
        facts = facts_of_task(replace(task, liked=liked))
        return TextDone(self.text, "cached", self.model, self.prompt_version, facts, (), self.finish_reason)


@dataclass(frozen=True, slots=True)
class Look:
    """The answer to a look-up: a text; or `lead`, the caller writes it; or neither: somebody else is writing it."""

    text: CachedText | None = None
    lead: bool = False


@dataclass(slots=True)
class CacheCounts:
    """What a cache has done since it was made, and what it holds now."""

    hits: int = 0
    leads: int = 0
    waits: int = 0
    puts: int = 0
    evicted: int = 0
    entries: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Entry:
    text: CachedText
    size: int


@dataclass(slots=True)
class ContentCache:
    """Texts within a byte budget; what was not used for longest goes first.

    Args:
        max_bytes: for all entries, estimated; a text that is larger alone is not kept.
    """

    max_bytes: int
    counts: CacheCounts = field(default_factory=CacheCounts)
    _entries: OrderedDict[tuple[str, tuple[str, ...]], _Entry] = field(default_factory=OrderedDict)
    _variants: dict[str, dict[tuple[str, ...], CachedText]] = field(default_factory=dict)
    _leases: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict)

    def look(self, query: Query, now_s: float, lease_s: float) -> Look:
        """A text that is true for the person who asks, or who is to write one.

        A `lead` has to `put` or `release` within `lease_s`; after that the next one who asks leads.
        """
        if (text := self._find(query)) is not None:
            self.counts.hits += 1
            return Look(text)
        flight = (query.key, query.segment)
        if self._leases.get(flight, 0.0) > now_s:
            self.counts.waits += 1
            return Look()
        self._leases[flight] = now_s + lease_s
        self.counts.leads += 1
        return Look(lead=True)

    def put(self, query: Query, text: CachedText) -> None:
        """Keep a text that was written for a query, and end its lease."""
        self.release(query)
        flight = (query.key, query.segment)
        self._drop(flight)
        strings = (query.key, *query.segment, *text.named, text.text, text.model, text.prompt_version)
        size = _OVERHEAD_BYTES + sum(len(string.encode()) for string in strings)
        if size > self.max_bytes:
            return
        variants = self._variants.setdefault(query.key, {})
        if len(variants) >= MAX_VARIANTS:
            self._drop((query.key, next(iter(variants))))
            variants = self._variants.setdefault(query.key, {})
        self._entries[flight] = _Entry(text, size)
        variants[query.segment] = text
        self.counts.puts += 1
        self.counts.bytes += size
        while self.counts.bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))
            self.counts.evicted += 1
        self.counts.entries = len(self._entries)

    def holds(self, query: Query) -> bool:
        """Whether a look-up would give a text. Counts as no look."""
        return self._find(query) is not None

    def is_led(self, query: Query) -> bool:
        """Whether somebody is writing the text at this moment."""
        return (query.key, query.segment) in self._leases

    def release(self, query: Query) -> None:
        """End a lease without a text."""
        self._leases.pop((query.key, query.segment), None)

    def expire(self, now_s: float) -> None:
        """Forget leases that ran out: whoever held them has died."""
        for flight in [flight for flight, end_s in self._leases.items() if end_s <= now_s]:
            del self._leases[flight]

    def _find(self, query: Query) -> CachedText | None:
        variants = self._variants.get(query.key)
        if not variants:
            return None
        segment = query.segment
        if segment not in variants:
            # One that names nothing stays with its segment: true for all, it would be personal for nobody.
            fitting = [of for of, text in variants.items() if text.named and text.named <= query.liked]
            if not fitting:
                return None
            segment = fitting[0]
        self._entries.move_to_end((query.key, segment))
        return variants[segment]

    def _drop(self, flight: tuple[str, tuple[str, ...]]) -> None:
        entry = self._entries.pop(flight, None)
        if entry is None:
            return
        self.counts.bytes -= entry.size
        self.counts.entries = len(self._entries)
        variants = self._variants[flight[0]]
        del variants[flight[1]]
        if not variants:
            del self._variants[flight[0]]


def writer_mark(engine: str, model: str, config: GenerationConfig) -> str:
    """What stands for all that a text depends on beside its task: engine, model, and how they write."""
    how = config.model_dump_json(exclude={"cache_bytes", "cache_shards", "prefetch_items", "prefetch_share"})
    return hashlib.blake2b(f"{engine}\0{model}\0{how}".encode(), digest_size=8).hexdigest()


def shard_names(config: GenerationConfig) -> list[str]:
    """Names of the actors that share the cache, in order; none where its budget is 0."""
    shards = config.cache_shards if config.cache_bytes else 0
    return [f"content-cache-{index}-of-{shards}-{config.cache_bytes}" for index in range(shards)]


def shard_of(task: WriteTask, shards: int) -> int:
    """The place of the actor that keeps the texts of a task."""
    digest = hashlib.blake2b(task.items[0].item_id.encode(), digest_size=4).digest()
    return int.from_bytes(digest) % shards


def cacheable(task: WriteTask) -> bool:
    """Whether a task may be answered by a text that was written for somebody else.

    One that names a seed or a temperature asks for a text of its own.
    """
    own = task.seed is not None or task.temperature is not None or bool(task.stop or task.messages)
    return task.kind in CACHED_KINDS and bool(task.items) and not own


def in_segment(task: WriteTask) -> WriteTask:
    """The same task for the person's segment: with no more liked titles than the text will name."""
    liked = [item for item in by_reasons(task).liked if spoken_title(item.title)]
    named = NAMED.get(task.kind, 1)
    if named == 1 and liked:
        digest = hashlib.blake2b(f"{task.kind}\0{task.items[0].item_id}".encode(), digest_size=8).digest()
        first = int.from_bytes(digest) % min(CHOICE_OF, len(liked))
        return replace(task, liked=(liked[first],))
    return replace(task, liked=tuple(liked[:named]))


def query_of(task: WriteTask, writer: str) -> Query:
    """The query for a task. `writer` is all that the text depends on beside the task: engine, model, its settings."""
    items = task.items if task.kind == "summary" else task.items[:1]
    why = told_reason(task)
    parts = [
        task.tenant,
        task.kind,
        task.tone,
        task.language,
        task.max_tokens,
        prompts.version(task.kind),
        writer,
        why,
        [[item.item_id, facts_of(item)] for item in items],
    ]
    key = hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=20).hexdigest()
    segment = tuple(mark_of(item) for item in in_segment(task).liked)
    return Query(key, segment, frozenset(mark_of(item) for item in by_reasons(task).liked))


def text_of(task: WriteTask, done: TextDone) -> CachedText | None:
    """What to keep of a text that was written for `task`; None for one that is no model's."""
    if done.source != "generated":
        return None
    return CachedText(done.text, _named(task.liked, done.text), done.model, done.prompt_version, done.finish_reason)


def mark_of(item: Item) -> str:
    """A liked item in a key: its title, and what a text may say that another item has in common with it."""
    told = "\0".join((item.item_id, item.title, *item.categories, "", *item.tags))
    return hashlib.blake2b(told.encode(), digest_size=10).hexdigest()


def _named(liked: Iterable[Item], text: str) -> frozenset[str]:
    return frozenset(mark_of(item) for item in liked if spoken_title(item.title) in text)
