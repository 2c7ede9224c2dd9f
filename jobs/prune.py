"""`python -m jobs.prune`: delete what nobody needs any more.

Of the versions the live one stays, and the newest others up to a number, so that a rollback has where to go. A version
leaves the registry first and its folder is deleted then: what the registry names can always be loaded. Folders that no
registry row names (a refresh that was killed before it published) go when they are a day old. Rows go by the ages of
the section `retention` of the settings, events only when an age is set.
"""

from __future__ import annotations

import posixpath
import time
from datetime import datetime
from typing import Annotated, Any

import typer

from cluster.artifacts import delete_bundle
from cluster.config import Settings
from cluster.filesystems import filesystem_of
from cluster.housekeeping import prune_rows
from cluster.messages import Version
from cluster.store import Store, connect_store
from jobs.common import ConfigOption, TenantOption, run, say, settings_of, stage

ORPHAN_AGE_S = 86_400.0
"""A folder without a registry row may be one that is being written; no refresh takes so long."""


def main(
    keep: Annotated[int, typer.Option(min=0, help="Versions to keep beside the live one.")] = 2,
    name: Annotated[str, typer.Option(help="Kind of bundle.")] = "graph",
    events_days: Annotated[
        float | None, typer.Option(min=1, help="Delete events older than so many days. Default: retention.events_days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Delete old versions (never the live one), folders left by killed jobs, and rows beyond their age."""
    settings = settings_of(config, tenant=tenant)
    with connect_store(settings) as store:
        with stage("versions"):
            result = prune_versions(store, settings, name, keep, dry_run)
        if not dry_run:
            with stage("rows"):
                result["rows"] = prune_rows(store, settings, events_days, tenant)
    return result


def prune_versions(store: Store, settings: Settings, name: str, keep: int, dry_run: bool = False) -> dict[str, Any]:
    """Delete all versions but the live one and the `keep` newest others, and folders without a version.

    Returns:
        `removed` and `kept` versions, and `orphans`, the URLs of folders.
    """
    live = store.registry.live(settings.tenant, name)
    known = store.registry.versions(settings.tenant, name)
    others = [version for version in known if live is None or version.version != live.version]
    old = others[keep:]
    orphans = _orphans(known, settings.resolved_artifacts_url)
    if not dry_run:
        for version in old:
            store.registry.remove(settings.tenant, name, version.version)
            delete_bundle(version.url)
        for url in orphans:
            delete_bundle(url)
    for url in [version.url for version in old] + orphans:
        say(f"{'would delete' if dry_run else 'deleted'} {url}")
    removed = [version.version for version in old]
    kept = [version.version for version in known if version.version not in removed]
    return {"name": name, "live": live.version if live else None, "kept": kept, "removed": removed, "orphans": orphans}


def _orphans(known: list[Version], artifacts_url: str) -> list[str]:
    """Old folders beside those of the versions, in the artifacts' place only, that belong to no version."""
    root = artifacts_url.rstrip("/") + "/"
    owned = {version.url.rstrip("/") for version in known}
    found = []
    for parent in sorted({posixpath.dirname(url) for url in owned}):
        if not (parent + "/").startswith(root):
            continue
        filesystem, path = filesystem_of(parent)
        for entry in filesystem.ls(path, detail=True) if filesystem.exists(path) else ():
            url = f"{parent}/{posixpath.basename(entry['name'].rstrip('/'))}"
            if entry["type"] == "directory" and url not in owned and _age_s(filesystem, entry["name"]) > ORPHAN_AGE_S:
                found.append(url)
    return found


def _age_s(filesystem: Any, path: str) -> float:
    """Seconds since anything in a folder was written. Folders of object stores have no time; their files have."""
    entries = [filesystem.info(path), *filesystem.find(path, detail=True).values()]
    times = [_seconds(entry[key]) for entry in entries for key in ("mtime", "LastModified") if entry.get(key)]
    return time.time() - max(times, default=time.time())


def _seconds(moment: Any) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


if __name__ == "__main__":
    run(main)
