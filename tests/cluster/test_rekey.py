"""Keys of personal data: pseudonyms and encryption at rest, and going from one key to the next."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from cluster.config import Settings
from cluster.errors import ConfigError, UnavailableError
from cluster.identity import Identity
from cluster.messages import Event, User
from cluster.store import Feedback, Recommendation, Store
from cluster.store.outcomes import Outcome
from cluster.store.retention import user_digest
from cluster.store.tables import metadata

ONE, TWO = SecretStr("first secret, long enough for a key"), SecretStr("second secret, long enough for a key")
NOTE = "what nobody may read on the disk"


def sealed(settings: Settings, *keys: SecretStr) -> Settings:
    return settings.model_copy(update={"encryption_keys": list(keys)})


def fill(store: Store) -> None:
    store.events.append(
        [Event("e1", "u", "i", "click", 1000, context={"note": NOTE}), Event("e2", "u", "i", "view", 1)]
    )
    store.users.put([User("u", {"note": NOTE})])
    store.feedback.add([Feedback("f1", 1000, "u", "r1", comment=NOTE), Feedback("f2", 1000, "u", "r1", rating="up")])


def raw(store: Store) -> str:
    """Everything that the database holds."""
    with store.database.reading() as connection:
        tables = (connection.execute(table.select()).fetchall() for table in metadata.sorted_tables)
        return "\n".join(map(repr, tables))


def opened(store: Store) -> list[object]:
    exported = list(store.person.records("default", "u"))
    assert [record["kind"] for record in exported] == ["user", "event", "event", "feedback", "feedback"]
    assert str(exported).count(NOTE) == 3
    ((batch,),) = [list(store.events.arrow_batches("default"))]
    return [
        store.events.scan("default")[0][1].context,
        store.events.of_users("default", ["u"], 9)["u"][0].context,
        batch.column("context").to_pylist()[0],
        store.users.get("default", ["u"])["u"].attributes,
        store.feedback.scan("default")[0][1].comment,
    ]


OPENED = [{"note": NOTE}, {"note": NOTE}, f'{{"note":"{NOTE}"}}', {"note": NOTE}, NOTE]


def test_sealed_texts_are_in_nobodys_way(store_settings: Settings) -> None:
    with Store.open(sealed(store_settings, ONE)) as store:
        store.migrate()
        store.feedback.log([Recommendation("r", 1, "v", (("i", 1.0, 1.0, "graph"),), "u")])
        context = {"content_kind": "pitch"}
        store.events.append([Event("e", "u", "i", "click", 2, recommendation_id="r", context=context)])
        assert store.outcomes.of_lists("default", 0)["content_kind"] == {"pitch": Outcome(shown=1, clicked=1)}
        (batch,) = store.events.arrow_batches("default", columns=["user_id", "timestamp_ms"])
        assert batch.to_pylist() == [{"seq": 1, "user_id": "u", "timestamp_ms": 2}]


def test_what_people_told_is_not_on_the_disk_and_comes_back(store_settings: Settings) -> None:
    with Store.open(sealed(store_settings, ONE)) as store:
        store.migrate()
        fill(store)
        assert NOTE not in raw(store) and "fernet:" in raw(store)
        assert opened(store) == OPENED
        before = store.users.get("default", ["u"])["u"]
        assert store.users.replace(User("u", {"note": "other"}), before) is True


def test_keys_are_rotated_and_encryption_is_switched_on_for_what_is_there(store_settings: Settings) -> None:
    from jobs.rekey import reseal

    with Store.open(store_settings) as store:
        store.migrate()
        fill(store)
        assert NOTE in raw(store)
    with Store.open(sealed(store_settings, ONE)) as store:
        assert opened(store) == OPENED  # mixed is fine
        assert [reseal(store, table) for table in ("events", "feedback", "users")] == [1, 1, 1]
        assert NOTE not in raw(store) and opened(store) == OPENED
        assert [reseal(store, table) for table in ("events", "feedback", "users")] == [0, 0, 0]
    with Store.open(sealed(store_settings, TWO, ONE)) as store:
        assert opened(store) == OPENED
        assert [reseal(store, table) for table in ("events", "feedback", "users")] == [1, 1, 1]
    with Store.open(sealed(store_settings, TWO)) as store:
        assert opened(store) == OPENED
    for wrong in ((), (ONE,)):
        with (
            Store.open(sealed(store_settings, *wrong)) as store,
            pytest.raises(UnavailableError, match="encryption_keys"),
        ):
            store.users.get("default", ["u"])


def test_pseudonyms_are_chained_and_old_ones_can_be_renewed_without_the_person() -> None:
    one, both, three = Identity(["a"]), Identity(["a", "b"]), Identity(["a", "b", "c"])
    old, new = one.stored("t", "ann"), both.stored("t", "ann")
    assert len(old) == 32 and new.startswith("p2.") and len(new) == 35
    assert both.renewed("t", old) == new and both.renewed("t", new) is None
    assert three.renewed("t", old) == three.renewed("t", new) == three.stored("t", "ann")
    assert both.renewed("other", old) != new  # each tenant's pseudonyms are its own
    assert one.renewed("t", old) is None and both.renewed("t", "ann") is None
    assert Identity(["b"]).stored("t", "ann") not in {old, new} and old not in new


def test_everybody_is_renewed_everywhere_and_keeps_their_history(store: Store) -> None:
    from jobs.rekey import renew

    one, both = Identity(["a"]), Identity(["a", "b"])
    people = [(tenant, f"user {n}") for tenant in ("default", "t") for n in range(250)]
    for tenant, user in people:
        old = one.stored(tenant, user)
        store.events.append([Event(f"e-{user}", old, "i", "click", 1, tenant=tenant)])
        store.users.put([User(old, {"name": user}, tenant=tenant)])
    late = both.stored("t", "user 7")  # who came back before the job had come to them
    store.events.append([Event("late", late, "i2", "like", 2, tenant="t")])
    store.users.put([User(late, {"name": "newer"}, tenant="t")])
    latest = store.retention.latest_erasure()
    assert renew(store, both) == (500, 500 + 500 - 1)
    for tenant, user in people:
        new = both.stored(tenant, user)
        assert len(store.events.of_users(tenant, [new], 9)[new]) == (2 if new == late else 1)
        assert store.users.get(tenant, [new])[new].attributes == {"name": "newer" if new == late else user}
    everything = raw(store)
    assert not [user for tenant, user in people if one.stored(tenant, user) in everything]
    told = {digest for _, digest in store.retention.erasures(latest, 2000)}
    assert user_digest("t", late) in told and user_digest("t", one.stored("t", "user 7")) in told
    assert renew(store, both) == (0, 0)


def test_the_settings_say_whether_there_are_pseudonyms(tmp_path: Path) -> None:
    def stored(**settings: object) -> str:
        return Identity.of(Settings(state_dir=tmp_path, **settings)).stored("t", "ann")  # type: ignore[arg-type]

    assert stored() == "ann" == stored(pseudonymise=False, pseudonymise_key="k")
    kept = stored(pseudonymise=True)
    assert len(kept) == 32 and kept == stored(pseudonymise=True)
    assert (tmp_path / "pseudonymise_key").stat().st_mode & 0o777 == 0o600
    assert stored(pseudonymise_key="k") == Identity(["k"]).stored("t", "ann")
    assert stored(pseudonymise_key="new", pseudonymise_old_keys=["k"]) == Identity(["k", "new"]).stored("t", "ann")
    with pytest.raises(ConfigError, match="pseudonymise_key"):
        stored(pseudonymise=True, database_url="postgresql://h/d")
    with pytest.raises(ConfigError, match="old_keys"):
        stored(pseudonymise_old_keys=["k"])
    with pytest.raises(ConfigError, match="32 characters"):
        Store.open(Settings(state_dir=tmp_path, encryption_keys=["short"]))  # type: ignore[list-item]
