"""`python -m jobs.export`: write events, items, users, feedback and rules as JSON Lines.

The lines are canonical (sorted keys, UTF-8, no spaces): events and feedback in the order in which they were stored, the
others in the order of their ids. Loaded into an empty store by `jobs.ingest`, they export to the same bytes again. A
file appears whole or not at all. Events that are stored while the job runs are not in it; what else is stored or
changed meanwhile may be.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import orjson
import typer

from cluster.errors import InputError
from cluster.filesystems import filesystem_of
from cluster.records import event_record, item_record, user_record
from cluster.rules import rule_record
from cluster.store import Store
from jobs.common import ConfigOption, TenantOption, progress, run, settings_of, stage
from jobs.feedback_files import feedback_record

PAGE_ROWS = 10_000

_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def main(
    events: Annotated[
        str | None,
        typer.Option(help="Where to write the events: a path or URL, e.g. events.jsonl[.gz], s3://b/e.jsonl."),
    ] = None,
    items: Annotated[str | None, typer.Option(help="Where to write the items.")] = None,
    users: Annotated[str | None, typer.Option(help="Where to write the users.")] = None,
    feedback: Annotated[str | None, typer.Option(help="Where to write what people said of lists and texts.")] = None,
    rules: Annotated[str | None, typer.Option(help="Where to write the rules of merchandising.")] = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Write what the store holds as JSON Lines that jobs.ingest reads back, byte for byte equal on re-export."""
    files = {"events": events, "items": items, "users": users, "feedback": feedback, "rules": rules}
    wanted = [(kind, path) for kind, path in files.items() if path]
    if not wanted:
        raise InputError("name at least one file by --events, --items, --users, --feedback or --rules")
    settings = settings_of(config, tenant=tenant)
    result: dict[str, Any] = {}
    with Store.open(settings, readonly=True) as store:
        for kind, path in wanted:
            with stage(f"exporting {kind}"):
                result[kind] = {"rows": export(store, settings.tenant, kind, path), "path": path}
    return result


def export(store: Store, tenant: str, kind: str, path: str | Path) -> int:
    """Write one kind (a name of `_LINES`) of a tenant to a file or URL. Returns how many there are."""
    lines = _LINES[kind](store, tenant)
    rows = 0
    with _target(str(path)) as out, progress(f"exporting {kind}") as report:
        for line in lines:
            out.write(line)
            rows += 1
            if rows % 1000 == 0:
                report(rows)
    return rows


def _event_lines(store: Store, tenant: str) -> Iterator[bytes]:
    after, last = 0, store.events.latest_seq()
    while page := store.events.scan(tenant, after, PAGE_ROWS):
        for seq, event in page:
            if seq > last:
                return
            yield orjson.dumps(event_record(event), option=_CANONICAL)
        after = page[-1][0]


def _item_lines(store: Store, tenant: str) -> Iterator[bytes]:
    after = ""
    while page := store.items.scan(tenant, after, PAGE_ROWS):
        for item in page:
            yield orjson.dumps(item_record(item), option=_CANONICAL)
        after = page[-1].item_id


def _user_lines(store: Store, tenant: str) -> Iterator[bytes]:
    after = ""
    while page := store.users.scan(tenant, after, PAGE_ROWS):
        for user in page:
            yield orjson.dumps(user_record(user), option=_CANONICAL)
        after = page[-1].user_id


def _feedback_lines(store: Store, tenant: str) -> Iterator[bytes]:
    after = 0
    while page := store.feedback.scan(tenant, after, PAGE_ROWS):
        for _, entry in page:
            yield orjson.dumps(feedback_record(entry), option=_CANONICAL)
        after = page[-1][0]


def _rule_lines(store: Store, tenant: str) -> Iterator[bytes]:
    for rule in store.rules.all(tenant):
        yield orjson.dumps(rule_record(rule), option=_CANONICAL)


_LINES = {
    "events": _event_lines,
    "items": _item_lines,
    "users": _user_lines,
    "feedback": _feedback_lines,
    "rules": _rule_lines,
}


@contextmanager
def _target(url: str) -> Iterator[IO[bytes]]:
    """A local file, or one elsewhere, which is uploaded in one piece when everything is in it."""
    if "://" not in url:
        with _whole_file(Path(url)) as out:
            yield out
        return
    with tempfile.TemporaryDirectory(prefix="tailorbird-export-") as folder:
        local = Path(folder) / (url.rsplit("/", 1)[1] or "export")
        with _whole_file(local) as out:
            yield out
        try:
            filesystem, path = filesystem_of(url)
            filesystem.put_file(str(local), path)
        except Exception as error:  # each file system has errors of its own
            raise InputError(f"cannot be written: {error}", url) from None


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when everything is in it and on disk."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(path)) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.suffix == ".gz":
                # No name and no time inside: equal content is equal bytes.
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as zipped:
                    yield zipped  # type: ignore[misc]
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o600)  # it holds people's data
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    run(main)
