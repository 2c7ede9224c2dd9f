"""Users on the running copy, and what an erasure leaves: nothing, on disk, in lists, in an export."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import httpx
import pytest

from cluster.launch import ray_temp_dir
from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration


def test_a_record_goes_in_and_out(api: httpx.Client) -> None:
    path = f"/v1/users/家/{uuid.uuid4().hex}"
    assert api.put(path, json={"attributes": {"plan": "pro", "age": 40}}).status_code == 200
    assert api.patch(path, json={"attributes": {"age": None}}).json()["attributes"] == {"plan": "pro"}
    assert api.get(path).json()["user_id"] == path.removeprefix("/v1/users/")
    assert len(api.get("/v1/users", params={"limit": 5}).json()["users"]) == 5


def test_an_erased_person_leaves_no_trace(api: httpx.Client, server: Copy, tmp_path: Path) -> None:
    user = f"erase-me-{uuid.uuid4().hex}"
    assert api.put(f"/v1/users/{user}", json={"attributes": {"mail": f"{user}@example.org"}}).status_code == 200
    events = [{"user_id": user, "item_id": str(n), "type": "like", "context": {"who": user}} for n in range(1, 40)]
    assert api.post("/v1/events", json=events).json()["accepted"] == 39
    given = api.post("/v1/recommendations", json={"user_id": user, "n": 5}).json()
    api.get("/v1/recommendations", params={"user_id": user, "n": 5})
    body = {"user_id": user, "recommendation_id": given["recommendation_id"], "text": f"I am {user}"}
    assert api.post("/v1/feedback", json=body).status_code == 201
    api.post("/v1/content", json={"kind": "pitch", "user_id": user, "item_id": "50"})
    time.sleep(1.5)  # the log of lists has been written
    assert trace_in(server.state_dir, user)

    began = api.delete(f"/v1/users/{user}")
    assert began.status_code == 202
    end = time.monotonic() + 30
    while (operation := api.get(began.headers["location"]).json())["status"] != "done":
        assert time.monotonic() < end, operation
        time.sleep(0.1)
    assert operation["result"] == {"events": 39, "users": 1, "feedback": 1, "recommendations": 2}

    assert trace_in(server.state_dir, user) == []
    assert trace_in(ray_temp_dir(server.settings), user) == []  # logs of Ray, of the proxy and of our own
    stranger = api.post("/v1/recommendations", json={"n": 20}).json()
    assert api.post("/v1/recommendations", json={"user_id": user, "n": 20}).json()["items"] == stranger["items"]
    assert api.get(f"/v1/users/{user}").status_code == 404
    out = tmp_path / "events.jsonl"
    users = tmp_path / "users.jsonl"
    ran = server.run("-m", "jobs.export", "--events", str(out), "--users", str(users))
    assert ran.returncode == 0, ran.stderr
    assert user not in out.read_text() and user not in users.read_text()


def trace_in(folder: Path, user: str) -> list[Path]:
    """Files of a folder that hold the id."""
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink() and user.encode() in path.read_bytes():
                found.append(path)
        except OSError:  # a socket, or a file that has just gone
            continue
    return found
