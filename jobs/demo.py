"""`python -m jobs.demo`: the demo data and the demo language model, ready for training and serving.

What is there already stays: events are loaded in order, each chunk whole, so the last event being in the store says
that all were loaded once. A person who has been erased since then is not brought back.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from cluster.config import Settings
from cluster.identity import Identity
from cluster.messages import Event, Item, User
from cluster.store import Store, connect_store
from jobs.common import ConfigOption, progress, run, say, settings_of, stage
from jobs.movielens import dataset_folder, read_events, read_items, read_users

CHUNK_ROWS = 5000

Record = TypeVar("Record", Event, User)


def main(
    model: Annotated[bool, typer.Option(help="Unpack the language model too.")] = True,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Load MovieLens-100K into the store and unpack the language model, unless that was done before."""
    settings = settings_of(config)
    with stage("demo data"), connect_store(settings) as store:
        result = load_demo(store, settings)
    if model:
        from generation.engines import prepare

        with stage("language model"):
            folder = settings.state_dir.resolve() / "models"
            result["model"] = str(prepare(settings.engine, settings.model, folder, say))
    return result


def load_demo(store: Store, settings: Settings) -> dict[str, Any]:
    """Load the data set into an empty store, or finish a load that was cut off; never among somebody's own data.

    Returns what was `loaded`, and whether data was there `already`: the demo's, or others.

    Raises:
        ConfigError: the package with the data is not installed.
    """
    folder, tenant = dataset_folder(), settings.tenant
    identity = Identity.of(settings)
    events = [_stored(event, identity) for event in read_events(folder, tenant)]
    if _is_there(store, events[-1]):
        say("MovieLens-100K is in the store already")
        return {"already": True, "loaded": {}}
    now_ms = time.time_ns() // 1_000_000
    users = [_stored(user, identity) for user in read_users(folder, now_ms, tenant)]
    items = read_items(folder, now_ms, tenant)
    if _holds_other_data(store, items[0]):
        say("the store holds data of its own: the demo's data is left out")
        return {"already": True, "loaded": {}}
    store.users.put(users)
    store.items.put(items)
    new = 0
    with progress("loading events", total=len(events)) as report:
        for start in range(0, len(events), CHUNK_ROWS):
            new += sum(store.events.append(events[start : start + CHUNK_ROWS]))
            report(min(start + CHUNK_ROWS, len(events)))
    say(f"MovieLens-100K: {len(users):,} users, {len(items):,} items, {new:,} events")
    return {"already": False, "loaded": {"users": len(users), "items": len(items), "events": new}}


def _stored(record: Record, identity: Identity) -> Record:
    return replace(record, user_id=identity.stored(record.tenant, record.user_id))


def _holds_other_data(store: Store, first: Item) -> bool:
    """Whether there is anything that no load of the demo, however short it was cut, has left."""
    if store.items.count(first.tenant) == 0:
        return store.events.count(first.tenant) > 0
    found = store.items.get(first.tenant, [first.item_id]).get(first.item_id)
    return found is None or found.title != first.title


def _is_there(store: Store, last: Event) -> bool:
    newest = store.events.of_users(last.tenant, [last.user_id], CHUNK_ROWS)[last.user_id]
    return any(event.event_id == last.event_id for event in newest)


if __name__ == "__main__":
    run(main)
