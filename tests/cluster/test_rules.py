"""Rules of merchandising: what is valid, which items they are about, and how they are stored."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.errors import ConflictError, InputError, NotFoundError
from cluster.messages import Item
from cluster.rules import MAX_RULES, Rule, RuleSets, parse_rule, rule_record
from cluster.store import AuditEntry, Store

PIN = {"rule_id": "a", "kind": "pin", "item_id": "1", "position": 3}
BOOST = {"rule_id": "b", "kind": "boost", "filter": 'genre == "Rock"', "factor": 2.5}
EACH = {"rule_id": "c", "kind": "cap", "each": "genre", "max_items": 2}


@pytest.mark.parametrize(
    "raw",
    [
        PIN,
        BOOST,
        BOOST | {"kind": "bury", "note": "太吵", "enabled": False},
        EACH,
        {"rule_id": "d", "kind": "cap", "filter": "year < 1990", "max_items": 0},
        PIN | {"starts_at": "2026-01-01T00:00:00.000Z", "ends_at": "2026-02-01T00:00:00.000Z"},
    ],
)
def test_a_record_of_a_rule_makes_the_rule_again(raw: dict[str, Any]) -> None:
    rule = parse_rule(raw, now_ms=1_000)
    record = rule_record(rule)
    assert parse_rule(record, keep_updated=True) == rule
    assert {name: record[name] for name in raw} == raw


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ([], ""),
        (PIN | {"colour": "red"}, "colour"),
        ({"rule_id": "a"}, "kind"),
        (PIN | {"kind": "hide"}, "kind"),
        ({"rule_id": "a", "kind": "pin", "item_id": "1"}, "position"),
        (PIN | {"position": 0}, "position"),
        (PIN | {"position": 1.5}, "position"),
        (PIN | {"position": True}, "position"),
        (PIN | {"factor": 2}, "factor"),
        (PIN | {"item_id": 1}, "item_id"),
        (BOOST | {"factor": 1}, "factor"),
        (BOOST | {"factor": -3}, "factor"),
        (BOOST | {"factor": 1e9}, "factor"),
        (BOOST | {"factor": "2"}, "factor"),
        (BOOST | {"filter": "year >"}, "filter"),
        (BOOST | {"filter": ""}, "filter"),
        (BOOST | {"each": "genre"}, "each"),
        (EACH | {"filter": "year > 3"}, "filter"),
        ({"rule_id": "a", "kind": "cap", "max_items": 2}, "filter"),
        (EACH | {"max_items": -1}, "max_items"),
        (PIN | {"enabled": "yes"}, "enabled"),
        (PIN | {"starts_at": "tomorrow"}, "starts_at"),
        (PIN | {"starts_at": 5, "ends_at": 5}, "ends_at"),
        (PIN | {"rule_id": ""}, "rule_id"),
        ({name: value for name, value in PIN.items() if name != "rule_id"}, "rule_id"),
        (PIN | {"note": "x" * 1001}, "note"),
    ],
)
def test_what_is_wrong_is_named(raw: Any, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rule(raw)
    assert caught.value.place == place


def test_a_rule_counts_between_its_times() -> None:
    rule = parse_rule(PIN | {"starts_at": 10, "ends_at": 20})
    assert [rule.counts(s * 1000) for s in (9, 10, 19, 20)] == [False, True, True, False]
    assert not parse_rule(PIN | {"enabled": False}).counts(0)


class Shelf:
    """A catalogue of one tenant, as a dict."""

    def __init__(self, *items: Item) -> None:
        self.by_id = {item.item_id: item for item in items}
        self.walks = 0

    def get(self, _: str, item_id: str) -> Item | None:
        return self.by_id.get(item_id)

    def items(self, _: str) -> list[Item]:
        self.walks += 1
        return list(self.by_id.values())


class TestRuleSets:
    def test_sets_follow_the_catalogue_without_walking_over_it_again(self) -> None:
        shelf = Shelf(Item("1", categories=("Rock",)), Item("2", categories=("Rock", "Pop")), Item("3"))
        sets = RuleSets("t")
        rules = [parse_rule(raw) for raw in (PIN, BOOST, EACH)]

        def now(changed: set[str] | None) -> dict[str, list[list[str]]]:
            active = sets.resolve(rules, shelf, changed)
            return {rule.rule_id: sorted(sorted(members) for members in rule.sets) for rule in active}

        assert now(None) == {"a": [["1"]], "b": [["1", "2"]], "c": [["1", "2"], ["2"]]}
        shelf.by_id["3"] = Item("3", categories=("Pop",))
        shelf.by_id["1"] = Item("1", categories=())
        del shelf.by_id["2"]
        assert now({"1", "2", "3"}) == {"a": [["1"]], "b": [], "c": [["3"]]}
        assert shelf.walks == 1
        rules.append(parse_rule(BOOST | {"rule_id": "d", "filter": "item_id == '3'"}))
        assert now(set())["d"] == [["3"]] and shelf.walks == 2
        # A rule that went and comes again is not one of long ago.
        kept, rules[:] = rules[:], []
        assert now(set()) == {}
        shelf.by_id["4"] = Item("4", categories=("Rock",))
        now({"4"})
        rules[:] = kept
        assert now(set())["b"] == [["4"]]

    def test_what_a_rule_asks_for_is_carried_over(self) -> None:
        pin, boost, cap = RuleSets("t").resolve([parse_rule(raw) for raw in (PIN, BOOST, EACH)], Shelf(), None)
        assert (pin.kind, pin.number, boost.factor, cap.number) == ("pin", 3, 2.5, 2)
        none = parse_rule(EACH | {"max_items": 0})
        assert RuleSets("t").resolve([none], Shelf(), None)[0].number == 0


def entry(action: str = "rule.put") -> AuditEntry:
    return AuditEntry("key:k", action, "a", {}, None, "t")


class TestStore:
    def test_rules_are_kept_by_tenant_and_every_change_moves_the_version(self, store: Store) -> None:
        rule = parse_rule(BOOST, now_ms=5, tenant="t")
        first = store.rules.version()
        store.rules.put(entry(), [rule])
        store.rules.put(None, [parse_rule(PIN, tenant="t"), parse_rule(PIN, tenant="u")])
        assert store.rules.all("t") == [parse_rule(PIN, tenant="t"), rule]
        assert [(found.tenant, found.rule_id) for found in store.rules.all()] == [("t", "a"), ("t", "b"), ("u", "a")]
        assert store.rules.get("t", "b") == rule
        store.rules.put(entry(), [parse_rule(BOOST | {"factor": 9}, tenant="t")])
        assert store.rules.get("t", "b").factor == 9
        second = store.rules.version()
        assert second > first
        store.rules.delete("t", "b", entry("rule.delete"))
        assert store.rules.version() > second
        for missing in (("t", "b"), ("u", "b"), ("v", "a")):
            with pytest.raises(NotFoundError):
                store.rules.get(*missing)
        with pytest.raises(NotFoundError):
            store.rules.delete("t", "b", entry())
        actions = [found.action for found in store.audit.page("t", None, 10)]
        assert actions == ["rule.delete", "rule.put", "rule.put"]

    def test_a_tenant_has_so_many_at_most(self, store: Store) -> None:
        many = [Rule(str(n), "pin", item_id="1", position=1, tenant="t") for n in range(MAX_RULES)]
        store.rules.put(None, many)
        store.rules.put(None, many[:2])
        with pytest.raises(ConflictError):
            store.rules.put(entry(), [Rule("one more", "pin", item_id="1", position=1, tenant="t")])
        assert len(store.rules.all("t")) == MAX_RULES
        assert store.audit.page("t", None, 10) == []


def test_people_of_both_are_counted_without_names(store: Store) -> None:
    from cluster.messages import Event

    def event(n: int, user: str, item: str, kind: str = "like", value: float | None = None, tenant: str = "t") -> Event:
        return Event(f"{n}", user, item, kind, 1_000 + n, value, tenant=tenant)

    met = [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("b", "3"), ("c", "1"), ("me", "1"), ("me", "2")]
    events = [event(n, user, item) for n, (user, item) in enumerate(met)]
    events += [event(20, "c", "2", "dislike"), event(21, "d", "1", "rating", 1.0), event(22, "d", "2", "rating", 5.0)]
    events += [event(30 + n, "a", "1") for n in range(3)]
    events += [event(40, "x", "1", tenant="u"), event(41, "x", "2", tenant="u")]
    store.events.append(events)

    def people(one: str, others: list[str], without: str | None = "me") -> dict[str, int]:
        return store.events.people_of_both("t", one, others, without, ("dislike", "impression"), 3.0)

    assert people("1", ["2", "3", "9"]) == {"2": 2, "3": 1}
    assert people("1", ["2"], None) == {"2": 3}
    assert people("9", ["2"]) == {}
