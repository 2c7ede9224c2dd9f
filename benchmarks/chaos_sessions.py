"""`python -m benchmarks.chaos_sessions`: whether the live sessions of a copy are what its store says, person by person.

Asks a pool of so many shards, as an ingress does, and compares items, types, values and times of each view with the
person's events in the store. Prints one JSON line: people, events, the sum of the events' weights, a digest of it all,
and who differs. A process of its own, beside the load.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from typing import Any

from cluster.config import Settings, load_settings
from cluster.launch import attach_ray
from cluster.sessions.pool import SessionPool, view_of_events
from cluster.store import Store

LOADED = range(1, 900)
"""People of the demo who get events while `chaos_load` runs; all others of the demo are quiet."""
QUIET = range(900, 944)
SHOWN = 5


def people(quiet: bool, strangers: int = 300) -> list[str]:
    """Those who are compared: the quiet ones, or everybody."""
    some = [str(number) for number in QUIET]
    return some if quiet else [*some, *map(str, LOADED), *(f"load-{number}" for number in range(strangers))]


async def compare(settings: Settings, shards: int, users: list[str]) -> dict[str, Any]:
    """See the module."""
    pool = SessionPool(settings)
    await pool.resize(shards)
    await pool.start()
    tenant, limit, weights = settings.tenant, settings.sessions.max_events_per_user, settings.events.weights
    digest = hashlib.blake2b(digest_size=8)
    differ: list[str] = []
    events, weight = 0, 0.0
    with Store.open(settings, readonly=True) as store:
        for user in users:
            view = await pool.view(tenant, user, timeout_s=30)
            stored = store.events.of_users(tenant, [user], limit)[user]
            if view != view_of_events(tenant, user, stored, limit):
                differ.append(user)
            events += len(view.items)
            weight += sum(weights.get(kind, settings.events.default_weight) for kind in view.types)
            digest.update(repr((user, view.items, view.types, view.values, view.timestamps_ms)).encode())
    await pool.stop()
    return {
        "shards": shards,
        "people": len(users),
        "events": events,
        "weight": round(weight, 1),
        "digest": digest.hexdigest(),
        "differ": len(differ),
        "who": differ[:SHOWN],
    }


def main() -> int:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, required=True, help="of the pool that is asked")
    parser.add_argument("--quiet", action="store_true", help="only people who get no events from the load")
    options = parser.parse_args()
    settings = load_settings()
    attach_ray(settings)
    print(json.dumps(asyncio.run(compare(settings, options.shards, people(options.quiet)))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
