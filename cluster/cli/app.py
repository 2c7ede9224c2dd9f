"""The command's entry: the subcommands together, and how errors are shown."""

from __future__ import annotations

import sys

import httpx
import typer
from rich.console import Console

from cluster.cli import calls, jobs, keys, serve
from cluster.errors import ConfigError, InputError, TailorbirdError

app = typer.Typer(
    name="tailorbird",
    help="A recommender that also writes: graph ranking and 4-bit language models on one Ray cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("resize")(serve.resize)
app.command("status")(calls.status)
app.command("recommend")(calls.recommend)
app.command("write")(calls.write)
app.command("export")(calls.export)
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command. Exit code 1 is a failure, 2 wrong usage or settings."""
    try:
        app()
    except (ConfigError, InputError) as error:
        _complain(str(error))
        sys.exit(2)
    except TailorbirdError as error:
        _complain(str(error))
        sys.exit(1)
    except httpx.HTTPError as error:
        _complain(f"no answer: {error}")
        sys.exit(1)


def _complain(message: str) -> None:
    Console(stderr=True, highlight=False).print(f"[bold red]error[/] {message}", markup=True, soft_wrap=True)
