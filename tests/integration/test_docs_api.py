"""Every example of docs/api.md, run as it stands there, with curl, against the running demo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import Any

import httpx
import jsonschema
import pytest

from deployments.example import Example
from deployments.examples import EXAMPLES
from tests.docs.curl import command, covers
from tests.integration.conftest import Copy

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine"),
]

WAIT_S = 30
"""How long the metrics of a copy that has just started may take."""
_STATUS = "curl() { command curl -sS -w '%{stderr}%{http_code}' \"$@\"; }\n"


def run(example: Example, server: Copy, known: dict[str, str]) -> tuple[int, str]:
    """Status and body of the example's answer."""
    environment = os.environ | {"URL": server.url, "KEY": server.key, "NO_PROXY": "127.0.0.1"} | known
    done = subprocess.run(
        ["bash", "-c", _STATUS + command(example)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (command(example), done.stderr)
    return int(done.stderr[-3:]), done.stdout


def faults_of(example: Example, status: int, text: str, document: dict[str, Any]) -> list[str]:
    """What is not as the page and the document say."""
    if status != example.status:
        return [f"status {status}, not {example.status}: {text[:500]}"]
    if example.is_stream:
        return [f"{line!r} is not in {text[:500]!r}" for line in example.answer if line not in text]
    if example.answer is None:
        return [] if not text else [f"a body where none is told of: {text[:200]}"]
    answer = json.loads(text)
    operation = document["paths"][example.path][example.method.lower()]
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, schema | {"components": document["components"]})
    return covers(example.answer, answer)


@pytest.mark.parametrize("group", EXAMPLES)
def test_examples_do_what_the_page_says(group: str, server: Copy, api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    known: dict[str, str] = {}
    if group == "feedback":  # its example speaks of the text of the group before
        content = EXAMPLES["content"][0]
        known["TEXT"] = json.loads(run(content, server, known)[1])["content_id"]
    for example in EXAMPLES[group]:
        end = time.monotonic() + (WAIT_S if example.path == "/metrics" else 0)
        while faults := faults_of(example, *(found := run(example, server, known)), document):
            assert time.monotonic() < end, (command(example), faults)
            time.sleep(1)
        known |= {name: str(json.loads(found[1])[field]) for name, field in example.keeps.items()}
