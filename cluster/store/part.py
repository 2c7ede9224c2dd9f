"""What the parts of a store share: the database, and writes that travel to the one writer when it is elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import orjson
from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects import postgresql, sqlite

from cluster.errors import InputError
from cluster.store.database import Database

Method = TypeVar("Method", bound=Callable[..., Any])

GATEWAY_CHUNK_ROWS = 500
"""Rows of one write through the gateway: short enough that live requests, which wait behind it, notice nothing."""


class Part:
    """One concern of the store, named as its attribute of `Store`."""

    name: ClassVar[str]
    writes: ClassVar[frozenset[str]] = frozenset()
    """Methods that the gateway may call."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def insert_into(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which SQLAlchemy has per database."""
        return (sqlite if self.database.dialect == "sqlite" else postgresql).insert(table)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        marked = {name for name, value in vars(cls).items() if getattr(value, "is_write", False)}
        cls.writes = cls.writes | marked


def write(method: Method) -> Method:
    """Marks a method that writes. With a gateway the call goes there; a list that comes last goes in chunks."""

    @functools.wraps(method)
    def call(self: Part, *args: Any) -> Any:
        gateway = self.database.gateway
        if gateway is None:
            return method(self, *args)
        name = method.__name__
        if not args or not isinstance(args[-1], list) or len(args[-1]) <= GATEWAY_CHUNK_ROWS:
            return gateway(self.name, name, args)
        results: list[Any] = []
        rows = args[-1]
        for start in range(0, len(rows), GATEWAY_CHUNK_ROWS):
            chunk = rows[start : start + GATEWAY_CHUNK_ROWS]
            results.extend(gateway(self.name, name, (*args[:-1], chunk)) or [])
        return results

    call.is_write = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def dump(value: Any) -> str:
    """JSON text of a value.

    Raises:
        InputError: it holds something that JSON has no form for.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise InputError(f"not JSON: {error}") from None


def load(text: str) -> Any:
    """The value of JSON text that `dump` made."""
    return orjson.loads(text)


def by_number(column: Any, tenant: str) -> ColumnElement[bool]:
    """That a row is the tenant's, where rows are read in order of their numbers.

    Written so that no index of tenants is used: SQLite would sort all of the tenant's rows for each page of them.
    """
    condition: ColumnElement[bool] = column.concat("") == tenant
    return condition
