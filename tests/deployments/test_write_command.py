"""`tailorbird write` offers what `POST /v1/content` takes, and asks for what it was told."""

from __future__ import annotations

import json
from typing import Any, get_args

import httpx
import pytest
from typer.testing import CliRunner

from cluster.cli import calls
from cluster.cli.app import app
from deployments.writing_schemas import CONTENT_KINDS, TONES, ContentRequest
from generation.templates import LANGUAGES


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the command asks for, of a server that answers at once."""
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        done = {"source": "generated", "model": "m", "text": "Try it."}
        text = f"event: text\ndata: {json.dumps({'text': 'Try it.'})}\n\nevent: done\ndata: {json.dumps(done)}\n\n"
        return httpx.Response(200, text=text)

    client = httpx.Client(base_url="http://test", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(calls, "api_client", lambda *_: client)
    return bodies


def test_the_command_offers_what_the_api_takes(asked: list[dict[str, Any]]) -> None:
    offered = [get_args(choices) for choices in (calls.Kind, calls.Tone, calls.Language)]
    assert offered == [CONTENT_KINDS, TONES, LANGUAGES]
    shown = CliRunner().invoke(app, ["write", "--help"], env={"COLUMNS": "200"}).output
    assert all(word in shown for word in (*CONTENT_KINDS, *TONES, "--seed", "--max-tokens", "--temperature"))


def test_the_command_asks_for_what_it_was_told(asked: list[dict[str, Any]]) -> None:
    done = CliRunner().invoke(app, ["write", "42", "50", "-k", "push", "-t", "formal", "-l", "zh", "--seed", "0"])
    assert done.exit_code == 0 and "Try it." in done.output, done.output
    assert ContentRequest(**asked[0]).seed == 0 and asked[0]["tone"] == "formal" and asked[0]["language"] == "zh"


def test_several_items_are_a_summary_s(asked: list[dict[str, Any]]) -> None:
    done = CliRunner().invoke(app, ["write", "42", "50", "51", "-k", "summary", "--max-tokens", "40", "--json"])
    assert json.loads(done.stdout)["text"] == "Try it."
    assert ContentRequest(**asked[0]).item_ids == ["50", "51"] and asked[0]["max_tokens"] == 40
