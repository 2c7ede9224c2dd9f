"""What one field of a record may hold: each function takes the raw value and gives the checked one.

`place` names the field, and is where the `InputError` points. Messages show a value only in part, however long it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from cluster.errors import InputError
from cluster.messages import MAX_ID_CHARS

MAX_DEPTH = 6
"""Objects and lists inside each other, in `context` and `attributes`."""
MAX_LABELS = 100
MAX_LABEL_CHARS = 200
MAX_URL_CHARS = 2048
URL_SCHEMES = ("http://", "https://", "s3://", "gs://")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what ISO 8601 and `datetime` can write."""


def parse_time(raw: Any, place: str) -> int:
    """A time, ISO 8601 or a number of seconds since 1970, as milliseconds since 1970."""
    if isinstance(raw, str):
        # Python also reads "20260101"; here a bare number in quotes is more likely a mistake than a date.
        if len(raw) > 64 or raw[4:5] != "-":
            raise InputError(f"{shown(raw)} is not an ISO 8601 time", place)
        try:
            parsed = datetime.fromisoformat(raw)
            seconds = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise InputError(f"{shown(raw)} is not an ISO 8601 time", place) from None
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool):
        seconds = raw
    else:
        raise InputError(f"{shown(raw)} is not an ISO 8601 time or a number of seconds", place)
    if not seconds >= 0:  # also catches NaN
        raise InputError(f"{shown(raw)} is before 1970" if seconds < 0 else "is not a number", place)
    if seconds * 1000 > _MAX_MS:
        raise InputError(f"{shown(raw)} is after the year 9999; numbers are seconds, not milliseconds", place)
    return round(seconds * 1000)


