"""`python -m jobs.pregenerate`: texts about popular items, written before anybody asks, into the running copy's cache.

A text names one title that its reader liked, and is served again to everybody who likes that title. So each popular
item is written about once for people of whom nothing is known, and once for each of the most popular other titles. What
the cache holds already is left out: a job that was killed goes on where it was, and a second run writes nothing.

Ray Data hands the texts to a pool of actors, each with an engine of its own, at a lower priority than the server's
processes. Each text is in the cache when it is done. Engine, model and section `generation` have to be the server's.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from cluster.config import Settings, parse_section
from cluster.errors import ConfigError, InputError, UnavailableError
from cluster.messages import Item, TextDone, WriteTask
from cluster.sessions.names import NAMESPACE
from cluster.store import Store, connect_store
from generation.cache import CACHED_KINDS, in_segment, query_of, shard_names, shard_of, text_of, writer_mark
from generation.config import GenerationConfig
from generation.prompts import model_writes
from jobs.common import ConfigOption, TenantOption, progress, run, say, settings_of, stage
from jobs.reading import read_items
from jobs.refresh import ray_for

KINDS = tuple(sorted(CACHED_KINDS - {"reason", "summary"}))
"""Kinds that depend on nothing but the item and the liked title: a reason depends on the ranker's, too."""
BATCH_TEXTS = 8
ACTOR_CPUS = 0.5
NICENESS = 10
DEADLINE_S = 60.0


def main(
    items: Annotated[int, typer.Option(min=1, max=100_000, help="Popular items to write about.")] = 100,
    titles: Annotated[int, typer.Option(min=0, max=64, help="Popular titles to write each of them for.")] = 5,
    kinds: Annotated[str, typer.Option(help=f"Kinds of text, of {', '.join(KINDS)}.")] = "pitch",
    language: Annotated[str, typer.Option(help="In which language; one that the model writes.")] = "en",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Engines that write at the same time, at most.")] = 1,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Fill the content cache of the running copy with texts about what is popular."""
    settings = settings_of(config, tenant=tenant)
    generation = parse_section(GenerationConfig, settings.generation, "generation")
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    if not wanted or not set(wanted) <= set(KINDS):
        raise InputError(f"is {kinds!r}: known are {', '.join(KINDS)}", "--kinds")
    if not all(model_writes(kind, language, generation) for kind in wanted):
        raise ConfigError(f"the model does not write {language!r}; see generation.vocabulary and generation.languages")
    began = time.monotonic()
    with ray_for(settings), connect_store(settings) as store:
        shards = _shards(generation)
        with stage("what is popular"):
            catalogue, tasks = tasks_of(store, settings, items, titles, wanted, language)
        if not tasks:
            raise InputError("no item of the catalogue has events and a title; ingest some first")
        mark = writer_mark(settings.engine, settings.model, generation)
        held = _held(shards, tasks, mark)
        missing = [task for task, there in zip(tasks, held, strict=True) if not there]
        say(f"{len(tasks):,} texts, {len(tasks) - len(missing):,} of them are there already")
        counts = dict.fromkeys(("written", "templates", "tokens"), 0)
        with stage("writing"), progress("texts", total=len(missing), unit="texts") as report:
            done = 0
            for batch in _by_pool(missing, catalogue, settings, mark, workers):
                for name in counts:
                    counts[name] += int(batch[name].sum())
                done += len(batch["written"])
                report(done)
        now_held = sum(_held(shards, tasks, mark))
    return {
        "texts": len(tasks),
        "already": len(tasks) - len(missing),
        **counts,
        "in_cache": now_held,
        "seconds": round(time.monotonic() - began, 2),
    }


def tasks_of(
    store: Store, settings: Settings, n_items: int, n_titles: int, kinds: Sequence[str], language: str
) -> tuple[dict[str, Item], list[WriteTask]]:
    """The items that are needed, by id, and the texts that are wanted, the most popular item first."""
    tenant = settings.tenant
    counted = store.events.popular(tenant, max(n_items, n_titles + 1) * 2)
    found = read_items(store, settings)
    popular = [found[item_id] for item_id, _ in counted if item_id in found and found[item_id].title]
    liked = popular[: n_titles + 1]
    tasks = []
    for item in popular[:n_items]:
        others = [other for other in liked if other.item_id != item.item_id][:n_titles]
        for one in [(), *((other,) for other in others)]:
            tasks += [WriteTask(kind, (item,), one, language=language, tenant=tenant) for kind in kinds]
    return {item.item_id: item for item in popular}, tasks


def _shards(config: GenerationConfig) -> list[Any]:
    import ray

    try:
        shards = [ray.get_actor(name, namespace=NAMESPACE) for name in shard_names(config)]
    except ValueError:
        shards = []
    if not shards:
        raise UnavailableError(
            "no running copy with a content cache of these settings was found; start it, or run this as its job"
        )
    return shards


def _held(shards: Sequence[Any], tasks: Sequence[WriteTask], mark: str) -> list[bool]:
    import ray

    places = [shard_of(task, len(shards)) for task in tasks]
    queries = [query_of(task, mark) for task in tasks]
    held = np.zeros(len(tasks), bool)
    for place, shard in enumerate(shards):
        mine = [number for number, other in enumerate(places) if other == place]
        held[mine] = ray.get(shard.holds.remote([queries[number] for number in mine]), timeout=60)
    return held.tolist()


def _by_pool(
    tasks: Sequence[WriteTask], catalogue: Mapping[str, Item], settings: Settings, mark: str, workers: int
) -> Iterator[dict[str, np.ndarray]]:
    """What became of the texts, batch after batch."""
    if not tasks:
        return
    import ray

    rows = [
        {"kind": task.kind, "item": task.items[0].item_id, "liked": task.liked[0].item_id if task.liked else ""}
        for task in tasks
    ]
    template = replace(tasks[0], items=(), liked=())
    absolute = settings.model_copy(update={"state_dir": settings.state_dir.resolve()})
    dataset = ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // BATCH_TEXTS)).map_batches(
        _Pen,
        fn_constructor_kwargs={"settings": absolute, "catalogue": dict(catalogue), "template": template, "mark": mark},
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        num_cpus=ACTOR_CPUS,
        batch_size=BATCH_TEXTS,
    )
    yield from dataset.iter_batches(batch_size=None, batch_format="numpy")


