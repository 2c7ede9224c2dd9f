"""Keys and the audit log in the store, on both databases."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from cluster.errors import ConflictError, NotFoundError
from cluster.store import AuditEntry, Store, StoredKey

NOW_MS = time.time_ns() // 1_000_000


def key(key_id: str, tenant: str = "acme", **fields: object) -> StoredKey:
    return StoredKey(key_id, tenant, "shop", ("read", "write"), b"\x01" * 32, NOW_MS, **fields)  # type: ignore[arg-type]


def entry(action: str, tenant: str = "acme") -> AuditEntry:
    return AuditEntry("cli:me", action, "k1", {"name": "shop"}, tenant=tenant)


def test_a_key_comes_back_as_it_was_and_moves_the_version(store: Store) -> None:
    before = store.api_keys.version()
    stored = key("k1", limits=("10/second", "1000/day"), expires_ms=NOW_MS + 5, replaces="k0")
    store.api_keys.add(stored, entry("key.create"))
    assert store.api_keys.all("acme") == [stored] == store.api_keys.all()
    assert store.api_keys.all("other") == []
    assert store.api_keys.version() == before + 1
    store.api_keys.add(stored, entry("key.create"))  # sent again after a lost answer
    assert store.api_keys.version() == before + 1
    assert [one.action for one in store.audit.page("acme", None, 10)] == ["key.create"]


def test_rotation_leaves_the_old_key_until_its_time(store: Store) -> None:
    store.api_keys.add(key("k1"), entry("key.create"))
    store.api_keys.rotate("k1", key("k2", replaces="k1"), NOW_MS + 60_000, entry("key.rotate"))
    store.api_keys.rotate("k1", key("k2", replaces="k1"), NOW_MS + 60_000, entry("key.rotate"))
    old, new = store.api_keys.all("acme")
    assert (old.expires_ms, new.expires_ms, new.replaces) == (NOW_MS + 60_000, None, "k1")
    assert old.is_valid(NOW_MS) and not old.is_valid(NOW_MS + 60_000)
    assert len(store.audit.page("acme", None, 10)) == 2


def test_a_key_that_is_over_cannot_be_rotated_and_nothing_is_left_of_the_try(store: Store) -> None:
    store.api_keys.add(key("k1"), entry("key.create"))
    assert store.api_keys.revoke("acme", "k1", entry("key.revoke")) is True
    assert store.api_keys.revoke("acme", "k1", entry("key.revoke")) is False
    with pytest.raises(ConflictError):
        store.api_keys.rotate("k1", key("k2"), NOW_MS, entry("key.rotate"))
    assert [one.key_id for one in store.api_keys.all()] == ["k1"]
    assert [one.action for one in store.audit.page(None, None, 10)] == ["key.revoke", "key.create"]


def test_a_tenant_cannot_touch_the_key_of_another(store: Store) -> None:
    store.api_keys.add(key("k1"), entry("key.create"))
    for touch in (
        lambda: store.api_keys.get("other", "k1"),
        lambda: store.api_keys.revoke("other", "k1", entry("key.revoke", "other")),
        lambda: store.api_keys.rotate("k1", key("k2", "other"), NOW_MS, entry("key.rotate", "other")),
    ):
        with pytest.raises(NotFoundError):
            touch()
    assert store.api_keys.get(None, "k1").revoked_ms is None
    assert store.api_keys.revoke(None, "k1", entry("key.revoke")) is True


def test_the_audit_log_pages_backwards_by_tenant_and_forgets_by_age(store: Store) -> None:
    for number in range(5):
        store.audit.add(replace(entry(f"act{number}", "acme" if number % 2 else "other"), at_ms=1000 + number))
    newest = store.audit.page(None, None, 2)
    assert [one.action for one in newest] == ["act4", "act3"]
    assert [one.action for one in store.audit.page(None, newest[-1].seq, 10)] == ["act2", "act1", "act0"]
    assert [one.action for one in store.audit.page("acme", None, 10)] == ["act3", "act1"]
    assert newest[0].detail == {"name": "shop"}
    assert store.audit.prune(1003) == 3
    assert len(store.audit.page(None, None, 10)) == 2
