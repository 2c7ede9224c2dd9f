"""Options that several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import httpx
import typer

from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.keys import api_key
from cluster.launch import read_run_file

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Settings file (YAML). Default: TAILORBIRD_CONFIG, or tailorbird.yaml if there is one."
    ),
]
UrlOption = Annotated[str | None, typer.Option("--url", help="Address of the API. Default: the running copy's.")]


def api_client(settings: Settings, url: str | None, timeout_s: float = 60.0) -> httpx.Client:
    """An HTTP client for the API of `url`, or of the copy that runs in the settings' state directory.

    Raises:
        UnavailableError: no address was given and no copy runs.
    """
    if url is None:
        info = read_run_file(settings)
        if info is None:
            raise UnavailableError(
                f"no Tailorbird runs in the state directory {str(settings.state_dir)!r}: start one with `make serve`, "
                "or name another with --url"
            )
        url = info.http_url
    headers = {"Authorization": f"Bearer {api_key(settings)}"}
    return httpx.Client(base_url=url, headers=headers, timeout=timeout_s, trust_env=False)


def checked(answer: httpx.Response) -> httpx.Response:
    """The same answer, if it is a success.

    Raises:
        UnavailableError: with the problem's own words.
    """
    if answer.is_success:
        return answer
    answer.read()
    try:
        problem = answer.json()
        said = problem.get("detail") or problem.get("title") or answer.text
    except ValueError:
        said = answer.text[:300]
    raise UnavailableError(f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {said}")
