"""Rows of any SQL database: `URL#TABLE` or `URL#SELECT ...`, the URL being SQLAlchemy's, read as a stream.

The rows come through a cursor on the database's side where its driver has one, so that a table of any size needs no
more memory than `FETCH_ROWS` rows. (`ray.data.read_sql` fetches a whole result at once.)
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from typing import Any

from cluster.errors import InputError

FETCH_ROWS = 5_000


def is_database(url: str) -> bool:
    """Whether a source's URL names a database: its scheme is a dialect of SQLAlchemy."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    if "://" not in url:
        return False
    try:
        _parsed(url)[0].get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        return False
    except ImportError:  # a dialect whose package is missing: `open_query` says so
        return True
    return True


def safe_name(url: str) -> str:
    """The source without its password, for messages."""
    address, query = _parsed(url)
    return f"{address.render_as_string(hide_password=True)}#{query}"


def open_query(url: str) -> tuple[tuple[str, ...], Generator[dict[str, Any], None, None]]:
    """The columns of a table or query, and its rows. Close the generator to close the connection.

    Raises:
        InputError: nothing is named, the driver is missing, the database does not answer, or it refuses the query.
    """
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    address, query = _parsed(url)
    name = safe_name(url)
    if not query:
        raise InputError("names no table: write URL#TABLE or URL#SELECT ...", name)
    statement: Any = sa.text(query)
    if len(query.split()) == 1:
        *schema, table = query.split(".")
        statement = sa.select(sa.text("*")).select_from(sa.table(table, schema=".".join(schema) or None))
    try:
        engine = sa.create_engine(address, poolclass=sa.NullPool)
    except ImportError as error:
        raise InputError(f"needs the package {error.name!r} to be installed", name) from None
    try:
        connection = engine.connect().execution_options(stream_results=True, max_row_buffer=FETCH_ROWS)
    except SQLAlchemyError as error:
        raise InputError(f"cannot be opened: {_reason(error)}", name) from None
    try:
        result = connection.execute(statement)
        columns = tuple(result.keys())
        if len(set(columns)) != len(columns):
            raise InputError(f"has a column twice: {', '.join(columns)}", name)
    except SQLAlchemyError as error:
        connection.close()
        raise InputError(f"cannot be read: {_reason(error)}", name) from None
    except BaseException:
        connection.close()
        raise

    def rows() -> Generator[dict[str, Any], None, None]:
        with connection:
            try:
                for part in result.partitions(FETCH_ROWS):
                    for row in part:
                        yield {column: _plain(value) for column, value in zip(columns, row, strict=True)}
            except SQLAlchemyError as error:
                raise InputError(f"cannot be read to its end: {_reason(error)}", name) from None

    return columns, rows()


def _parsed(url: str) -> tuple[Any, str]:
    from sqlalchemy.engine import make_url

    text, _, query = url.partition("#")
    address = make_url(text)
    if address.drivername in {"postgres", "postgresql"}:
        address = address.set(drivername="postgresql+psycopg")
    return address, query.strip()


def _reason(error: Exception) -> str:
    """What the driver says, without the statement and the link that SQLAlchemy adds."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else value
