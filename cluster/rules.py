"""Rules of merchandising: pin, boost, bury, cap. What is valid, and the set of items that each one is about.

A tenant's rules are stored and count in all of its lists; a request may bring rules of its own. Both are read by
`parse_rule`. `RuleSets` turns their filters into sets of ids and follows the catalogue's changes; what the sets do to
a list is `graph.steering`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.errors import InputError
from cluster.fields import (
    agreed_id,
    bounded_text,
    finite_number,
    format_time,
    kind_of,
    opaque_id,
    optional_format,
    optional_time,
    refuse_unknown,
    shown,
    update_time,
)
from cluster.filters import parse_filter, read_field
from cluster.messages import DEFAULT_TENANT, ActiveRule, Item

KINDS = ("pin", "boost", "bury", "cap")
FIELDS = frozenset(
    {
        "rule_id",
        "kind",
        "filter",
        "item_id",
        "position",
        "factor",
        "max_items",
        "each",
        "enabled",
        "starts_at",
        "ends_at",
        "note",
        "updated_at",
    }
)
_OF_KIND = {
    "pin": ({"item_id", "position"}, set[str]()),
    "boost": ({"filter", "factor"}, set[str]()),
    "bury": ({"filter", "factor"}, set[str]()),
    "cap": ({"max_items"}, {"filter", "each"}),
}
"""What a rule of a kind must have, and what it may have beside."""
_OWN = ("item_id", "position", "filter", "factor", "max_items", "each")
MAX_POSITION = 500
MAX_FACTOR = 1e6
MAX_FIELD_CHARS = 64
MAX_NOTE_CHARS = 1000
MAX_RULES = 200
"""Rules of one tenant."""
MAX_REQUEST_RULES = 50
MAX_GROUPS = 10_000
"""Values of a field that one cap `each` counts; items of further values are not capped."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `starts_ms` and `ends_ms` bound when it counts; None is no bound."""

    rule_id: str
    kind: str
    filter: str | None = None
    item_id: str | None = None
    position: int | None = None
    factor: float | None = None
    max_items: int | None = None
    each: str | None = None
    enabled: bool = True
    starts_ms: int | None = None
    ends_ms: int | None = None
    note: str = ""
    updated_ms: int = 0
    tenant: str = DEFAULT_TENANT

    def counts(self, now_ms: int) -> bool:
        """Whether it counts at a time."""
        return (
            self.enabled
            and (self.starts_ms is None or self.starts_ms <= now_ms)
            and (self.ends_ms is None or now_ms < self.ends_ms)
        )


