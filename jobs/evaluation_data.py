"""Where `jobs.evaluate` gets its data: the store, the demo's wheel, or a table of one's own."""

from __future__ import annotations

from pathlib import Path

from cluster.config import Settings
from cluster.errors import InputError, TailorbirdError
from cluster.messages import Item
from cluster.store import Store
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.weights import EventWeights
from jobs.evaluation_files import read_catalogue, read_columns
from jobs.movielens import dataset_folder, read_events, read_items


def dataset_of(
    data: str, events: Path | None, items: Path | None, settings: Settings, config: GraphConfig, weights: EventWeights
) -> tuple[str, Interactions, dict[str, Item]]:
    """A name for people, the events, and the catalogue."""
    if events is not None:
        catalogue = read_catalogue(items) if items else {}
        return str(events), read_columns(events).interactions(weights, tuple(catalogue)), catalogue
    if data not in ("auto", "store", "demo"):
        raise InputError(f"--data is {data!r}; it may be auto, store or demo")
    if data != "demo":
        stored = _from_store(settings, weights)
        if stored is not None and len(stored[0]):
            return "store", *stored
        if data == "store":
            raise InputError("the store holds no events")
    folder = dataset_folder()
    made = read_events(folder)
    catalogue = {item.item_id: item for item in read_items(folder, 0)}
    interactions = Interactions.from_columns(
        [event.user_id for event in made], [event.item_id for event in made], weights,
        [event.type for event in made], [event.value for event in made], [event.timestamp_ms for event in made],
        tuple(catalogue),
    )  # fmt: skip
    return "MovieLens-100K", interactions, catalogue


def _from_store(settings: Settings, weights: EventWeights) -> tuple[Interactions, dict[str, Item]] | None:
    try:
        store = Store.open(settings, readonly=True)
    except (TailorbirdError, OSError):
        return None
    with store:
        items: dict[str, Item] = {}
        after = ""
        while page := store.items.scan(settings.tenant, after_id=after, limit=10_000):
            items |= {item.item_id: item for item in page if not item.hidden}
            after = page[-1].item_id
        return Interactions.from_batches(store.events.arrow_batches(settings.tenant), weights, tuple(items)), items
