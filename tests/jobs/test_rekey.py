"""`python -m jobs.rekey` as a command: people and sealed texts come under the new keys, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import SecretStr

from cluster.config import Settings
from cluster.identity import Identity
from cluster.store import Store
from tests.jobs.conftest import RunJob

OLD, NEW = "the-old-key-of-pseudonyms-00000000", "the-new-key-of-pseudonyms-11111111"
SEALED_OLD, SEALED_NEW = "the-old-key-of-texts-0000000000000000", "the-new-key-of-texts-1111111111111111"
EVENTS = [
    {"event_id": f"e{n}", "user_id": f"person {n % 7}", "item_id": str(n), "type": "like", "context": {"note": "mine"}}
    for n in range(50)
]


def test_everybody_and_every_text_comes_under_the_new_keys(run_job: RunJob, settings: Settings, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    lines = [json.dumps({**event, "timestamp": 1.7e9 + n}) for n, event in enumerate(EVENTS)]
    events.write_text("\n".join(lines) + "\n")
    before = {"TAILORBIRD_PSEUDONYMISE_KEY": OLD, "TAILORBIRD_ENCRYPTION_KEYS": json.dumps([SEALED_OLD])}
    for tenant in ("default", "acme"):
        assert run_job("jobs.ingest", "--events", events, "--tenant", tenant, env=before).code == 0
    after = {
        "TAILORBIRD_PSEUDONYMISE_KEY": NEW,
        "TAILORBIRD_PSEUDONYMISE_OLD_KEYS": json.dumps([OLD]),
        "TAILORBIRD_ENCRYPTION_KEYS": json.dumps([SEALED_NEW, SEALED_OLD]),
    }
    ran = run_job("jobs.rekey", env=after)
    assert ran.code == 0, ran.stderr
    assert ran.result["people"] == 14 and ran.result["texts"]["events"] == 100
    assert run_job("jobs.rekey", env=after).result["people"] == 0, "nobody is renewed twice"

    identity = Identity([OLD, NEW])
    opened = {"encryption_keys": [SecretStr(SEALED_NEW)]}  # the old one is of no use any more
    with Store.open(Settings(state_dir=settings.state_dir, **opened), readonly=True) as store:
        for tenant in ("default", "acme"):
            found = {event.event_id: event for _, event in store.events.scan(tenant)}
            assert {key: event.user_id for key, event in found.items()} == {
                event["event_id"]: identity.stored(tenant, str(event["user_id"])) for event in EVENTS
            }
            assert {event.context["note"] for event in found.values()} == {"mine"}
        assert [entry.action for entry in store.audit.page(None, None, 10)] == ["rekey", "rekey"]
    whole = b"".join(path.read_bytes() for path in settings.state_dir.glob("tailorbird.db*"))
    for trace in (b"person 1", b"mine", Identity([OLD]).stored("acme", "person 1").encode()):
        assert trace not in whole, trace


def test_without_keys_there_is_nothing_to_do_and_wrong_ones_are_said(run_job: RunJob, settings: Settings) -> None:
    ran = run_job("jobs.rekey")
    assert ran.code == 0 and ran.result["people"] == 0
    ran = run_job("jobs.rekey", env={"TAILORBIRD_PSEUDONYMISE_OLD_KEYS": json.dumps([OLD])})
    assert ran.code == 2 and "given without 'pseudonymise_key'" in ran.stderr and OLD not in ran.stderr
    ran = run_job("jobs.rekey", env={"TAILORBIRD_ENCRYPTION_KEYS": json.dumps(["short-key"])})
    assert ran.code == 2 and "short-key" not in ran.stderr
