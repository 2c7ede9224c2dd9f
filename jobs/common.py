"""What every job shares: `--config`, exit codes, the final JSON line, stage times and progress.

A job is a function whose parameters are its options and that returns a mapping. `run` makes a command of it:

    def main(out: Annotated[Path, typer.Option(help="...")], config: ConfigOption = None) -> dict[str, Any]:
        settings = settings_of(config)
        with stage("reading"), progress("reading", unit="rows") as report:
            report(10_000)
        return {"rows": 10_000}

    if __name__ == "__main__":
        run(main)

Standard output carries one line, the result as a JSON object, and it comes last; whatever the job or a library prints
goes to standard error. Exit codes: 0 done, 1 failed or interrupted, 2 the input, the settings or the command line is
wrong. The JSON line has `job`, `ok`, the job's own figures, `stages_s` and, when it failed, `error` (and `place`).
"""

from __future__ import annotations

import functools
import getpass
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, Protocol

import orjson
import typer

from cluster.api_keys import checked_tenant
from cluster.config import Settings, load_settings
from cluster.errors import ConfigError, InputError, NotFoundError, TailorbirdError

OK = 0
FAILED = 1
BAD_INPUT = 2

PERCENT = "%"
"""The unit of progress that is a share of the work."""
LOG_EVERY_S = 5.0
"""How often a progress line is written where there is no terminal."""

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file (YAML). Default: $TAILORBIRD_CONFIG, then tailorbird.yaml."),
]

_stages_s: dict[str, float] = {}


class Progress(Protocol):
    """How far the work is. May be called often; it is shown every so often."""

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say that `done` of `total` units (None: unknown, or as before) are finished, with a few words beside it."""
        ...


TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Whose data. Default: the copy's own tenant (setting `tenant`).")
]


def settings_of(config: Path | None, overrides: dict[str, Any] | None = None, tenant: str | None = None) -> Settings:
    """The settings of a job; an explicit `tenant` wins over them. Raises what `run` turns into exit code 2."""
    settings = load_settings(config, overrides)
    return settings if tenant is None else settings.model_copy(update={"tenant": checked_tenant(tenant)})


def actor() -> str:
    """Who runs this job, for the audit log."""
    return f"job:{getpass.getuser()}"


def say(text: str) -> None:
    """A line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time a part of the work: its name is printed when it begins, its seconds when it ends and in the JSON line."""
    say(f"{name} ...")
    start = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{name} ... failed after {time.monotonic() - start:.1f} s")
        raise
    seconds = time.monotonic() - start
    _stages_s[name] = round(_stages_s.get(name, 0.0) + seconds, 3)
    say(f"{name} ... {seconds:.1f} s")


@contextmanager
def progress(description: str, total: float | None = None, unit: str = "rows") -> Iterator[Progress]:
    """Show how far a loop is: a bar on a terminal, elsewhere a log line every `LOG_EVERY_S` seconds.

    With `PERCENT` as the unit, and a total of 100, a share is told, and no rate.
    """
    if sys.stderr.isatty():
        with _bar(description, total, unit) as report:
            yield report
    else:
        yield _LogLines(description, total, unit)


def quieten_ray_data() -> None:
    """Ray Data shows no progress beside ours; what it logs goes to its files, errors to standard error as well."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


@contextmanager
def _bar(description: str, total: float | None, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} {task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, rate="", note="")

        def report(done: float, total: float | None = None, note: str = "") -> None:
            changes: dict[str, Any] = {"completed": done, "rate": _rate(done, start, unit), "note": note}
            if total is not None:
                changes["total"] = total
            bar.update(task, **changes)

        yield report


class _LogLines:
    """The progress of one loop as log lines."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._start = self._last = time.monotonic()

    def __call__(self, done: float, total: float | None = None, note: str = "") -> None:
        self._total = self._total if total is None else total
        now = time.monotonic()
        if now - self._last < LOG_EVERY_S:
            return
        self._last = now
        if self._unit == PERCENT:
            say(f"{self._description}: {done:.0f}% {note}".rstrip())
            return
        of = f" of {self._total:,.0f} ({100 * done / self._total:.0f}%)" if self._total else ""
        say(f"{self._description}: {done:,.0f}{of}, {_rate(done, self._start, self._unit)} {note}".rstrip())


def _rate(done: float, start: float, unit: str) -> str:
    return "" if unit == PERCENT else f"{done / max(time.monotonic() - start, 1e-9):,.0f} {unit}/s"


def run(main: Callable[..., Mapping[str, Any]], name: str | None = None) -> NoReturn:
    """Run a job as the command line of this process, and end the process.

    Args:
        main: the job. Its docstring is the help text, its parameters are the options.
        name: what the JSON line calls it. Default: the name of the module that is run.
    """
    job = name or _module_name(main)
    begun = False

    @functools.wraps(main)
    def command(*args: Any, **kwargs: Any) -> None:
        nonlocal begun
        begun = True
        with _only_the_result_on_stdout() as write:
            code, result = _guarded(main, args, kwargs)
            write(_line({"job": job, "ok": code == OK, **result, "stages_s": dict(_stages_s)}))
        raise SystemExit(code)

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings={"max_content_width": 100})
    app.command()(command)
    try:
        app(prog_name=f"python -m jobs.{job}")
    except SystemExit as end:
        if not begun and end.code == BAD_INPUT:  # typer has said on standard error what is wrong
            print(_line({"job": job, "ok": False, "error": "the command line is wrong; see --help"}), flush=True)
        raise
    raise SystemExit(OK)


def _guarded(
    main: Callable[..., Mapping[str, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Call the job; whatever happens becomes an exit code and the fields of the JSON line."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    _stages_s.clear()
    heed_sigterm()
    try:
        return OK, dict(main(*args, **kwargs))
    except typer.BadParameter as error:
        return BAD_INPUT, _told(str(error))
    except InputError as error:
        return BAD_INPUT, _told(str(error)) | ({"place": error.place} if error.place else {})
    except (ConfigError, NotFoundError) as error:
        return BAD_INPUT, _told(str(error))
    except TailorbirdError as error:
        return FAILED, _told(str(error))
    except KeyboardInterrupt:
        return FAILED, _told("interrupted")
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return FAILED, {"error": f"{type(error).__name__}: {error}"}


def _told(message: str) -> dict[str, Any]:
    say(f"error: {message}")
    return {"error": message}


def _line(result: Mapping[str, Any]) -> str:
    """One line of JSON. A figure that is not a number (NaN, an empty metric) is written as null."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(result, default=str, option=options).decode()


@contextmanager
def _only_the_result_on_stdout() -> Iterator[Callable[[str], None]]:
    """Send standard output to standard error, at the level of the file descriptor, and hand out a way past that.

    Libraries written in C and child processes print as well, hence the descriptor.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)

    def write(line: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as out:
            out.write(line + "\n")

    try:
        yield write
    finally:
        # Standard output stays where standard error is: exit handlers of libraries print too, and the result is last.
        os.close(kept)


def heed_sigterm() -> None:
    """Let SIGTERM end a job as Ctrl-C does, so that `finally` blocks run and a transaction is rolled back."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, interrupt)


def _module_name(main: Callable[..., Any]) -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module: str = spec.name if spec is not None and main.__module__ == "__main__" else main.__module__
    return module.rpartition(".")[2]
