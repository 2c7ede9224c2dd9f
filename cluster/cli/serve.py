"""`tailorbird serve`: one command from nothing to a system that answers, and back to nothing on Ctrl-C.

1. the port is checked, the settings are read, an API key is made if there is none
2. the demo is prepared when the store is empty: data loaded, language model made ready (`python -m jobs.demo`)
3. Ray starts, on ports and in a folder of its own
4. Serve deploys the application; when there are events and no version, the first training runs beside it as a Ray job
5. a real, authenticated answer is awaited, then the address, the key and three lines to paste are printed
6. until Ctrl-C (or SIGTERM) Ray is watched; then requests in work are answered and all that was started is stopped
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console

from cluster.cli.jobs import follow_job, job_client, submit_job
from cluster.cli.options import ConfigOption
from cluster.config import CONFIG_ENV, Settings, load_settings, settings_file
from cluster.errors import ConfigError, UnavailableError
from cluster.keys import api_key
from cluster.launch import ROOT, RayHead, RunInfo, end_orphan, read_run_file
from cluster.ports import is_free
from cluster.serve_app import deploy, undeploy, wait_until_answering, wait_until_running
from cluster.serve_app import resize as resize_shards

_DRAIN_S = 6.0
"""How long requests in work may take when the copy stops; replicas are reachable for half of it in any case."""
_STORE_WAIT_S = 10.0
"""How long a job that writes an SQLite file may take to end."""
_SEEN_S = 1.0
"""Until Serve's state shows that it has a new config."""

console = Console(highlight=False, soft_wrap=True)


def serve(
    config: ConfigOption = None,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Load the demo (MovieLens-100K) when the store is empty.")
    ] = True,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train the first version when there are events and none is live.")
    ] = True,
) -> None:
    """Start Tailorbird on this machine and keep it running until Ctrl-C."""
    file = settings_file(config)
    if file is not None:
        os.environ[CONFIG_ENV] = str(file.resolve())  # Ray's workers have another working directory
    settings = load_settings(config)
    _check_sections()
    key = api_key(settings)
    _check_free(settings)
    # Set in any case: a shell that starts a command in the background has it ignore SIGINT.
    signal.signal(signal.SIGINT, _as_interrupt)
    signal.signal(signal.SIGTERM, _as_interrupt)
    head = RayHead(settings)
    try:
        began = time.monotonic()
        if demo:
            _prepare(settings)
        has_version, has_events = _found(settings)
        with _stage("start Ray"):
            info = head.start()
        trained = train and (has_version or has_events)
        _bring_up(settings, info, head, key, trains=trained and not has_version, need_version=trained)
        if not has_version and not has_events:
            console.print("  no events yet: load some (jobs.ingest, POST /v1/events), then run jobs.refresh")
        console.print(f"[bold green]ready[/] in {time.monotonic() - began:.1f} s")
        _print_welcome(info.http_url, key, key_is_given=settings.api_key is not None)
        while head.alive():
            time.sleep(0.5)
        raise UnavailableError(f"Ray ended by itself; see {head.log_path}")
    except KeyboardInterrupt:
        console.print("\nstopping ...")
    finally:
        # A second Ctrl-C must not leave half of Ray behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if head.info is not None and head.alive():
            undeploy(head.info, settings, _DRAIN_S)
        head.stop()
    console.print("stopped")


def resize(
    shards: Annotated[int, typer.Argument(min=1, max=1024, help="How many session shards there shall be.")],
    config: ConfigOption = None,
) -> None:
    """Change the number of session shards while the copy serves (PostgreSQL only). Nothing is restarted.

    Holds until the application is deployed anew: set `sessions.shards` to keep it.
    """
    settings = load_settings(config)
    if settings.uses_sqlite and shards != 1:
        raise ConfigError("the database is SQLite, which has exactly one writer: several shards need PostgreSQL")
    info = read_run_file(settings)
    if info is None:
        raise UnavailableError(f"no Tailorbird runs in the state directory {str(settings.state_dir)!r}")
    resize_shards(info, settings, shards)
    with _stage(f"go over to {shards} session shards"):
        time.sleep(_SEEN_S)
        wait_until_running(info, lambda: True, 300, lambda said: console.print(f"  [dim]{said}[/]"))


