"""`python -m jobs.rekey`: bring what is stored under the keys that the settings name now.

After `pseudonymise_old_keys` got another key: every stored id that fewer keys have made is renewed. After a key was put
in front of `encryption_keys`, or the first: texts are sealed again. Runs beside a server, in short steps; stopped
half-way, it goes on when called again. Until it is done, people whose id is not renewed yet look new.
"""

from __future__ import annotations

import time
from itertools import groupby
from typing import Any

from cluster.errors import UnavailableError
from cluster.identity import Identity
from cluster.store import AuditEntry, Store, connect_store
from cluster.store.rekey import SEALED
from jobs.common import ConfigOption, actor, progress, run, settings_of, stage

BATCH = 200
"""People, or texts, of one transaction: live requests wait behind it."""
CHECKPOINT_TRIES = 50


def main(config: ConfigOption = None) -> dict[str, Any]:
    """Renew pseudonyms and encrypted texts after a change of keys."""
    settings = settings_of(config)
    identity = Identity.of(settings)
    with connect_store(settings) as store:
        with stage("pseudonyms"):
            people, rows = renew(store, identity)
        with stage("texts"):
            texts = {table: reseal(store, table) for table in SEALED}
        with stage("write-ahead log"):
            empty_log(store)
        store.audit.add(AuditEntry(actor(), "rekey", detail={"people": people, **texts}, tenant=settings.tenant))
    return {"generation": identity.generation, "people": people, "rows": rows, "texts": texts}


def renew(store: Store, identity: Identity) -> tuple[int, int]:
    """Give everybody the id that all keys make. Returns people and rows that changed."""
    people = rows = 0
    if identity.generation < 2:
        return 0, 0
    with progress("renewing pseudonyms", unit="people") as report:
        for tenant, group in groupby(store.rekey.people(), key=lambda entry: entry[0]):
            batch: list[tuple[str, str]] = []
            for _, old in group:
                new = identity.renewed(tenant, old)
                if new is not None:
                    batch.append((old, new))
                if len(batch) == BATCH:
                    rows += sum(store.rekey.rename(tenant, batch))
                    people += len(batch)
                    report(people)
                    batch = []
            if batch:
                rows += sum(store.rekey.rename(tenant, batch))
                people += len(batch)
    return people, rows


def reseal(store: Store, table: str) -> int:
    """Store the texts of a table as they would be stored now; how many changed."""
    done = 0
    with progress(f"sealing {table}", unit="texts") as report:
        for page in store.rekey.texts(table):
            for start in range(0, len(page), BATCH):
                done += sum(store.rekey.reseal(table, page[start : start + BATCH]))
                report(done)
    return done


def empty_log(store: Store) -> None:
    """Wait until nothing that was replaced is left in SQLite's write-ahead log.

    Raises:
        UnavailableError: a reader holds on to it.
    """
    for _ in range(CHECKPOINT_TRIES):
        if store.rekey.checkpoint():
            return
        time.sleep(0.2)
    raise UnavailableError("a reader holds on to old pages of the database; run the job again")


if __name__ == "__main__":
    run(main)
