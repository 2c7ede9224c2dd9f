"""`tailorbird status`, `recommend` and `write`: the API from a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer
from rich.console import Console
from rich.table import Table

from cluster.cli.options import ConfigOption, UrlOption, api_client, checked
from cluster.config import load_settings
from cluster.errors import InputError, UnavailableError

JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Kind = Literal["pitch", "reason", "headline", "summary", "push", "email"]
Tone = Literal["friendly", "playful", "serious", "formal", "enthusiastic"]
Language = Literal["en", "zh"]


def status(config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show what runs: address, model version, text engine, quantisation, weight memory, store."""
    settings = load_settings(config)
    with api_client(settings, url, timeout_s=10) as client:
        ready = client.get("/healthz/ready")
        models = checked(client.get("/v1/models")).json()
    state: dict[str, Any] = {"url": str(client.base_url), "ready": ready.status_code == 200, **models["tailorbird"]}
    if as_json:
        typer.echo(json.dumps(state, indent=2))
        return
    table = Table(show_header=False, box=None)
    for name, value in state.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
    Console().print(table)


def recommend(
    user: Annotated[str, typer.Argument(help="The person's id. An unknown one gets what is popular.")],
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=500, help="Length of the list.")] = 10,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the list of a person, with the reasons."""
    settings = load_settings(config)
    with api_client(settings, url) as client:
        body = {"user_id": user, "n": n, "include": ["title", "attributes", "categories"]}
        answer = checked(client.post("/v1/recommendations", json=body)).json()
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    table = Table("item", "title", "score", "source", "because")
    for entry in answer["items"]:
        # What the person did tells them more than that an item is popular, though that may weigh more.
        told = sorted(entry["reasons"], key=lambda reason: "item_id" not in reason)[:1]
        because = " ".join(str(reason[key]) for reason in told for key in ("kind", "item_id") if reason.get(key))
        item = entry.get("item") or {}
        table.add_row(entry["item_id"], item.get("title", ""), f"{entry['score']:.3f}", entry["source"], because)
    console = Console()
    console.print(table)
    console.print(f"model version {answer['model_version']}", highlight=False)


def write(
    user: Annotated[str, typer.Argument(help="The person's id. An unknown one is written for, too.")],
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="The item's id; several for a summary.")],
    kind: Annotated[Kind, typer.Option("--kind", "-k", help="What sort of text.")] = "pitch",
    tone: Annotated[Tone, typer.Option("--tone", "-t", help="How it shall sound.")] = "friendly",
    language: Annotated[Language, typer.Option("--language", "-l", help="In which language.")] = "en",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The same seed gives the same text.")] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0, max=2, help="How freely words are chosen.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=8, max=1024, help="Longest text, in the model's tokens.")
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a text about an item for a person, clause by clause as it is checked.

    A text without a seed or a temperature may come from the cache. What wrote it is said on standard error.
    """
    settings = load_settings(config)
    asked = {"seed": seed, "temperature": temperature, "max_tokens": max_tokens}
    about = {"item_id": items[0]} if len(items) == 1 else {"item_ids": items}
    body = {"kind": kind, "user_id": user, "tone": tone, "language": language, "stream": True, **about}
    body |= {name: value for name, value in asked.items() if value is not None}
    event = ""
    with api_client(settings, url) as client, client.stream("POST", "/v1/content", json=body) as stream:
        checked(stream)
        for line in stream.iter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                data = json.loads(line.removeprefix("data:"))
                if event == "text" and not as_json:
                    typer.echo(data["text"], nl=False)
                elif event == "done" and as_json:
                    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
                elif event == "done":
                    typer.echo(f"\n[{data['source']} by {data['model']}]", err=True)
                elif event == "error":
                    raise UnavailableError(data.get("detail") or data["title"])


def export(
    user: Annotated[str, typer.Argument(help="The person's id.")],
    out: Annotated[Path | None, typer.Option("--out", help="File to write. Default: standard output.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
) -> None:
    """Hand out everything that is stored of a person, as JSON Lines."""
    settings = load_settings(config)
    with (
        api_client(settings, url) as client,
        client.stream("GET", "/v1/users:export", params={"user_id": user}) as answer,
        private_file(out) if out else nullcontext(sys.stdout.buffer) as file,
    ):
        for part in checked(answer).iter_bytes():
            file.write(part)


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(path)) from None
    with os.fdopen(descriptor, "wb") as file:
        yield file
