"""Nonsense against the running copy: each gets its 4xx with the place, none a 5xx, and nothing is half-loaded."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.integration

GOOD = {"user_id": "u", "item_id": "1", "type": "view"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"events": [', 400),
        (b"NaN", 400),
        (b'{"user_id": "u", "item_id": "1", "type": "rating", "value": NaN}', 400),
        (b"{}", 422),
        (b"[]", 422),
        (b'{"events": []}', 422),
        (b'{"events": {}}', 422),
        (b'"event"', 422),
        (b"7", 422),
        (b"null", 422),
        (b'{"events": [], "more": 1}', 422),
        (b'{"user_id": "u", "item_id": "1", "type": "No Such Type"}', 422),
        (b'{"user_id": "u", "item_id": "1", "type": "view", "colour": "red"}', 422),
        (b'{"user_id": 42, "item_id": "1", "type": "view"}', 422),
        (b'{"user_id": "u", "item_id": "1", "type": "view", "timestamp": -5}', 422),
        (b'{"user_id": "u", "item_id": "1", "type": "view", "timestamp": 1e300}', 422),
        (b'{"user_id": "", "item_id": "1", "type": "view"}', 422),
        (b'{"user_id": "\\ud800", "item_id": "1", "type": "view"}', 400),
        (b'{"user_id": "a\\u0000b", "item_id": "1", "type": "view"}', 422),
        (b'{"user_id": "' + b"x" * 10_000 + b'", "item_id": "1", "type": "view"}', 422),
        (b"[" * 5000, 400),
        (b'[{"a":' * 5000, 400),
        (b" " * 10_000_001, 413),
    ],
)
def test_events(api: httpx.Client, body: bytes, status: int) -> None:
    answer = api.post("/v1/events", content=body)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_in_a_batch_the_good_ones_count_and_each_bad_one_is_named(api: httpx.Client) -> None:
    ahead = time.time() + 2 * 86_400
    batch: list[Any] = [GOOD, {**GOOD, "timestamp": ahead}, 7, {**GOOD, "value": "much"}, {**GOOD, "item_id": "新的"}]
    answer = api.post("/v1/events", json={"events": batch})
    assert answer.status_code == 202
    document = answer.json()
    assert document["accepted"] == 2
    assert [entry["loc"] for entry in document["rejected"]] == [
        ["events", 1, "timestamp"],
        ["events", 2],
        ["events", 3, "value"],
    ]
    assert all(entry["msg"] for entry in document["rejected"])


def test_more_than_a_thousand_events_are_refused_whole(api: httpx.Client) -> None:
    assert api.post("/v1/events", json=[GOOD] * 1001).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        ("/v1/recommendations", {"user_id": "u", "n": 0}, ["n"]),
        ("/v1/recommendations", {"user_id": "u", "n": 10_000}, ["n"]),
        ("/v1/recommendations", {"user_id": "u", "n": 1.5}, ["n"]),
        ("/v1/recommendations", {"user_id": "u", "m": 1}, ["m"]),
        ("/v1/recommendations", {"user_id": "x" * 10_000}, ["user_id"]),
        ("/v1/recommendations", {"user_id": 42}, ["user_id"]),
        ("/v1/recommendations", {"session": []}, ["session"]),
        ("/v1/recommendations", {"session": [{"item_id": "1", "type": "X"}]}, ["session", 0, "type"]),
        ("/v1/recommendations", {"user_id": "u", "diversity": 2}, ["diversity"]),
        ("/v1/content", {"kind": "sonnet", "item_id": "50"}, ["kind"]),
        ("/v1/content", {"kind": "pitch", "item_ids": []}, ["item_ids"]),
        ("/v1/content", {"kind": "pitch", "item_id": "50", "max_tokens": 0}, ["max_tokens"]),
        ("/v1/content", {"kind": "pitch", "item_id": "50", "temperature": -1}, ["temperature"]),
        ("/v1/content", {"kind": "pitch"}, []),
    ],
)
def test_requests(api: httpx.Client, path: str, body: dict[str, Any], loc: list[str | int]) -> None:
    answer = api.post(path, json=body)
    assert answer.status_code == 422, answer.text[:500]
    assert answer.json()["errors"][0]["loc"] == loc


@pytest.mark.parametrize("query", ["n=0", "n=10000", "n=many", "n=NaN"])
def test_queries(api: httpx.Client, query: str) -> None:
    for path in ("/v1/popular?", "/v1/similar?item_id=50&", "/v1/recommendations?user_id=1&"):
        assert api.get(path + query).status_code == 422


def test_missing_parameters_and_unknown_items(api: httpx.Client) -> None:
    assert api.get("/v1/similar").status_code == 422
    assert api.get("/v1/similar", params={"item_id": "no-such"}).status_code == 404
    assert api.get("/v1/recommendations").status_code == 422
    assert api.get("/v1/nowhere").status_code == 404
    assert api.get("/static/../services.py").status_code == 404
    assert api.get("/static/%2e%2e/services.py").status_code == 404


@pytest.mark.parametrize("path", ["/v1/popular", "/metrics", "/openapi.json", "/v1/models", "/v1/similar"])
def test_without_a_key(api: httpx.Client, path: str) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer nonsense"}, {"Authorization": b"Bearer \xff\xfe"}):
        assert api.get(path, headers=headers).status_code == 401


def test_health_and_the_page_need_no_key(api: httpx.Client) -> None:
    for path in ("/healthz/live", "/healthz/ready", "/", "/docs"):
        assert api.get(path, headers={"Authorization": ""}).status_code == 200