class _Pen:
    """A member of the pool: an engine, and the way into the cache."""

    def __init__(self, settings: Settings, catalogue: dict[str, Item], template: WriteTask, mark: str) -> None:
        from generation.engines import make
        from generation.writer import TextWriter

        os.nice(NICENESS)
        config = parse_section(GenerationConfig, settings.generation, "generation")
        self._catalogue, self._template, self._mark = catalogue, template, mark
        self._shards = _shards(config)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="pregenerate").start()
        engine = make(settings.engine, settings.model, config, settings.state_dir / "models")
        self._run(engine.start())
        self._writer = TextWriter(engine, config)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """`kind`, `item`, `liked` (n,) -> `written`, `templates`, `tokens` (n,)."""
        rows = zip(batch["kind"], batch["item"], batch["liked"], strict=True)
        done = self._run(_together([self._one(str(kind), str(item), str(liked)) for kind, item, liked in rows]))
        kept = [text.source == "generated" for text in done]
        return {
            "written": np.array(kept),
            "templates": ~np.array(kept),
            "tokens": np.array([text.completion_tokens for text in done]),
        }

    async def _one(self, kind: str, item: str, liked: str) -> TextDone:
        people = (self._catalogue[liked],) if liked else ()
        task = replace(
            self._template, kind=kind, items=(self._catalogue[item],), liked=people, request_id=f"{kind}/{item}/{liked}"
        )
        narrow = replace(in_segment(task), deadline_s=DEADLINE_S)
        last = [frame async for frame in self._writer.write(narrow)][-1]
        assert isinstance(last, TextDone)
        text = text_of(narrow, last)
        if text is not None:
            await self._shards[shard_of(task, len(self._shards))].settle.remote(query_of(task, self._mark), text)
        return last

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _together(works: Sequence[Any]) -> list[TextDone]:
    return list(await asyncio.gather(*works))


if __name__ == "__main__":
    run(main)
