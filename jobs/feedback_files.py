"""Files of feedback, as `jobs.export --feedback` writes them: one JSON object a line, as in `GET /v1/users:export`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cluster.errors import InputError
from cluster.fields import bounded_text, format_time, opaque_id, optional_id, parse_time, refuse_unknown, shown
from cluster.store import Feedback
from jobs.sources import open_table

MAX_COMMENT_CHARS = 4000
RATINGS = (None, "up", "down")
_IDS = ("recommendation_id", "content_id", "item_id")
FIELDS = frozenset(("feedback_id", "user_id", "rating", "comment", "created_at", *_IDS))


def feedback_record(entry: Feedback) -> dict[str, Any]:
    """The record of what somebody said, without the fields that are not set."""
    record = {name: getattr(entry, name) for name in sorted(FIELDS - {"created_at"})}
    record["created_at"] = format_time(entry.created_ms)
    return {name: value for name, value in record.items() if value is not None}


def read_feedback(url: str, tenant: str, stored: Callable[[str], str]) -> Iterator[Feedback]:
    """What a file holds, for a tenant; `stored` gives the id that a person is stored under.

    Raises:
        InputError: a line is no feedback; `place` is the file and the line.
    """
    with open_table(url, "utf-8", None) as table:
        for row in table.rows:
            try:
                if row.fault is not None:
                    raise InputError(row.fault)
                yield _parse({name: value for name, value in row.values.items() if value is not None}, tenant, stored)
            except InputError as error:
                raise InputError(error.message, table.place(row.line, error.place or None)) from None


def _parse(raw: dict[str, Any], tenant: str, stored: Callable[[str], str]) -> Feedback:
    if not raw.keys() <= FIELDS:
        refuse_unknown(raw, FIELDS, "feedback")
    if "created_at" not in raw:
        raise InputError("is missing", "created_at")
    if raw.get("rating") not in RATINGS:
        raise InputError(f"{shown(raw['rating'])} is neither up nor down", "rating")
    user_id = optional_id(raw.get("user_id"), "user_id")
    return Feedback(
        feedback_id=opaque_id(raw.get("feedback_id"), "feedback_id"),
        created_ms=parse_time(raw["created_at"], "created_at"),
        user_id=None if user_id is None else stored(user_id),
        rating=raw.get("rating"),
        comment=bounded_text(raw["comment"], "comment", MAX_COMMENT_CHARS) if "comment" in raw else None,
        tenant=tenant,
        **{name: optional_id(raw.get(name), name) for name in _IDS},
    )
