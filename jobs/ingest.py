"""`python -m jobs.ingest`: bring events, items and users from files and databases into the store.

Every file is read and checked before anything is stored: without `--rejects` one bad row stops the job, and the store
is as it was. With it, bad rows are written down and the others count. Loading again what was loaded adds nothing, so a
job that was killed half-way through is simply run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from cluster.config import Settings
from cluster.errors import InputError
from cluster.identity import Identity
from cluster.store import Feedback, Store, connect_store
from jobs.columns import ColumnMap
from jobs.common import ConfigOption, TenantOption, progress, run, say, settings_of, stage
from jobs.feedback_files import read_feedback
from jobs.intake import Checked, Format, Intake, OnReject
from jobs.rule_files import read_rules

CHUNK_ROWS = 5000
"""Rows of one transaction."""

TIME_UNITS_MS = {"s": 1000, "ms": 1}


def main(
    events: Annotated[
        list[str] | None, typer.Option(help="File, URL or database with events. May be repeated.")
    ] = None,
    items: Annotated[list[str] | None, typer.Option(help="File, URL or database with items. May be repeated.")] = None,
    users: Annotated[list[str] | None, typer.Option(help="File, URL or database with users. May be repeated.")] = None,
    rules: Annotated[
        list[str] | None, typer.Option(help="File or URL with rules of merchandising (JSON Lines). May be repeated.")
    ] = None,
    feedback: Annotated[
        list[str] | None, typer.Option(help="File or URL with feedback, as jobs.export writes it. May be repeated.")
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(help="[KIND.]FIELD=COLUMN,... e.g. user_id=uid or events.timestamp=at. May be repeated."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="COLUMN,... to leave out; * for all that are no fields. May be repeated.")
    ] = None,
    type: Annotated[str | None, typer.Option(help="Type of the events that have none, e.g. view.")] = None,
    separator: Annotated[str, typer.Option(help="What separates categories, and tags, in a text cell.")] = "|",
    time_unit: Annotated[Literal["s", "ms"], typer.Option(help="Unit of times that are numbers.")] = "s",
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    rejects: Annotated[
        Path | None, typer.Option(help="Go on after bad rows, and write them here (JSON Lines: file, line, reason).")
    ] = None,
    stored_ids: Annotated[
        bool, typer.Option(help="User ids are stored ids: restore an export made under a pseudonymise_key.")
    ] = False,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> dict[str, Any]:
    """Load events, items and users from CSV, TSV, JSON Lines or Parquet files (also .gz), local or by URL, or from SQL.

    URLs may be http(s)://, s3:// and gs://. A database is named by its SQLAlchemy URL and, behind a #, a table or a
    query: postgresql://USER:PASSWORD@HOST/NAME#orders, or sqlite:///shop.db#"SELECT ...".

    Columns named as the fields of the HTTP API need no --map. Other columns of items and users become attributes. A
    column `rating` makes events of type rating.
    """
    files = [("users", url) for url in users or ()]
    files += [("items", url) for url in items or ()]
    files += [("events", url) for url in events or ()]
    if not (files or feedback or rules):
        raise InputError("name at least one file by --events, --items, --users, --feedback or --rules")
    if not separator:
        raise InputError("must be at least one character", "--separator")
    settings = settings_of(config, tenant=tenant)
    now_ms = time.time_ns() // 1_000_000
    given = [rule for url in rules or () for rule in read_rules(url, settings.tenant, now_ms)]
    identity = None if stored_ids else Identity.of(settings)
    said = [partial(_feedback_of, url, settings.tenant, identity) for url in feedback or ()]
    lines = sum(1 for read in said for _ in read())  # a bad line stops the job before anything is stored
    with _rejects_file(rejects) as on_reject:
        intake = Intake(
            settings,
            now_ms=now_ms,
            columns=ColumnMap.parse(map or (), ignore or ()),
            form=Format(encoding, separator, TIME_UNITS_MS[time_unit], type),
            on_reject=on_reject,
            stored_ids=stored_ids,
        )
        result = ingest(settings, intake, files)
    if said:
        with connect_store(settings) as store:
            entries = chain.from_iterable(read() for read in said)
            while chunk := list(islice(entries, CHUNK_ROWS)):
                store.feedback.add(chunk)
        result["feedback"] = {"rows": lines, "rejected": 0}
    if given:
        with connect_store(settings) as store:
            store.rules.put(None, given)
        result["rules"] = {"rows": len(given), "rejected": 0}
    return result


def _feedback_of(url: str, tenant: str, identity: Identity | None) -> Iterator[Feedback]:
    return read_feedback(url, tenant, str if identity is None else lambda user_id: identity.stored(tenant, user_id))


def ingest(settings: Settings, intake: Intake, files: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Check all files, then load them.

    Args:
        settings: where the store is.
        intake: how to read the files.
        files: kind (events, items, users) and path or URL of each.

    Returns:
        Per kind `rows`, `rejected` and, for events, `new` and `duplicate`; and `warnings`.

    Raises:
        InputError: a file is wrong; nothing was loaded.
    """
    with stage("checking files"):
        checked = [_check(intake, kind, url) for kind, url in files]
        intake.check_columns_used()
    warnings = [warning for file in checked if (warning := _scale_warning(file, settings))]
    for warning in warnings:
        say(f"warning: {warning}")
    result: dict[str, Any] = {}
    with stage("loading"), connect_store(settings) as store:
        for file in checked:
            counts = result.setdefault(file.kind, {"rows": 0, "rejected": 0})
            counts["rows"] += file.rows
            counts["rejected"] += file.rejected
            for name, count in load(store, intake, file).items():
                counts[name] = counts.get(name, 0) + count
    return result | {"warnings": warnings}


def load(store: Store, intake: Intake, file: Checked) -> dict[str, int]:
    """Store a checked file in chunks; for events says how many were new and how many known."""
    new = done = 0
    entities = intake.entities(file)
    with progress(f"loading {file.kind}", total=file.rows) as report:
        while chunk := list(islice(entities, CHUNK_ROWS)):
            if file.kind == "events":
                new += sum(store.events.append(chunk))  # type: ignore[arg-type]
            elif file.kind == "items":
                store.items.put(chunk)  # type: ignore[arg-type]
            else:
                store.users.put(chunk)  # type: ignore[arg-type]
            done += len(chunk)
            report(done)
    return {"new": new, "duplicate": done - new} if file.kind == "events" else {}


def _check(intake: Intake, kind: str, url: str) -> Checked:
    with progress(f"checking {kind}") as report:
        checked = intake.check(kind, url, report)
    say(f"{url}: {checked.rows:,} {kind}" + (f", {checked.rejected:,} rejected" if checked.rejected else ""))
    return checked


def _scale_warning(file: Checked, settings: Settings) -> str | None:
    low, high = settings.events.rating_scale
    if file.ratings is None or (low <= file.ratings[0] and file.ratings[1] <= high):
        return None
    return (
        f"{file.url} has ratings from {file.ratings[0]:g} to {file.ratings[1]:g}, and the setting events.rating_scale "
        f"says {low:g} to {high:g}: what counts as liking is wrong until it fits"
    )


@contextmanager
def _rejects_file(path: Path | None) -> Iterator[OnReject | None]:
    if path is None:
        yield None
        return
    try:
        out = path.open("wb")
    except OSError as error:
        raise InputError(f"cannot be written: {error}", str(path)) from None
    with out:
        yield lambda reject: _write_line(out, reject)


def _write_line(out: Any, reject: dict[str, Any]) -> None:
    out.write(orjson.dumps(reject, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS))


if __name__ == "__main__":
    run(main)
