"""Records from outside become events, items and users, and back: the one place that says what is valid.

HTTP and the jobs both call these functions, so a line of a file is held to what a request is held to. Everything is
checked by hand, not by a model class: an event costs a few microseconds, and every error names its field.

Fields that are null count as missing. Unknown fields are refused. Times are ISO 8601 strings (without an offset: UTC)
or numbers, seconds since 1970. The `*_record` functions are the exact inverse: `parse_event(event_record(e)) == e`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.errors import InputError
from cluster.fields import (
    agreed_id,
    bounded_text,
    finite_number,
    format_time,
    json_object,
    kind_of,
    label_list,
    opaque_id,
    optional_format,
    optional_id,
    optional_time,
    parse_time,
    refuse_unknown,
    shown,
    update_time,
    web_address,
)
from cluster.ids import new_id
from cluster.messages import DEFAULT_TENANT, Event, Item, User
from cluster.sections import EventsConfig
from cluster.vectors import read_vectors, written_vectors

EVENT_FIELDS = frozenset(
    {
        "event_id",
        "user_id",
        "item_id",
        "type",
        "value",
        "timestamp",
        "session_id",
        "recommendation_id",
        "context",
    }
)
ITEM_FIELDS = frozenset(
    {
        "item_id",
        "title",
        "description",
        "categories",
        "tags",
        "attributes",
        "vectors",
        "image_url",
        "audio_url",
        "available_from",
        "available_until",
        "hidden",
        "updated_at",
    }
)
USER_FIELDS = frozenset({"user_id", "attributes", "updated_at"})

MAX_CONTEXT_BYTES = 4096
MAX_ATTRIBUTES_BYTES = 65_536
MAX_TITLE_CHARS = 1000
MAX_DESCRIPTION_CHARS = 20_000

_TYPE_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_MAX_TYPE_CHARS = 64


def parse_event(
    raw: Any,
    *,
    now_ms: int,
    config: EventsConfig,
    tenant: str = DEFAULT_TENANT,
    user_id: str | None = None,
    default_type: str | None = None,
) -> Event:
    """One event.

    Args:
        raw: the record, a mapping of `EVENT_FIELDS`. `event_id` is made when missing, `timestamp` is then now.
        now_ms: the present, milliseconds since 1970.
        config: how far ahead a timestamp may be.
        tenant: whose event it is.
        user_id: whose event it is when the record does not say.
        default_type: the type when the record has none; None makes the field required.

    Raises:
        InputError: `place` is the field, empty when the record as a whole is wrong.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"an event is an object, not {kind_of(raw)}")
    if not raw.keys() <= EVENT_FIELDS:
        refuse_unknown(raw, EVENT_FIELDS, "an event")
    get = raw.get
    event_type = get("type")
    if event_type is None and default_type is not None:
        event_type = default_type
    if not (
        isinstance(event_type, str) and 0 < len(event_type) <= _MAX_TYPE_CHARS and _TYPE_CHARS.issuperset(event_type)
    ):
        if event_type is None:
            raise InputError("is missing", "type")
        raise InputError(f"{shown(event_type)} is not a name of 1 to {_MAX_TYPE_CHARS} of a-z, 0-9 and _", "type")
    value = finite_number(get("value"), "value")
    if value is None and event_type == "rating":
        raise InputError("a rating needs a value", "value")
    timestamp = get("timestamp")
    if timestamp is None:
        timestamp_ms = now_ms
    else:
        timestamp_ms = parse_time(timestamp, "timestamp")
        if timestamp_ms > now_ms + config.max_ahead_s * 1000:
            raise InputError(f"{shown(timestamp)} is more than {config.max_ahead_s:.0f} s ahead", "timestamp")
    event_id, user = get("event_id"), get("user_id")
    context = get("context")
    return Event(
        event_id=new_id() if event_id is None else opaque_id(event_id, "event_id"),
        user_id=opaque_id(user_id if user is None else user, "user_id"),
        item_id=opaque_id(get("item_id"), "item_id"),
        type=event_type,
        timestamp_ms=timestamp_ms,
        value=value,
        session_id=optional_id(get("session_id"), "session_id"),
        recommendation_id=optional_id(get("recommendation_id"), "recommendation_id"),
        context=None if context is None else json_object(context, "context", MAX_CONTEXT_BYTES),
        tenant=tenant,
    )


