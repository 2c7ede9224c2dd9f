"""Texts about what is popular are there before anybody asks, and a second run finds nothing to do."""

from __future__ import annotations

import json

import httpx
import pytest

from cluster.store import connect_store
from tests.integration.conftest import Copy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ASKED = ("--items", "2", "--titles", "1", "--kinds", "pitch,headline")


def test_popular_texts_are_written_once_and_served_from_the_cache(server: Copy, api: httpx.Client) -> None:
    done = server.run("-m", "jobs.pregenerate", *ASKED)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert first["texts"] == 8 and first["written"] == first["texts"] - first["already"] - first["templates"]
    assert first["in_cache"] == first["texts"] - first["templates"]
    with connect_store(server.settings) as store:
        popular = [item_id for item_id, _ in store.events.popular("default", 2)]
    ask = {"kind": "pitch", "item_id": popular[0], "session": [{"item_id": popular[1], "type": "like"}]}
    answer = api.post("/v1/content", json=ask).json()
    assert answer["source"] == "cached" and answer["usage"]["completion_tokens"] == 0
    assert answer["facts"]["liked"] and answer["facts"]["liked"][0] in answer["text"]


def test_a_second_run_goes_on_where_the_first_ended(server: Copy) -> None:
    server.run("-m", "jobs.pregenerate", *ASKED)
    submitted = server.command("jobs", "submit", "pregenerate", "--", *ASKED, timeout_s=300)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert '"already":8' in submitted.stdout.replace(" ", ""), submitted.stdout


def test_wrong_options_say_what_is_known(server: Copy) -> None:
    done = server.run("-m", "jobs.pregenerate", "--kinds", "ode")
    assert done.returncode == 2 and "known are email, headline, pitch, push" in done.stderr
    done = server.run("-m", "jobs.pregenerate", "--language", "fr")
    assert done.returncode == 2 and "generation.languages" in done.stderr
