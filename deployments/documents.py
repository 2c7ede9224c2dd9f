"""Items and users as documents over HTTP: put, get, patch, delete, import. What both kinds share.

Writes go to the one writer and are on disk when they return. Reads come from the store, so that a client reads what it
wrote. A patch is a JSON merge patch (RFC 7396) of the document as `GET` shows it.
"""

from __future__ import annotations

import asyncio
import time
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import orjson

from cluster.errors import ConflictError, InputError, NotFoundError
from cluster.fields import opaque_id
from cluster.messages import Item, User
from cluster.store import Store
from cluster.store.entities import EntityStore
from cluster.store.part import GATEWAY_CHUNK_ROWS
from deployments.problems import MalformedError

Entity = TypeVar("Entity", Item, User)

MAX_RECORDS = 100_000
"""Records of one import."""
MAX_REJECTED = 1_000
"""Rejected records of an import that are told one by one."""
_PATCH_TRIES = 5


@dataclass(frozen=True)
class Documents(Generic[Entity]):
    """One kind of documents, for one request.

    Args:
        part: `items` or `users`: what the store calls them.
        noun: `item` or `user`: what the id and the messages call one.
        parse: `cluster.records.parse_item` or `parse_user`.
        record: its inverse.
        tenant: whose documents.
        store: for reading.
        write: `SessionPool.write`.
        key: the id that a client's id is stored under.
    """

    part: str
    noun: str
    parse: Callable[..., Entity]
    record: Callable[[Entity], dict[str, Any]]
    tenant: str
    store: Store
    write: Callable[..., Awaitable[Any]]
    key: Callable[[str], str] = str

    async def put(self, given_id: str, body: bytes) -> dict[str, Any]:
        """Store a document in place of what has its id; the document as stored."""
        entity = self._parse(read_json(body), given_id)
        await self.write(self.part, "put", [self._stored(entity)])
        return self._shown(entity, given_id)

    async def get(self, given_id: str) -> dict[str, Any]:
        """The document.

        Raises:
            NotFoundError: there is none.
        """
        return self._shown(await self._find(given_id), given_id)

    async def patch(self, given_id: str, body: bytes) -> dict[str, Any]:
        """Merge a patch into the document; the document as stored.

        Raises:
            NotFoundError: there is no document.
            ConflictError: others changed it all the time.
        """
        change = read_json(body)
        if not isinstance(change, Mapping):
            raise InputError("a merge patch is an object")
        for _ in range(_PATCH_TRIES):
            before = await self._find(given_id)
            entity = self._parse(merge(self._shown(before, given_id), change), given_id)
            if await self.write(self.part, "replace", self._stored(entity), before):
                return self._shown(entity, given_id)
        raise ConflictError(f"{self.noun} {given_id[:100]!r} is being changed by others; try again")

    async def delete(self, given_id: str) -> None:
        """Delete the document.

        Raises:
            NotFoundError: there is none.
        """
        _check_id(given_id, self.noun)
        (was_there,) = await self.write(self.part, "delete", self.tenant, [self.key(given_id)])
        if not was_there:
            raise self._missing(given_id)

    async def import_all(self, body: bytes) -> dict[str, Any]:
        """Store the good records of a JSON array or of JSON Lines, and name each bad one by its line.

        A failure in the middle leaves the first ones stored; importing again is safe.

        Raises:
            InputError: none is good; of the first one.
        """
        entities, rejected, bad = await asyncio.to_thread(self._read_import, body)
        if not entities:
            first: dict[str, Any] = rejected[0]
            place = ".".join([str(first["line"]), *first["loc"]])
            raise InputError(f"{first['msg']} (the first of {bad} records, none of which is accepted)", place)
        for start in range(0, len(entities), GATEWAY_CHUNK_ROWS):
            await self.write(self.part, "put", entities[start : start + GATEWAY_CHUNK_ROWS])
        return {"accepted": len(entities), "rejected": rejected, "rejected_total": bad}

    def _read_import(self, body: bytes) -> tuple[list[Entity], list[dict[str, Any]], int]:
        entities: list[Entity] = []
        rejected: list[dict[str, Any]] = []
        bad = 0
        now_ms = _now_ms()
        for line, read in enumerate_records(body, self.part):
            raw = None
            try:
                raw = read()
                entities.append(self._stored(self.parse(raw, now_ms=now_ms, tenant=self.tenant)))
            except InputError as error:
                bad += 1
                if len(rejected) < MAX_REJECTED:
                    given = raw.get(f"{self.noun}_id") if isinstance(raw, dict) else None
                    shown = {f"{self.noun}_id": given[:256]} if isinstance(given, str) else {}
                    rejected.append({"line": line, "loc": error.place.split(".") if error.place else [], **shown})
                    rejected[-1]["msg"] = error.message
        return entities, rejected, bad

    async def _find(self, given_id: str) -> Entity:
        _check_id(given_id, self.noun)
        part: EntityStore[Entity] = getattr(self.store, self.part)
        key = self.key(given_id)
        found = await asyncio.to_thread(part.get, self.tenant, [key])
        if key not in found:
            raise self._missing(given_id)
        return found[key]

    def _parse(self, raw: Any, given_id: str) -> Entity:
        arguments = {f"{self.noun}_id": given_id}
        return self.parse(raw, now_ms=_now_ms(), tenant=self.tenant, **arguments)

    def _stored(self, entity: Entity) -> Entity:
        """The entity under the id that it is stored under."""
        if isinstance(entity, User):
            return replace(entity, user_id=self.key(entity.user_id))
        return replace(entity, item_id=self.key(entity.item_id))

    def _shown(self, entity: Entity, given_id: str) -> dict[str, Any]:
        return self.record(entity) | {f"{self.noun}_id": given_id}

    def _missing(self, given_id: str) -> NotFoundError:
        return NotFoundError(f"{self.noun} {given_id[:100]!r} does not exist")


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396) applied: null removes, objects are merged, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def read_json(body: bytes) -> Any:
    """The value of a body.

    Raises:
        MalformedError: it is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from None


def enumerate_records(body: bytes, noun: str) -> list[tuple[int, Callable[[], Any]]]:
    """Line numbers (or places in the array), counted from 1, with what reads the record there.

    Raises:
        MalformedError: it begins as an array and is none.
        InputError: it holds nothing, or too much.
    """
    records: list[tuple[int, Callable[[], Any]]]
    body = body.removeprefix(BOM_UTF8)  # Windows' editors and exports put it there
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if body.lstrip()[:1] == b"[":
            raise MalformedError(f"the body is not JSON: {error}") from None
        lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
        records = [(number, partial(_read_line, line)) for number, line in lines[: MAX_RECORDS + 1]]
    else:
        listed = whole if isinstance(whole, list) else [whole]
        records = [(number, partial(_same, record)) for number, record in enumerate(listed, 1)]
    if not 1 <= len(records) <= MAX_RECORDS:
        held = f"more than {MAX_RECORDS}" if records else "no"
        raise InputError(f"the body holds {held} {noun}; it is a JSON array or JSON Lines of 1 to {MAX_RECORDS}")
    return records


def _same(record: Any) -> Any:
    return record


def _read_line(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}") from None


def _check_id(given_id: str, noun: str) -> None:
    opaque_id(given_id, f"{noun}_id")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