def format_time(time_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC with milliseconds, e.g. 2026-01-01T00:00:00.000Z."""
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def opaque_id(raw: Any, place: str) -> str:
    """An id: a string of 1 to `MAX_ID_CHARS` characters, any that UTF-8 can write but NUL (PostgreSQL stores none)."""
    if not isinstance(raw, str):
        raise InputError("is missing" if raw is None else f"an id is a string, not {kind_of(raw)}", place)
    if not 0 < len(raw) <= MAX_ID_CHARS:
        raise InputError(f"an id has 1 to {MAX_ID_CHARS} characters, this one {len(raw)}", place)
    if "\0" in raw or not (raw.isascii() or _encodes(raw)):
        raise InputError("an id holds no NUL and no half of a surrogate pair", place)
    return raw


def optional_id(raw: Any, place: str) -> str | None:
    """An id, or None when there is none."""
    return None if raw is None else opaque_id(raw, place)


def agreed_id(raw: Any, given: str | None, place: str) -> str:
    """The id of a record that may also have come from elsewhere (`given`); the two may not differ."""
    if raw is not None and given is not None and raw != given:
        raise InputError(f"{shown(raw)} is not the id that the record is stored under", place)
    return opaque_id(given if raw is None else raw, place)


def finite_number(raw: Any, place: str) -> float | None:
    """A number, neither NaN nor infinite, or None when there is none."""
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise InputError(f"{shown(raw)} is not a number", place)
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError("is not a finite number", place)
    return number


def bounded_text(raw: Any, place: str, max_chars: int) -> str:
    """Text of at most so many characters; empty when there is none."""
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise InputError(f"{kind_of(raw)} is not text", place)
    if len(raw) > max_chars:
        raise InputError(f"has {len(raw)} characters, {max_chars} are allowed", place)
    if "\0" in raw or not _encodes(raw):
        raise InputError("text holds no NUL and no half of a surrogate pair", place)
    return raw


def label_list(raw: Any, place: str) -> tuple[str, ...]:
    """Categories or tags: a list of short texts. Repetitions are dropped, the order stays."""
    if raw is None:
        return ()
    if not isinstance(raw, (list, tuple)):
        raise InputError(f"must be a list of texts, not {kind_of(raw)}", place)
    if len(raw) > MAX_LABELS:
        raise InputError(f"has {len(raw)} entries, {MAX_LABELS} are allowed", place)
    labels: dict[str, None] = {}
    for index, entry in enumerate(raw):
        if not isinstance(entry, str) or not entry:
            raise InputError(f"{shown(entry)} is not a text of at least one character", f"{place}.{index}")
        labels[bounded_text(entry, f"{place}.{index}", MAX_LABEL_CHARS)] = None
    return tuple(labels)


def web_address(raw: Any, place: str) -> str | None:
    """An address of `URL_SCHEMES`: none that runs code in a page."""
    url = bounded_text(raw, place, MAX_URL_CHARS)
    if not url:
        return None
    if not url.startswith(URL_SCHEMES) or any(char <= " " for char in url):
        raise InputError(f"{shown(url)} is not an address that begins with {', '.join(URL_SCHEMES)}", place)
    return url


def optional_time(raw: Any, place: str) -> int | None:
    """`parse_time`, or None when there is none."""
    return None if raw is None else parse_time(raw, place)


def optional_format(time_ms: int | None) -> str | None:
    """`format_time`, or None when there is none."""
    return None if time_ms is None else format_time(time_ms)


def update_time(raw: Any, now_ms: int, keep: bool) -> int:
    """When a record was last changed: what it says if `keep`, else now. What it says is checked in any case."""
    updated_ms = optional_time(raw, "updated_at")
    return updated_ms if keep and updated_ms is not None else now_ms


def json_object(raw: Any, place: str, max_bytes: int) -> dict[str, Any]:
    """A JSON object of bounded size and depth, made of what every database can store as JSON."""
    if not isinstance(raw, Mapping):
        raise InputError(f"must be an object, not {kind_of(raw)}", place)
    _check_json(raw, place, MAX_DEPTH)
    plain = dict(raw)
    try:
        size = len(orjson.dumps(plain))
    except TypeError as error:  # integers of more than 64 bits, strings that are not Unicode, foreign types
        raise InputError(f"cannot be written as JSON: {error}", place) from None
    if size > max_bytes:
        raise InputError(f"has {size} bytes as JSON, {max_bytes} are allowed", place)
    return plain


def _check_json(value: Any, place: str, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise InputError("text holds no NUL", place)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InputError("is not a finite number", place)
    elif isinstance(value, (Mapping, list, tuple)):
        if depth == 0:
            raise InputError(f"is nested more than {MAX_DEPTH} deep", place)
        if isinstance(value, Mapping):
            for key, part in value.items():
                if not isinstance(key, str) or "\0" in key or not _encodes(key):
                    raise InputError(f"{shown(key)} is not a name", place)
                _check_json(part, f"{place}.{key[:64]}", depth - 1)
        else:
            for index, part in enumerate(value):
                _check_json(part, f"{place}.{index}", depth - 1)


def refuse_unknown(raw: Mapping[Any, Any], known: frozenset[str], noun: str, hint: str = "") -> None:
    """Raise for the first field that is not known. `noun` is what the record is, with its article."""
    name = next(key for key in raw if key not in known)
    raise InputError(f"is not a field of {noun}{hint}", str(name)[:64].encode(errors="replace").decode())


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_KINDS = {"dict": "an object", "list": "a list", "str": "a string", "bool": "true or false", "NoneType": "null"}


def kind_of(value: Any) -> str:
    """What JSON calls a value of this type, with an article."""
    return _KINDS.get(type(value).__name__, "a number" if isinstance(value, (int, float)) else type(value).__name__)


def shown(value: Any) -> str:
    """A value for a message: never long, however long it is."""
    text = repr(value[:64]) if isinstance(value, str) else repr(value) if _is_short(value) else kind_of(value)
    return text if len(text) <= 64 else text[:61] + "..."


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 10**20)
