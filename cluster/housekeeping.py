"""Rows are kept as long as the section `retention` of the settings says. `jobs.prune` and the server both come here."""

from __future__ import annotations

import time

from cluster.config import Settings
from cluster.store import Store

DAY_MS = 86_400_000


def prune_rows(
    store: Store, settings: Settings, events_days: float | None = None, tenant: str | None = None
) -> dict[str, int]:
    """Delete rows that are older than the settings keep them. Blocks; stopped half-way, it goes on when called again.

    Args:
        store: one that can write, or that sends its writes to the one that can.
        settings: `retention`.
        events_days: instead of `retention.events_days`.
        tenant: only this one's rows. Default: everybody's, and the audit log's.

    Returns:
        How many rows of each table went.
    """
    ages = settings.retention
    days = {
        "events": ages.events_days if events_days is None else events_days,
        "feedback": ages.feedback_days,
        "recommendations": ages.recommendations_days,
    }
    now_ms = time.time_ns() // 1_000_000
    gone: dict[str, int] = {}
    for table, kept_days in days.items():
        if kept_days is not None:
            gone |= store.retention.prune(tenant, max(now_ms - round(kept_days * DAY_MS), 0), (table,))
    if not gone:
        store.retention.prune_notices()  # the last step of each `prune` above; due when nothing has an age, too
    if ages.operations_days is not None:
        before_ms = max(now_ms - round(ages.operations_days * DAY_MS), 0)
        gone["operations"] = store.operations.prune(tenant, before_ms)
    if ages.audit_days is not None and tenant is None:
        gone["audit"] = store.audit.prune(max(now_ms - round(ages.audit_days * DAY_MS), 0))
    return gone