def parse_item(
    raw: Any,
    *,
    now_ms: int,
    tenant: str = DEFAULT_TENANT,
    item_id: str | None = None,
    keep_updated: bool = False,
) -> Item:
    """One catalogue item.

    Args:
        raw: the record, a mapping of `ITEM_FIELDS`.
        now_ms: becomes `updated_ms`.
        tenant: whose item it is.
        item_id: the id from elsewhere (the path of a request); a different one in the record is an error.
        keep_updated: believe the record's `updated_at` (a backup is restored); otherwise it is checked and ignored.

    Raises:
        InputError: `place` is the field.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"an item is an object, not {kind_of(raw)}")
    if not raw.keys() <= ITEM_FIELDS:
        refuse_unknown(raw, ITEM_FIELDS, "an item", "; values of your own go into 'attributes'")
    get = raw.get
    available_from = optional_time(get("available_from"), "available_from")
    available_until = optional_time(get("available_until"), "available_until")
    if available_from is not None and available_until is not None and available_until < available_from:
        raise InputError("is before available_from", "available_until")
    hidden = get("hidden")
    if hidden is not None and not isinstance(hidden, bool):
        raise InputError(f"{shown(hidden)} is not true or false", "hidden")
    return Item(
        item_id=agreed_id(get("item_id"), item_id, "item_id"),
        title=bounded_text(get("title"), "title", MAX_TITLE_CHARS),
        description=bounded_text(get("description"), "description", MAX_DESCRIPTION_CHARS),
        categories=label_list(get("categories"), "categories"),
        tags=label_list(get("tags"), "tags"),
        attributes=_attributes(get("attributes")),
        vectors=read_vectors(get("vectors"), "vectors"),
        image_url=web_address(get("image_url"), "image_url"),
        audio_url=web_address(get("audio_url"), "audio_url"),
        available_from_ms=available_from,
        available_until_ms=available_until,
        hidden=bool(hidden),
        updated_ms=update_time(get("updated_at"), now_ms, keep_updated),
        tenant=tenant,
    )


def parse_user(
    raw: Any,
    *,
    now_ms: int,
    tenant: str = DEFAULT_TENANT,
    user_id: str | None = None,
    keep_updated: bool = False,
) -> User:
    """One user; arguments and errors as for `parse_item`."""
    if not isinstance(raw, Mapping):
        raise InputError(f"a user is an object, not {kind_of(raw)}")
    if not raw.keys() <= USER_FIELDS:
        refuse_unknown(raw, USER_FIELDS, "a user", "; values of your own go into 'attributes'")
    return User(
        user_id=agreed_id(raw.get("user_id"), user_id, "user_id"),
        attributes=_attributes(raw.get("attributes")),
        updated_ms=update_time(raw.get("updated_at"), now_ms, keep_updated),
        tenant=tenant,
    )


def event_record(event: Event) -> dict[str, Any]:
    """The record of an event, without the fields that are not set."""
    record: dict[str, Any] = {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "type": event.type,
        "value": event.value,
        "timestamp": format_time(event.timestamp_ms),
        "session_id": event.session_id,
        "recommendation_id": event.recommendation_id,
        "context": None if event.context is None else dict(event.context),
    }
    return {field: value for field, value in record.items() if value is not None}


def item_record(item: Item, with_vectors: bool = True) -> dict[str, Any]:
    """The record of an item, without the fields that are not set."""
    record: dict[str, Any] = {
        "item_id": item.item_id,
        "title": item.title or None,
        "description": item.description or None,
        "categories": list(item.categories) or None,
        "tags": list(item.tags) or None,
        "attributes": dict(item.attributes) or None,
        "vectors": (with_vectors and written_vectors(item.vectors)) or None,
        "image_url": item.image_url,
        "audio_url": item.audio_url,
        "available_from": optional_format(item.available_from_ms),
        "available_until": optional_format(item.available_until_ms),
        "hidden": item.hidden or None,
        "updated_at": format_time(item.updated_ms),
    }
    return {field: value for field, value in record.items() if value is not None}


def user_record(user: User) -> dict[str, Any]:
    """The record of a user."""
    record: dict[str, Any] = {"user_id": user.user_id, "updated_at": format_time(user.updated_ms)}
    return record | ({"attributes": dict(user.attributes)} if user.attributes else {})


def _attributes(raw: Any) -> Mapping[str, Any]:
    return {} if raw is None else json_object(raw, "attributes", MAX_ATTRIBUTES_BYTES)
