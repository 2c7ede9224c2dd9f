from __future__ import annotations

import gzip
import http.server
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import InputError
from jobs.sources import Row, open_table


def rows_of(path: Path | str, **options: Any) -> list[Row]:
    with open_table(str(path), **options) as table:
        return list(table.rows)


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_headers(tmp_path: Path, separator: str) -> None:
    text = f'a{separator}b c\r\n1{separator}\'x\'\r\n\r\n"q {separator}""q"""{separator}\r\n'
    rows = rows_of(written(tmp_path / "t.csv", text))
    assert rows == [Row(2, {"a": "1", "b c": "'x'"}), Row(4, {"a": f'q {separator}"q"', "b c": ""})]


def test_lines_are_counted_across_quoted_line_ends(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path / "t.csv", 'a,b\n"1\n1",2\n3\n4,5\n'))
    assert [(row.line, row.fault) for row in rows] == [(2, None), (4, "has 1 fields, the header has 2"), (5, None)]
    assert rows[0].values == {"a": "1\n1", "b": "2"}


def test_a_quotation_mark_in_tsv_is_a_character(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path / "t.tsv", 'a\tb\n"x\ty"\n')) == [Row(2, {"a": '"x', "b": 'y"'})]


def test_an_open_quote_is_a_fault_where_it_begins(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path / "t.csv", 'a,b\n1,2\n3,"4\n5,6\n'))
    assert rows[0].fault is None
    assert rows[1].line == 3
    assert "cannot be read" in (rows[1].fault or "")


@pytest.mark.parametrize("content", ["", "\n", "a,,b\n1,2,3\n", "a,a\n1,2\n"])
def test_a_header_that_is_none(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="header"):
        rows_of(written(tmp_path / "t.csv", content))


def test_encodings(tmp_path: Path) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        rows = rows_of(written(tmp_path / "t.csv", "é,b\nMisérables,猫\n".encode(encoding)))
        assert rows == [Row(2, {"é": "Misérables", "b": "猫"})]
    latin = written(tmp_path / "l.csv", "a,b\n1,2\né,3\n4,5\n".encode("latin-1"))
    assert rows_of(latin, encoding="latin-1")[1].values["a"] == "é"
    faults = [(row.line, row.fault) for row in rows_of(latin)]
    assert [line for line, fault in faults if fault] == [3]
    with pytest.raises(InputError, match="encoding"):
        rows_of(latin, encoding="klingon")


def test_json_lines(tmp_path: Path) -> None:
    content = b'{"a": 1}\n\n[1]\n{"a": \xff}\n{"a": NaN}\n{"a": \n{"a": "\xe7\x8c\xab\xe2\x80\xa8"}'
    rows = rows_of(written(tmp_path / "t.jsonl", content))
    assert [row.line for row in rows if row.fault] == [3, 4, 5, 6]
    assert [row.values for row in rows if not row.fault] == [{"a": 1}, {"a": "猫\u2028"}]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    pq.write_table(pa.table({"a": [1, None], "t": [moment, None], "l": [["x"], []]}), path)
    with open_table(str(path)) as table:
        assert (table.columns, table.typed) == (("a", "t", "l"), True)
        rows = list(table.rows)
        assert "row 2" in table.place(2)
    assert [row.values["a"] for row in rows] == [1, None]
    assert rows[0].values["t"] == moment
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], b"x" * 500):
        with pytest.raises(InputError, match="Parquet"):
            rows_of(written(path, damaged))


def test_gzip(tmp_path: Path) -> None:
    content = gzip.compress(b"a\n" + b"1\n" * 10_000)
    assert len(rows_of(written(tmp_path / "t.csv.gz", content))) == 10_000
    for damaged in (content[:30], b"a\n1\n", content[:-4] + b"0000"):
        with pytest.raises(InputError, match="damaged"):
            rows_of(written(tmp_path / "t.csv.gz", damaged))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for name in ("missing.csv", "no-extension", "t.xlsx", "nosuch://host/t.csv"):
        with pytest.raises(InputError) as caught:
            rows_of(name if "://" in name else tmp_path / name)
        assert name in caught.value.place
    with pytest.raises(InputError):
        rows_of(tmp_path / "")


def test_by_http(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    written(tmp_path / "t.csv", "a\n1\n")
    handler = partial(_QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            base = f"http://127.0.0.1:{server.server_address[1]}"
            assert rows_of(f"{base}/t.csv?key=1") == [Row(2, {"a": "1"})]
            with pytest.raises(InputError):
                rows_of(f"{base}/missing.csv")
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return
