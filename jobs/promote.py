"""`python -m jobs.promote`: choose the version that serves.

The pointer moves by compare-and-swap: when somebody else moved it in the meantime, the job fails and nothing changes.
Servers notice within about a second and swap without failing a request.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cluster.config import Settings
from cluster.errors import InputError, NotFoundError
from cluster.fields import format_time
from cluster.messages import Version
from cluster.store import AuditEntry, Store, connect_store
from jobs.common import ConfigOption, TenantOption, actor, run, say, settings_of


def main(
    version: Annotated[str | None, typer.Option(help="The version to make live; `latest` is the newest.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the version that was live before.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show versions and moves, change nothing.")] = False,
    name: Annotated[str, typer.Option(help="Kind of bundle.")] = "graph",
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Make a published version live, or go back to the one before. Give one of --version, --rollback and --list."""
    if (version is not None) + rollback + list_ != 1:
        raise InputError("give one of --version, --rollback and --list")
    settings = settings_of(config, tenant=tenant)
    if list_:
        with Store.open(settings, readonly=True) as store:
            return listing(store, settings.tenant, name)
    with connect_store(settings) as store:
        return promote(store, settings, name, None if rollback else version)


def promote(store: Store, settings: Settings, name: str, version: str | None) -> dict[str, Any]:
    """Move the pointer to a version, None: to the one that was live before.

    Returns:
        `from_version`, `version`, and whether the pointer `moved`.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: the pointer was moved by somebody else at the same time.
    """
    tenant = settings.tenant
    live = store.registry.live(tenant, name)
    before = None if live is None else live.version
    known = store.registry.versions(tenant, name)
    if version is None:
        target = previous(store, tenant, name, before, known)
    elif version == "latest":
        if not known:
            raise NotFoundError(f"no {name} version was published yet")
        target = known[0].version
    else:
        target = version
    if target != before:
        store.registry.move(tenant, name, target, before)
        detail = {"name": name, "from_version": before}
        store.audit.add(AuditEntry(actor(), "version.promote", target, detail, tenant=tenant))
    say(f"{name}: {before or 'nothing'} -> {target}" if target != before else f"{name}: {target} is live already")
    return {"name": name, "from_version": before, "version": target, "moved": target != before}


def previous(store: Store, tenant: str, name: str, live: str | None, known: list[Version]) -> str:
    """The version that was live before this one and still exists.

    A rollback is a move as well. So that a second one goes further back and not forth again, the moves are read as a
    path: a move to a version from which the path had come takes the steps in between off it.

    Raises:
        NotFoundError: there is none.
    """
    path: list[str] = []
    for move in reversed(store.registry.history(tenant, name, limit=10_000)):
        if move.to_version in path:
            del path[path.index(move.to_version) + 1 :]
        else:
            path.append(move.to_version)
    if live is None:
        raise NotFoundError(f"no {name} version is live, so there is none to go back from")
    existing = {version.version for version in known}
    for candidate in reversed(path):
        if candidate != live and candidate in existing:
            return candidate
    raise NotFoundError(f"no {name} version was live before {live!r} that still exists; name one by --version")


def listing(store: Store, tenant: str, name: str) -> dict[str, Any]:
    """Versions, newest first, and how the pointer moved, newest first."""
    live = store.registry.live(tenant, name)
    versions: list[dict[str, Any]] = [
        {
            "version": version.version,
            "live": live is not None and version.version == live.version,
            "created": format_time(version.created_ms),
            "url": version.url,
            "metrics": dict(version.metrics),
        }
        for version in store.registry.versions(tenant, name)
    ]
    moves = [
        {"from": move.from_version, "to": move.to_version, "moved": format_time(move.moved_ms)}
        for move in store.registry.history(tenant, name)
    ]
    for entry in versions:
        figures = ", ".join(f"{metric} {value:.4g}" for metric, value in sorted(entry["metrics"].items()))
        say(f"{'*' if entry['live'] else ' '} {entry['version']}  {entry['created']}  {figures}")
    return {"name": name, "live": live.version if live else None, "versions": versions, "moves": moves}


if __name__ == "__main__":
    run(main)