def _bring_up(settings: Settings, info: RunInfo, head: RayHead, key: str, *, trains: bool, need_version: bool) -> None:
    with _stage("deploy the application"):
        deploy(info, settings)
        client = job_client(info)
        job_id = submit_job(client, "refresh", []) if trains else None
        if job_id is None:
            wait_until_running(info, head.alive, 300, lambda said: console.print(f"  [dim]{said}[/]"))
    if job_id is not None:
        with _stage("train the first version (Ray job, beside the server)"):
            if not asyncio.run(follow_job(client, job_id)):
                raise UnavailableError(f"the first training failed: {client.get_job_info(job_id).message}")
    with _stage("wait for a real answer"):
        wait_until_running(info, head.alive, 300, lambda said: console.print(f"  [dim]{said}[/]"))
        version = wait_until_answering(info.http_url, key, head.alive, 120, need_version=need_version)
    console.print(f"  model version {version}")


def _prepare(settings: Settings) -> None:
    """Load the demo's data and model, in a process of its own: it needs libraries that this one should not hold."""
    with _stage("prepare the demo (data and model)"):
        environment = os.environ | {"TAILORBIRD_STATE_DIR": str(settings.state_dir.resolve()), "DGLBACKEND": "pytorch"}
        done = subprocess.run([sys.executable, "-m", "jobs.demo"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            raise UnavailableError(f"the demo could not be prepared (exit code {done.returncode})")


def _found(settings: Settings) -> tuple[bool, bool]:
    """Whether there is a live version, and whether there are events to learn one from. Makes the tables."""
    from cluster.store import Store

    with Store.open(settings, wait_s=_STORE_WAIT_S) as store:
        store.migrate()
        live = store.registry.live(settings.tenant, "graph")
        return live is not None, bool(store.events.scan(settings.tenant, limit=1))


def _check_sections() -> None:
    """Have the sections that belong to other packages checked by them, before anything is started."""
    checked = subprocess.run([sys.executable, "-m", "deployments.check"], cwd=ROOT, capture_output=True, text=True)
    if checked.returncode == 2:
        raise ConfigError(checked.stderr.strip())
    if checked.returncode != 0:
        raise UnavailableError(f"the settings cannot be checked: {checked.stderr.strip()[-2000:]}")


def _check_free(settings: Settings) -> None:
    if end_orphan(settings):
        console.print("ended what a killed copy had left running")
    running = read_run_file(settings)
    if running is not None:
        raise UnavailableError(
            f"a copy already runs in {str(settings.state_dir)!r} at {running.http_url} (process {running.pid}): "
            "stop it, or choose another TAILORBIRD_STATE_DIR and TAILORBIRD_PORT"
        )
    if not is_free(settings.port):
        raise UnavailableError(f"port {settings.port} is in use: choose another with TAILORBIRD_PORT")


@contextmanager
def _stage(name: str) -> Iterator[None]:
    console.print(f"[bold]{name}[/] ...")
    began = time.monotonic()
    yield
    console.print(f"  {name}: {time.monotonic() - began:.1f} s")


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print_welcome(url: str, key: str, key_is_given: bool) -> None:
    auth = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    chat = (
        '{"model": "tailorbird", "user": "42", "messages": [{"role": "user", "content": "A funny film for tonight?"}]}'
    )
    given = " (from your settings)" if key_is_given else ""
    console.print(f"\naddress  {url}\nAPI key  {key}{given}\npage     {url}/#key={quote(key)}\n", markup=False)
    print(f'curl -s {url}/v1/recommendations {auth} -d \'{{"user_id": "42", "n": 5, "include": ["title"]}}\'')
    print(
        f'curl -sN {url}/v1/content {auth} -d \'{{"kind": "pitch", "user_id": "42", "item_id": "50", "stream": true}}\''
    )
    print(f"curl -s {url}/v1/chat/completions {auth} -d '{chat}'")
    console.print("\nCtrl-C stops everything.")
