"""Nothing secret and nobody's name in any log or answer of a whole copy, whatever goes wrong in it.

The copy runs on PostgreSQL with a password in its URL. Everything is tried with good and bad credentials, in good and
bad form, also while the database is away. Then all files that anything of the copy has logged to are read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.launch import ray_temp_dir
from tests.cluster.postgres import Postgres
from tests.integration.conftest import KEY, Copy, start_copy, stop_copy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PASSWORD = "pass-word-of-the-database"
SECRET = "the-secret-that-signs-everything-here"
PSEUDONYMS = "the-key-under-which-people-are-hashed"
GUESSED = "tb_0123456789abcdef_a-key-that-somebody-guesses"
PERSON = "anna.karenina@example.org"
NOTE = "she-will-take-the-train"
TRACED = "the-request-that-found-no-database"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Copy]:
    running = start_copy(
        tmp_path_factory.mktemp("secrets"),
        "--no-demo",
        "--no-train",
        database_url=postgres.url.replace("postgres@", f"postgres:{PASSWORD}@"),
        secret_key=SECRET,
        pseudonymise_key=PSEUDONYMS,
        writer__min_replicas="0",
        sessions__commit_retry_s="1",
    )
    yield running
    stop_copy(running)


def provoke(copy: Copy, key: str) -> list[str]:
    """Good and bad requests that name the person wherever one can, and what was answered."""
    event = {"user_id": PERSON, "item_id": "1", "type": "view", "context": {"note": NOTE}}
    bodies = [event, [event, {**event, "type": "no such type"}], {**event, "timestamp": PERSON}, {"user_id": PERSON}]
    answers = []
    with httpx.Client(base_url=copy.url, timeout=30, trust_env=False) as client:
        for sent in (key, GUESSED, copy.key + "x"):
            headers = {"Authorization": f"Bearer {sent}", "X-Request-Id": TRACED}
            answers += [
                client.request(method, path, headers=headers, json={"attributes": {"a": NOTE}})
                for method in ("GET", "PUT", "PATCH", "DELETE")
                for path in (f"/v1/users/{PERSON}", f"/v1/users/{PERSON}/{NOTE}", f"/v1/nowhere/{PERSON}")
            ]
            for path in ("/v1/events", "/v1/recommendations", "/v1/content", "/v1/chat/completions", "/v1/feedback"):
                answers += [client.post(path, headers=headers, json=body) for body in bodies]
                answers.append(client.post(path, headers=headers, content=f'{{"user_id": "{PERSON}"'))
            for path in ("/v1/recommendations", "/v1/users:export", "/v1/similar", "/v1/admin/audit"):
                answers.append(
                    client.get(path, headers=headers, params={"user_id": PERSON, "filter": f'a == "{PERSON}'})
                )
            answers.append(client.get("/v1/popular", headers={"Authorization": f"Basic {sent}"}))
            answers.append(client.get("/v1/popular", headers={"X-API-Key": sent, "Cookie": f"tailorbird={sent}"}))
            answers.append(client.get("/metrics", headers=headers))
    return [f"{answer.status_code} {answer.headers} {answer.text}" for answer in answers]


def logged(copy: Copy) -> dict[str, bytes]:
    """Every file that anything of the copy has logged to, and what it printed."""
    folders = (copy.state_dir / "logs", ray_temp_dir(copy.settings) / "session_latest" / "logs")
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    assert len(files) > 20
    return {str(path): path.read_bytes() for path in files} | {"printed": "".join(copy.printed).encode()}


def test_no_secret_and_no_person_is_in_a_log_or_an_answer(copy: Copy, postgres: Postgres) -> None:
    with copy.client() as client:
        made = client.post("/v1/admin/keys", json={"name": "shop", "scopes": ["read", "write", "admin"]})
        key = made.raise_for_status().json()["key"]
    answers = provoke(copy, key)
    postgres.stop()
    away = provoke(copy, key)
    postgres.start()
    end = time.monotonic() + 60
    with copy.client() as client:
        while client.post("/v1/events", json={"user_id": PERSON, "item_id": "1", "type": "view"}).status_code != 202:
            assert time.monotonic() < end, "the copy does not come back with its database"
            time.sleep(0.5)
    answers += provoke(copy, key)

    assert any(answer.startswith("503") for answer in away)
    assert not [answer for answer in answers + away if answer.startswith("500")]
    for told in (PASSWORD, SECRET, PSEUDONYMS, GUESSED, key, KEY, "psycopg", "Traceback", str(postgres.folder)):
        assert not [answer for answer in answers + away if told in answer], told
    files = logged(copy)
    for secret in (PASSWORD, SECRET, PSEUDONYMS, GUESSED, key, PERSON, NOTE):
        assert [name for name, text in files.items() if secret.encode() in text] == [], secret
    # The bootstrap key is printed for whoever starts the copy, and nowhere else.
    assert [name for name, text in files.items() if KEY.encode() in text and name != "printed"] == []


def test_the_log_says_why_and_for_which_request(copy: Copy) -> None:
    lines = [line for text in logged(copy).values() for line in text.decode(errors="replace").splitlines()]
    ours = [json.loads(line) for line in lines if line.startswith("{") and '"logger": "tailorbird' in line]
    said = [line["message"] for line in ours if line["logger"] == "tailorbird.store"]
    assert any(message.startswith("the database does not answer: ") and len(message) > 40 for message in said)
    traced = [line for line in ours if line.get("request_id") == TRACED and line["logger"] == "tailorbird.http"]
    assert any(line["message"].startswith("answered 503") for line in traced)
