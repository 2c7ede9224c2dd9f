"""`tailorbird keys`: API keys, made, listed, rotated and revoked. Works beside a running copy, and without one."""

from __future__ import annotations

import getpass
import json
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cluster.api_keys import KeyHasher, key_record, new_key
from cluster.cli.options import ConfigOption
from cluster.config import Settings, load_settings
from cluster.fields import optional_time
from cluster.keys import copy_secrets
from cluster.store import AuditEntry, Store, StoredKey, connect_store

app = typer.Typer(help="API keys: who may do what.", no_args_is_help=True)

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Whose data. Default: the copy's own tenant.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, for people.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="read, write or admin. May be repeated. Default: read, write.")
    ] = None,
    tenant: TenantOption = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="A rate such as 100/minute or 50000/day. May be repeated.")
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="ISO 8601 time. Default: never.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it: it is stored hashed, and cannot be shown again."""
    settings = load_settings(config)
    expires_ms = optional_time(expires, "--expires")
    hasher = _hasher(settings)
    key, stored = new_key(hasher, tenant or settings.tenant, name, scope or ["read", "write"], limit or [], expires_ms)
    detail = {"name": stored.name, "scopes": list(stored.scopes), "limits": list(stored.limits)}
    with connect_store(settings) as store:
        store.api_keys.add(stored, _entry("key.create", stored, detail))
    _print_key(key, stored, as_json)


@app.command("list")
def list_keys(tenant: TenantOption = None, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the keys of all tenants, or of one; the keys themselves are not stored."""
    with Store.open(load_settings(config), readonly=True) as store:
        keys = store.api_keys.all(tenant)
    records = [key_record(key) for key in keys]
    if as_json:
        print(json.dumps(records, indent=2, ensure_ascii=False))
        return
    table = Table("id", "tenant", "name", "scopes", "limits", "state", "created")
    for record in records:
        scopes, limits = " ".join(record["scopes"]), " ".join(record["limits"])
        shown = (record[name] for name in ("key_id", "tenant", "name"))
        table.add_row(*shown, scopes, limits, _state(record), record["created_at"])
    Console().print(table)


@app.command()
def rotate(
    key_id: KeyId,
    grace: Annotated[float, typer.Option("--grace", min=0, help="Hours that the old key goes on counting.")] = 24.0,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a key that takes the place of another, and print it."""
    settings = load_settings(config)
    hasher = _hasher(settings)
    with connect_store(settings) as store:
        old = store.api_keys.get(None, key_id)
        key, stored = new_key(hasher, old.tenant, old.name, old.scopes, old.limits, replaces=old.key_id)
        ends_ms = time.time_ns() // 1_000_000 + round(grace * 3_600_000)
        detail = {"replaces": old.key_id, "grace_s": grace * 3600}
        store.api_keys.rotate(old.key_id, stored, ends_ms, _entry("key.rotate", stored, detail))
    _print_key(key, stored, as_json)


@app.command()
def revoke(key_id: KeyId, config: ConfigOption = None) -> None:
    """End a key: every replica refuses it within a second."""
    with connect_store(load_settings(config)) as store:
        old = store.api_keys.get(None, key_id)
        was_valid = store.api_keys.revoke(None, key_id, _entry("key.revoke", old, {"name": old.name}))
    typer.echo(f"{key_id} is revoked" if was_valid else f"{key_id} was revoked before", err=True)


def _hasher(settings: Settings) -> KeyHasher:
    return KeyHasher(copy_secrets(settings, "api keys"))


def _entry(action: str, key: StoredKey, detail: dict[str, Any]) -> AuditEntry:
    return AuditEntry(f"cli:{getpass.getuser()}", action, key.key_id, detail, tenant=key.tenant)


def _print_key(key: str, stored: StoredKey, as_json: bool) -> None:
    if as_json:
        print(json.dumps(key_record(stored) | {"key": key}, indent=2, ensure_ascii=False))
        return
    typer.echo(key)
    told = f"id {stored.key_id}, tenant {stored.tenant}, scopes {' '.join(stored.scopes)}"
    typer.echo(f"{told}. Keep it: it cannot be shown again.", err=True)


def _state(record: dict[str, Any]) -> str:
    if record["revoked_at"] is not None:
        return "revoked"
    if not record["is_valid"]:
        return "over"
    return "valid" if record["expires_at"] is None else f"until {record['expires_at']}"
