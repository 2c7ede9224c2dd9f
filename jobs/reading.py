"""The store's events and catalogue for training: Ray Data reads ranges in parallel, coded as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.config import Settings
from cluster.messages import Item
from cluster.store import Store
from graph.config import GraphConfig
from graph.dataset import Interactions
from jobs.common import progress, quieten_ray_data
from jobs.model import weights_of

BLOCK_ROWS = 50_000
"""Numbers of the store that one task reads."""
READ_CPUS = 0.25
COLUMNS = ("user_id", "item_id", "type", "value", "timestamp_ms")
CODED = ("user_id", "item_id", "type")


def read_events(store: Store, settings: Settings, config: GraphConfig, catalogue: tuple[str, ...]) -> Interactions:
    """All events of the tenant that tell of anybody's taste. Each task of Ray Data reads a range of the store."""
    import ray

    weights = weights_of(settings, config)
    last = store.events.latest_seq()
    ranges = [{"after": start, "until": min(start + BLOCK_ROWS, last)} for start in range(0, last, BLOCK_ROWS)]
    if not ranges:
        return Interactions.from_batches([], weights, catalogue)
    quieten_ray_data()
    read: Any = read_range
    dataset = ray.data.from_items(ranges, override_num_blocks=len(ranges)).map_batches(
        read,
        batch_size=1,
        num_cpus=READ_CPUS,
        # A process for each CPU reads as fast as more of them, which would first have to be started.
        compute=ray.data.TaskPoolStrategy(max(1, int(ray.cluster_resources().get("CPU", 1)))),
        fn_kwargs={
            "settings": settings.model_copy(update={"state_dir": settings.state_dir.resolve()}),
            "silent": tuple(name for name, weight in settings.events.weights.items() if weight == 0),
        },
    )
    batches: list[pa.RecordBatch] = []
    blocks: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
    with progress("reading events") as report:
        rows = 0
        for table in blocks:
            batches += table.to_batches()
            rows += len(table)
            report(rows)
    return Interactions.from_batches(batches, weights, catalogue)


def read_range(batch: dict[str, Any], settings: Settings, silent: tuple[str, ...]) -> Iterator[pa.Table]:
    """The events of some ranges (after, until], coded, without those of types that tell nothing."""
    with Store.open(settings, readonly=True) as store:
        for after, until in zip(batch["after"].tolist(), batch["until"].tolist(), strict=True):
            rows = store.events.arrow_batches(
                settings.tenant, rows=BLOCK_ROWS, after=after, until=until, columns=COLUMNS
            )
            tables = [pa.Table.from_batches([batch]).select(COLUMNS) for batch in rows]
            yield _coded(pa.concat_tables(tables) if tables else _NOTHING, silent)


_NOTHING = pa.table(
    {
        "user_id": pa.array([], pa.string()),
        "item_id": pa.array([], pa.string()),
        "type": pa.array([], pa.string()),
        "value": pa.array([], pa.float64()),
        "timestamp_ms": pa.array([], pa.int64()),
    }
)


def _coded(table: pa.Table, silent: tuple[str, ...]) -> pa.Table:
    table = table.filter(pc.invert(pc.is_in(table["type"], value_set=pa.array(silent, pa.string()))))
    for name in CODED:
        column = table[name].combine_chunks().dictionary_encode()
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def read_items(store: Store, settings: Settings) -> dict[str, Item]:
    """The catalogue without what is hidden."""
    items: dict[str, Item] = {}
    after = ""
    while page := store.items.scan(settings.tenant, after_id=after, limit=10_000):
        items |= {item.item_id: item for item in page if not item.hidden}
        after = page[-1].item_id
    return items
