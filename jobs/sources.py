"""Tables as streams of rows: CSV, TSV, JSON Lines and Parquet, plain or gzipped, by path or URL, and SQL databases.

A row that cannot be read is a row with a `fault`, so that a job may stop at it or write it down and go on. What is
wrong with the table as a whole (no such file, no header, not Parquet) is an InputError that names the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

import orjson

from cluster.errors import InputError
from cluster.filesystems import filesystem_of, native
from jobs.databases import is_database, open_query, safe_name

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
DELIMITERS = ",;\t|"
"""What may separate the columns of a CSV file: the one that the header holds most of."""
MAX_FIELD_CHARS = 1_000_000
PARQUET_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `line` counts lines of a text file (the first one is 1, the header's) and rows of a Parquet file."""

    line: int
    values: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """An open table. `columns` is None where only the rows know (JSONL). `typed`: values are more than text."""

    name: str
    columns: tuple[str, ...] | None
    typed: bool
    rows: Iterator[Row]
    unit: str = "line"

    def place(self, line: int, column: str | None = None) -> str:
        """Where something is wrong, for people: file, line (row) and column."""
        return f"{self.name}, {self.unit} {line}" + (f", column {column!r}" if column else "")


@contextmanager
def open_table(url: str, encoding: str = "utf-8", format: str | None = None) -> Iterator[Table]:
    """Open a table.

    Args:
        url: a path, a URL (s3://, gs://, http://, https://), or a database's URL with `#TABLE` or `#SELECT ...`.
        encoding: of a text file. A byte order mark is heeded in any case.
        format: csv, tsv, jsonl or parquet. Default: by the name's extension, a `.gz` at its end set aside.

    Raises:
        InputError: the file cannot be opened or is no such table.
    """
    if is_database(url):
        columns, records = open_query(url)
        with closing(records):
            rows = (Row(number, values) for number, values in enumerate(records, start=1))
            yield Table(safe_name(url), columns, True, rows, "row")
        return
    kind = format or _format_of(url)
    with _binary(url) as stream, ExitStack() as stack:
        names: tuple[str, ...] | None
        read: Generator[Row, None, None]
        try:
            if kind == "parquet":
                names, read = _parquet(url, stream)
            elif kind == "jsonl":
                names, read = None, _jsonl(stack.enter_context(_text(stream, encoding)))
            else:
                lines = stack.enter_context(_text(stream, encoding))
                names, read = _delimited(url, lines, "\t" if kind == "tsv" else None)
            with closing(read):
                yield Table(url, names, kind in ("jsonl", "parquet"), read, "row" if kind == "parquet" else "line")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"is damaged: {error}", url) from None


def _format_of(url: str) -> str:
    suffixes = PurePosixPath(url.split("?", 1)[0].lower()).suffixes
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        raise InputError(f"has an extension that is none of {', '.join(FORMATS)} (or one of these and .gz)", url)
    return FORMATS[suffixes[-1]]


@contextmanager
def _binary(url: str) -> Iterator[IO[bytes]]:
    """The file's bytes, unzipped. Parquet needs to seek, which fsspec's files can."""
    try:
        filesystem, path = filesystem_of(url)
        opened = filesystem.open(path, "rb")
    except FileNotFoundError:
        raise InputError("does not exist", url) from None
    except Exception as error:  # each file system has errors of its own
        raise InputError(f"cannot be opened: {error}", url) from None
    with opened:
        if url.split("?", 1)[0].lower().endswith(".gz"):
            with gzip.open(opened, "rb") as unzipped:
                yield unzipped
        else:
            yield opened


_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def _text(stream: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """The file's lines, ends included. A line that is not in the encoding holds U+DC80 and up for foreign bytes."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)  # type: ignore[type-var]
    start = buffered.peek(4)[:4]
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), encoding)
    try:
        return io.TextIOWrapper(buffered, encoding=marked, errors="surrogateescape", newline="")
    except LookupError:
        buffered.close()
        raise InputError(f"{encoding!r} is not a known encoding", "--encoding") from None


FOREIGN = "holds bytes that are not in the file's encoding, UTF-8 where none is named"


def _foreign(text: str) -> bool:
    """Whether bytes of it could not be decoded."""
    return not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text)


def _jsonl(lines: Iterator[str]) -> Generator[Row, None, None]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if _foreign(text):
            yield Row(number, {}, FOREIGN)
            continue
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield Row(number, {"line": text[:200]}, f"is not JSON: {error.msg} at character {error.pos + 1}")
            continue
        if isinstance(values, dict):
            yield Row(number, values)
        else:
            yield Row(number, {"line": text[:200]}, "is JSON, but not an object")


def _delimited(
    url: str, lines: Iterator[str], delimiter: str | None
) -> tuple[tuple[str, ...], Generator[Row, None, None]]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    first = next(lines, "")
    if not first.strip():
        raise InputError("has no header line", url)
    separator = delimiter or max(DELIMITERS, key=first.count)
    # Tabs separate without quotes: a quotation mark in a TSV file is a character like any other.
    reader = csv.reader(
        _chained(first, lines),
        delimiter=separator,
        strict=True,
        quoting=csv.QUOTE_NONE if delimiter else csv.QUOTE_MINIMAL,
    )
    try:
        columns = tuple(name.strip() for name in next(reader))
    except csv.Error as error:
        raise InputError(f"has a header that cannot be read: {error}", url) from None
    for index, name in enumerate(columns):
        if not name or name in columns[:index] or _foreign(name):
            what = (
                "an empty name" if not name else f"the name {name!r}, which is foreign to its encoding or not the first"
            )
            raise InputError(f"has a header whose column {index + 1} has {what}", url)
    return columns, _delimited_rows(reader, columns)


def _delimited_rows(reader: Any, columns: tuple[str, ...]) -> Generator[Row, None, None]:
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, {}, f"cannot be read: {error}")
            continue
        if not fields:
            continue
        values = dict(zip(columns, fields, strict=False))
        if len(fields) != len(columns):
            yield Row(line, values, f"has {len(fields)} fields, the header has {len(columns)}")
        elif any(_foreign(field) for field in fields):
            yield Row(line, values, FOREIGN)
        else:
            yield Row(line, values)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _parquet(url: str, stream: IO[bytes]) -> tuple[tuple[str, ...], Generator[Row, None, None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(native(stream))
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"is not a Parquet file: {error}", url) from None
    columns = tuple(file.schema_arrow.names)

    def rows() -> Generator[Row, None, None]:
        line = 0
        try:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                for values in batch.to_pylist():
                    line += 1
                    yield Row(line, values)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"is damaged after row {line}: {error}", url) from None

    return columns, rows()
