"""`python -m jobs.refresh`: from the events in the store to a new version that serves.

1. Ray Data reads the store's events, leaves out what tells nothing and hands them on as Arrow blocks.
2. A Ray task makes interactions, trains the graph encoder and the other sources, and weighs them on held-out sessions.
3. Ray Data writes the item embeddings as Parquet.
4. The gate compares the figures with those of the live version.
5. The bundle is written, its manifest last; the version is registered; the pointer moves last, by compare-and-swap.

Whatever fails before step 5's last act leaves serving as it was. All tasks reserve fractions of a CPU, so that the job
runs beside a server on two cores.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from cluster.config import Settings
from cluster.errors import InputError, TailorbirdError, UnavailableError
from cluster.launch import attach_ray, read_run_file
from cluster.messages import Item, Version
from cluster.store import AuditEntry, Store, connect_store
from graph.bundle import save_model
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content
from graph.model import Model
from graph.ranking import Ranker
from jobs.common import ConfigOption, TenantOption, actor, progress, run, say, settings_of, stage
from jobs.model import graph_config_of, text_vectors, weights_of
from jobs.training import embedding_rows, informative, train_on_ray

NAME = "graph"
SCAN_ROWS = 50_000


def main(
    force: Annotated[bool, typer.Option("--force", help="Publish even if the figures are worse.")] = False,
    tolerance: Annotated[
        float, typer.Option(help="Share of the live version's nDCG@10 that the new one may lack.", min=0, max=1)
    ] = 0.05,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Publish, but leave the pointer.")] = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Train on all events in the store, publish the version and make it live."""
    settings = settings_of(config, tenant=tenant)
    graph_config = graph_config_of(settings)
    started = time.time()
    with ray_for(settings), connect_store(settings) as store:
        with stage("reading events"):
            data, items = read(store, settings, graph_config)
        if not len(data):
            raise InputError("the store holds no events that tell of anybody's taste; ingest some first")
        say(f"{len(data)} events of {data.shape[0]} users with {data.shape[1]} items")
        with stage("text vectors"):
            content = Content.of(data.item_ids, items, graph_config, text_vectors(items, graph_config, settings))
        with stage("training"), progress("training", total=100, unit="%") as report:
            version = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started)) + f"-{graph_config.config_hash[:6]}"
            weights = weights_of(settings, graph_config)
            model = train_on_ray(data, content, weights, graph_config, {"version": version}, report)
        figures = {name: float(value) for name, value in dict(model.meta["figures"]).items()}
        with stage("gate"):
            live = store.registry.live(settings.tenant, NAME)
            verdict = judge(figures, dict(live.metrics) if live else None, tolerance)
        if verdict and not force:
            raise TailorbirdError(f"not published, {verdict}; --force publishes it all the same")
        with stage("publishing"):
            url = publish(model, settings, version)
            made = Version(NAME, version, url, round(started * 1000), figures, settings.tenant)
            store.registry.publish(made)
        if not no_promote:
            with stage("moving the pointer"):
                store.registry.move(settings.tenant, NAME, version, live.version if live else None)
        act = "version.publish" if no_promote else "version.promote"
        store.audit.add(AuditEntry(actor(), act, version, {"gate": verdict or "passed"}, tenant=settings.tenant))
    return {
        "version": version,
        "live": not no_promote,
        "url": url,
        "metrics": figures,
        "gate": verdict or "passed",
        "events": len(data),
        "users": data.shape[0],
        "items": data.shape[1],
        "config_hash": graph_config.config_hash,
        "seconds": round(time.time() - started, 2),
    }


@contextmanager
def ray_for(settings: Settings) -> Iterator[None]:
    """A Ray to work on: the one we are in, that of the running server, or one of our own for as long as we need it."""
    import ray

    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS") or os.environ.get("RAY_JOB_ID"):
        ray.init(address="auto", log_to_driver=False, logging_level=logging.WARNING)
    elif read_run_file(settings) is not None:
        try:
            attach_ray(settings)
        except (UnavailableError, ConnectionError) as error:
            raise UnavailableError(f"the server's Ray does not answer: {error}") from error
    else:
        with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                num_cpus=max(os.cpu_count() or 1, 2),
                object_store_memory=max(settings.ray.object_store_bytes, 256 << 20),
                _temp_dir=folder,
            )
            try:
                yield
            finally:
                ray.shutdown()
        return
    yield


def read(store: Store, settings: Settings, config: GraphConfig) -> tuple[Interactions, dict[str, Item]]:
    """The store's events as interactions, by way of Ray Data, and its catalogue without what is hidden."""
    import pyarrow as pa
    import ray

    weights = weights_of(settings, config)
    columns = ["user_id", "item_id", "type", "value", "timestamp_ms"]
    tables = [
        pa.Table.from_batches([batch.select(columns)])
        for batch in store.events.arrow_batches(settings.tenant, rows=SCAN_ROWS)
    ]
    items: dict[str, Item] = {}
    after = ""
    while page := store.items.scan(settings.tenant, after_id=after, limit=10_000):
        items |= {item.item_id: item for item in page if not item.hidden}
        after = page[-1].item_id
    if not tables:
        return Interactions.from_batches([], weights, tuple(items)), items
    ray.data.DataContext.get_current().enable_progress_bars = False
    silent_types = tuple(name for name, weight in settings.events.weights.items() if weight == 0)
    keep: Any = informative
    dataset = ray.data.from_arrow(tables).map_batches(
        keep, batch_format="pyarrow", fn_kwargs={"silent": silent_types}, num_cpus=0.25, zero_copy_batch=True
    )
    batches: list[pa.RecordBatch] = []
    blocks: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
    for table in blocks:
        batches += table.to_batches()
    return Interactions.from_batches(batches, weights, tuple(items)), items


def judge(figures: dict[str, float], live: dict[str, float] | None, tolerance: float) -> str:
    """Why this version may not be published, or nothing.

    It may be neither clearly worse than popularity on its own held-out sessions nor than what the live version reached.
    """
    ours = figures.get("ndcg@10", 0.0)
    popular = figures.get("popularity_ndcg@10", 0.0)
    if figures.get("sessions", 0) >= 50 and ours < popular * (1 - tolerance):
        return f"nDCG@10 is {ours:.4f}, that of popularity {popular:.4f}"
    if live and "ndcg@10" in live and ours < live["ndcg@10"] * (1 - tolerance):
        return f"nDCG@10 is {ours:.4f}, that of the live version {live['ndcg@10']:.4f}"
    return ""


def publish(model: Model, settings: Settings, version: str) -> str:
    """Write the version's folder where artifacts are kept, after it has been loaded and has ranked. Gives its URL."""
    import ray

    from cluster.artifacts import BundleWriter

    url = f"{settings.resolved_artifacts_url.rstrip('/')}/{settings.tenant}/{NAME}/{version}"
    with BundleWriter(NAME, {"version": version, "config_hash": model.config.config_hash}) as writer:
        save_model(model, writer.folder)
        Ranker.load(writer.folder, version).smoke()
        ray.data.from_arrow(embedding_rows(model)).write_parquet(
            str(writer.folder / "embeddings"), ray_remote_args={"num_cpus": 0.25}
        )
        return writer.publish(url)


if __name__ == "__main__":
    run(main)
