"""`tailorbird jobs`: submit, list, follow and stop jobs on the running copy's Ray."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.cli.options import ConfigOption
from cluster.config import Settings, load_settings
from cluster.errors import InputError, UnavailableError
from cluster.launch import RunInfo, read_run_file

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

app = typer.Typer(help="Jobs on the running copy's Ray.", no_args_is_help=True)

NAMES = ("ingest", "refresh", "evaluate", "export", "promote", "prune", "demo", "pregenerate")
JobId = Annotated[str, typer.Argument(help="The job's id, as `jobs list` shows it.")]


def job_client(info: RunInfo) -> JobSubmissionClient:
    """Ray's own client for job submission, with the copy's token."""
    from ray.job_submission import JobSubmissionClient

    token = Path(info.token_path).read_text().strip()
    return JobSubmissionClient(info.dashboard_url, headers={"Authorization": f"Bearer {token}"})


def submit_job(client: JobSubmissionClient, name: str, arguments: list[str]) -> str:
    """Submit `python -m jobs.NAME ARGUMENTS` and return the submission's id."""
    command = shlex.join([sys.executable, "-m", f"jobs.{name}", *arguments])
    return client.submit_job(entrypoint=command, metadata={"job": name})


async def follow_job(client: JobSubmissionClient, job_id: str) -> bool:
    """Print the job's log as it comes; whether the job succeeded."""
    async for lines in client.tail_job_logs(job_id):
        typer.echo(lines, nl=False)
    return client.get_job_status(job_id).value == "SUCCEEDED"


@app.command()
def submit(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="The job's own arguments, after `--`.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the log and end as the job ends.")] = True,
    config: ConfigOption = None,
) -> None:
    """Run a job on the cluster, for example: tailorbird jobs submit refresh."""
    if name not in NAMES:
        raise InputError(f"unknown job {name!r}: one of {', '.join(NAMES)}")
    settings = load_settings(config)
    client = job_client(_running(settings))
    job_id = submit_job(client, name, arguments or [])
    typer.echo(f"submitted {job_id}", err=True)
    if wait and not asyncio.run(follow_job(client, job_id)):
        raise UnavailableError(f"{job_id} failed: {client.get_job_info(job_id).message}")


@app.command("list")
def list_jobs(config: ConfigOption = None) -> None:
    """Show the jobs of this copy, newest first."""
    client = job_client(_running(load_settings(config)))
    table = Table("id", "job", "status", "seconds")
    for job in sorted(client.list_jobs(), key=lambda job: -(job.start_time or 0)):
        seconds = f"{(job.end_time - job.start_time) / 1000:.1f}" if job.end_time and job.start_time else ""
        table.add_row(job.submission_id, (job.metadata or {}).get("job", ""), job.status.value, seconds)
    Console().print(table)


@app.command()
def logs(job_id: JobId, config: ConfigOption = None) -> None:
    """Print what a job has logged so far."""
    typer.echo(job_client(_running(load_settings(config))).get_job_logs(job_id), nl=False)


@app.command()
def stop(job_id: JobId, config: ConfigOption = None) -> None:
    """Stop a job. What it had not published stays unpublished."""
    job_client(_running(load_settings(config))).stop_job(job_id)


def _running(settings: Settings) -> RunInfo:
    info = read_run_file(settings)
    if info is None:
        raise UnavailableError(f"no Tailorbird runs in the state directory {str(settings.state_dir)!r}")
    return info
