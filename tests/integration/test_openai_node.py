"""OpenAI's client for Node works unchanged against `/v1`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Copy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("openai_client.mjs")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in a folder of its own, with the client beside it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no node here")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "openai"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    if done.returncode:
        pytest.skip(f"npm cannot install openai here: {done.stderr[-300:]}")
    return Path(shutil.copy(SCRIPT, folder))


def test_a_node_program_is_served(program: Path, server: Copy) -> None:
    command = ["node", program.name, f"{server.url}/v1", server.key]
    done = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["models"] == ["tailorbird"]
    assert len(found["choices"]) == 2 and all(found["choices"]) and len(found["items"]) == 3
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"]
    assert len(found["streamed"].split()) >= 3 and len(found["finishes"]) == 1
    assert found["streamed_usage"]["completion_tokens"] >= 0
    assert found["error"]["status"] == 422 and found["error"]["name"] == "UnprocessableEntityError"
    assert found["error"]["type"] == "invalid_request_error" and found["error"]["message"]
    assert found["stranger"] == {"name": "AuthenticationError", "status": 401}