def parse_rule(
    raw: Any, *, now_ms: int = 0, tenant: str = DEFAULT_TENANT, rule_id: str | None = None, keep_updated: bool = False
) -> Rule:
    """One rule from a record; arguments as for `cluster.records.parse_item`.

    Raises:
        InputError: `place` is the field.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"a rule is an object, not {kind_of(raw)}")
    if not raw.keys() <= FIELDS:
        refuse_unknown(raw, FIELDS, "a rule")
    given = {name: value for name, value in raw.items() if value is not None}
    kind = given.get("kind")
    if kind not in KINDS:
        raise InputError("is missing" if kind is None else f"{shown(kind)} is none of {', '.join(KINDS)}", "kind")
    needed, allowed = _OF_KIND[kind]
    for name in _OWN:
        if name in needed and name not in given:
            raise InputError(f"is missing: a {kind} needs it", name)
        if name in given and name not in needed | allowed:
            raise InputError(f"is no part of a {kind}", name)
    if kind == "cap" and ("filter" in given) == ("each" in given):
        raise InputError("a cap has either a filter or, in each, a field whose values are counted", "filter")
    starts_ms, ends_ms = (
        optional_time(given.get("starts_at"), "starts_at"),
        optional_time(given.get("ends_at"), "ends_at"),
    )
    if starts_ms is not None and ends_ms is not None and ends_ms <= starts_ms:
        raise InputError("is not after starts_at", "ends_at")
    enabled = given.get("enabled", True)
    if not isinstance(enabled, bool):
        raise InputError(f"{shown(enabled)} is not true or false", "enabled")
    filter_ = bounded_text(given.get("filter"), "filter", MAX_NOTE_CHARS * 2) or None
    if filter_ is not None:
        parse_filter(filter_)
    elif "filter" in given:
        raise InputError("is empty", "filter")
    return Rule(
        rule_id=agreed_id(given.get("rule_id"), rule_id, "rule_id"),
        kind=kind,
        filter=filter_,
        item_id=opaque_id(given["item_id"], "item_id") if "item_id" in given else None,
        position=_whole(given.get("position"), "position", 1, MAX_POSITION),
        factor=_factor(given.get("factor")),
        max_items=_whole(given.get("max_items"), "max_items", 0, MAX_POSITION),
        each=bounded_text(given.get("each"), "each", MAX_FIELD_CHARS) or None,
        enabled=enabled,
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        note=bounded_text(given.get("note"), "note", MAX_NOTE_CHARS),
        updated_ms=update_time(given.get("updated_at"), now_ms, keep_updated),
        tenant=tenant,
    )


def rule_record(rule: Rule) -> dict[str, Any]:
    """The record of a rule, without the fields that are not set: the inverse of `parse_rule`."""
    record: dict[str, Any] = {
        "rule_id": rule.rule_id,
        "kind": rule.kind,
        **{name: getattr(rule, name) for name in _OWN},
        "enabled": None if rule.enabled else False,
        "starts_at": optional_format(rule.starts_ms),
        "ends_at": optional_format(rule.ends_ms),
        "note": rule.note or None,
        "updated_at": format_time(rule.updated_ms),
    }
    return {name: value for name, value in record.items() if value is not None}


class Items(Protocol):
    """What of `cluster.catalogue.Catalogue` is asked."""

    def get(self, tenant: str, item_id: str) -> Item | None: ...
    def items(self, tenant: str) -> list[Item]: ...


class RuleSets:
    """Of one tenant: which items each of its rules is about, kept up with the catalogue.

    Not for two threads at once.
    """

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._groups: dict[tuple[str, str], dict[str, set[str]]] = {}
        self._made: dict[tuple[str, str], tuple[frozenset[str], ...]] = {}

    def resolve(self, rules: Iterable[Rule], catalogue: Items, changed: set[str] | None) -> tuple[ActiveRule, ...]:
        """The rules with their sets.

        Args:
            rules: those that count.
            catalogue: what there is.
            changed: ids of the items that may be others than at the last call; None: any.
        """
        if changed is None:
            self._groups, self._made = {}, {}
        rules = tuple(rules)
        wanted = {key for rule in rules if (key := _key(rule)) is not None}
        self._groups = {key: groups for key, groups in self._groups.items() if key in wanted}
        new = wanted - self._groups.keys()
        if changed:
            self._made = {}
            for groups in self._groups.values():
                for members in groups.values():
                    members -= changed
            self._put(self._groups, {item_id: catalogue.get(self._tenant, item_id) for item_id in changed})
        if new:
            added: dict[tuple[str, str], dict[str, set[str]]] = {key: {} for key in new}
            self._put(added, {item.item_id: item for item in catalogue.items(self._tenant)})
            self._groups |= added
        return tuple(self._active(rule) for rule in rules)

    def _put(self, groups_of: dict[tuple[str, str], dict[str, set[str]]], items: Mapping[str, Item | None]) -> None:
        for (how, text), groups in groups_of.items():
            holds = parse_filter(text) if how == "filter" else None
            for item_id, item in items.items():
                names: Iterable[str] = ()
                if item is not None:
                    names = (("",) if holds(item) else ()) if holds else read_field(item, text)
                for name in names:
                    if name in groups or len(groups) < MAX_GROUPS:
                        groups.setdefault(name, set()).add(item_id)

    def _active(self, rule: Rule) -> ActiveRule:
        key = _key(rule)
        sets: tuple[frozenset[str], ...] = ()
        if rule.item_id is not None:
            sets = (frozenset((rule.item_id,)),)
        elif key is not None:
            if key not in self._made:
                self._made[key] = tuple(frozenset(members) for members in self._groups[key].values() if members)
            sets = self._made[key]
        return ActiveRule(rule.rule_id, rule.kind, sets, rule.factor or 1.0, rule.position or rule.max_items or 0)


def _key(rule: Rule) -> tuple[str, str] | None:
    if rule.filter is not None:
        return "filter", rule.filter
    return None if rule.each is None else ("each", rule.each)


def _whole(raw: Any, place: str, low: int, high: int) -> int | None:
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
        raise InputError(f"{shown(raw)} is not a whole number from {low} to {high}", place)
    return raw


def _factor(raw: Any) -> float | None:
    factor = finite_number(raw, "factor")
    if factor is not None and not 1.0 < factor <= MAX_FACTOR:
        raise InputError(f"{shown(raw)} is not more than 1 and at most {MAX_FACTOR:.0f}", "factor")
    return factor
