"""A reader who leaves in the middle of a text frees its place in the writer's batch at once.

The writer logs that it stops, and its engine when the place is free, by the clock of the machine; the reader notes
when it hangs up; nothing that is sampled stands between. The writer has to stop for every reader. A text is written
sentence by sentence, and who leaves between two of them holds no place: those count by when the writer stops. What a
busy machine adds to some is no fault of the path, so the bound holds for the best quarter of many.
"""

from __future__ import annotations

import json
import time
from datetime import datetime

import pytest

from cluster.launch import ray_temp_dir
from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration

READERS = 16
FREE_S = 0.1
LOGGED_S = 20.0
STOPPED = "a text is not written further: its reader has left"
FREE = "a text was left by its reader: its place is free"
LONG = {
    "messages": [{"role": "user", "content": "Five films, please, and tell me about each of them."}],
    "max_tokens": 400,
    "stream": True,
    "model": "tailorbird",
}
"""A text of several sentences: most of it is still to be written when the first clause is here."""


def leave(server: Copy, number: int) -> tuple[str, float]:
    """Read the first clause of a text and hang up: the request's id, and when."""
    request_id = f"leaves-{number}-{time.time_ns()}"
    with server.client() as client:
        headers = {"X-Request-Id": request_id}
        with client.stream("POST", "/v1/chat/completions", json={**LONG, "seed": number}, headers=headers) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: ") and '"content":"' in line.replace(" ", "") and _content(line):
                    break
            left = time.time()
    return request_id, left


def _content(line: str) -> str:
    choices = json.loads(line.removeprefix("data: "))["choices"]
    return choices[0]["delta"].get("content") or "" if choices else ""


def logged(server: Copy, message: str) -> dict[str, float]:
    """When the writer said so, by the ids of the requests."""
    found = {}
    for path in (ray_temp_dir(server.settings) / "session_latest" / "logs").glob("worker-*.err"):
        for line in path.read_text(errors="replace").splitlines():
            if message in line and line.startswith("{"):
                told = json.loads(line)
                found[told["text"].split("/")[0]] = datetime.fromisoformat(told["time"]).timestamp()
    return found


def test_a_reader_who_leaves_frees_the_place_of_the_text(server: Copy) -> None:
    left = dict(leave(server, number) for number in range(READERS))
    end = time.monotonic() + LOGGED_S
    while left.keys() - (stopped := logged(server, STOPPED)).keys() and time.monotonic() < end:
        time.sleep(0.2)
    assert not left.keys() - stopped.keys(), "texts went on to their end although nobody read them"
    free = logged(server, FREE)
    held = left.keys() & free.keys()
    took = sorted(max(stopped[one], free.get(one, 0.0)) - when for one, when in left.items())
    print(f"of {len(left)} readers {len(held)} held a place; free after (s): {[round(one, 3) for one in took]}")
    assert took[len(took) // 4] < FREE_S, took
    assert len(held) >= READERS // 4, "hardly anybody left within a sentence, or their places were not freed"
