"""`python -m jobs.refresh`: from the events in the store to a new version that serves.

1. Ray Data reads the store's events in ranges, leaves out what tells nothing and codes the ids (`jobs.reading`).
2. Texts that are new or have changed are embedded by a pool of actors (`jobs.embedding`).
3. A Ray task makes interactions, trains the graph encoder and the other sources, weighs them on held-out sessions, and
   compares them with the live version on what that has not seen (`jobs.training`).
4. It writes the version's folder, the manifest last. The job registers the version; the pointer moves last, by
   compare-and-swap.

Whatever fails before the last act leaves serving as it was, and the next run begins anew: only the text vectors are
kept. All tasks reserve fractions of a CPU, so that the job runs beside a server on two cores.
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
from cluster.messages import Version
from cluster.store import AuditEntry, connect_store
from graph.fit import Content
from jobs.common import PERCENT, ConfigOption, TenantOption, actor, progress, run, say, settings_of, stage
from jobs.embedding import text_vectors
from jobs.model import graph_config_of, weights_of
from jobs.prune import prune_versions
from jobs.reading import read_events, read_items
from jobs.training import NAME, Plan, train_on_ray, without_people
from jobs.workers import room


def main(
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Go on from the live version instead of beginning anew.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Publish even if the figures are worse.")] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            help="Share of the live version's nDCG@10 that the new one may lack, beside chance.", min=0, max=1
        ),
    ] = 0.05,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Publish, but leave the pointer.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that train together on large data. Default: one for each node with room.", min=1, max=64
        ),
    ] = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Train on all events in the store, publish the version and make it live.

    With --incremental the training begins with what the live version has learnt, grown by new items, and runs for a
    fifth of the epochs; the weights of the sources stay. Where that is not possible it says why and begins anew.
    """
    settings = settings_of(config, tenant=tenant)
    graph_config = graph_config_of(settings)
    started = time.time()
    with ray_for(settings), connect_store(settings) as store:
        with stage("reading events"):
            items = read_items(store, settings)
            data = read_events(store, settings, graph_config, tuple(items))
            impressions = store.events.impressions(settings.tenant)
        if not len(data):
            raise InputError("the store holds no events that tell of anybody's taste; ingest some first")
        events, (users, known) = len(data), data.shape
        say(f"{events} events of {users} users with {known} items")
        with stage("text vectors"):
            content = Content.of(data.item_ids, items, graph_config, text_vectors(items, graph_config, settings))
            content = content.with_impressions(data.item_ids, impressions)
        version = time.strftime("%Y%m%dT%H%M%S", time.gmtime(started)) + f"-{graph_config.config_hash[:6]}"
        live = store.registry.live(settings.tenant, NAME)
        absolute = settings.model_copy(update={"state_dir": settings.state_dir.resolve()})
        plan = Plan(absolute, version, live, incremental, tolerance, force, room(workers))
        with stage("training"), progress("training", total=100, unit=PERCENT) as report:
            import ray

            shared = ray.put(without_people(data)), ray.put(content)
            del data, content, items
            made = train_on_ray(*shared, weights_of(settings, graph_config), graph_config, plan, report)
        if made.note:
            say(f"not incremental: {made.note}")
        if made.url is None:
            raise TailorbirdError(f"not published, {made.verdict}; --force publishes it all the same")
        with stage("publishing"):
            store.registry.publish(
                Version(NAME, version, made.url, round(started * 1000), made.figures, settings.tenant)
            )
        if not no_promote:
            with stage("moving the pointer"):
                store.registry.move(settings.tenant, NAME, version, live.version if live else None)
        act = "version.publish" if no_promote else "version.promote"
        store.audit.add(AuditEntry(actor(), act, version, {"gate": made.verdict or "passed"}, tenant=settings.tenant))
        if settings.retention.versions is not None:
            with stage("deleting old versions"):
                prune_versions(store, settings, NAME, settings.retention.versions)
    return {
        "version": version,
        "live": not no_promote,
        "incremental": made.incremental,
        "url": made.url,
        "metrics": made.figures,
        "gate": made.verdict or "passed",
        "events": events,
        "users": users,
        "items": known,
        "config_hash": graph_config.config_hash,
        "workers": plan.workers,
        "training_s": made.stages_s,
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
        # When a job is killed, its Ray's agents look for the control store that died with it for this long. And workers
        # are as nice as the job itself: Ray's default would starve them on a busy machine.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "20")
        os.environ.setdefault("RAY_worker_niceness", "0")
        with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
                num_cpus=max(os.cpu_count() or 1, 2),
                object_store_memory=max(settings.ray.object_store_bytes, 1 << 30),
                _temp_dir=folder,
            )
            try:
                yield
            finally:
                ray.shutdown()
        return
    yield


if __name__ == "__main__":
    run(main)
