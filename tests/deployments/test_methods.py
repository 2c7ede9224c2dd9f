"""What each path takes, and what is said of what it does not, on a whole ingress."""

from __future__ import annotations

import httpx
import pytest

ITEM = "/v1/items/loud/1"


@pytest.mark.parametrize(
    "path",
    ["/", "/ops", "/docs", "/static/docs.html", "/healthz/live", "/openapi.json", "/v1/items", ITEM, "/v1/popular"],
)
async def test_head_answers_wherever_get_does(client: httpx.AsyncClient, path: str) -> None:
    whole, head = await client.get(path), await client.head(path)
    assert whole.status_code == head.status_code == 200, (whole.text, head.text)
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [
        ("POST", ITEM, "GET, HEAD, PUT, PATCH, DELETE"),
        ("PUT", "/v1/recommendations", "GET, HEAD, POST"),
        ("GET", "/v1/events", "POST"),
        ("HEAD", "/v1/items:import", "POST"),
        ("DELETE", "/static/docs.html", "GET, HEAD"),
        ("POST", "/", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_those_that_are(
    client: httpx.AsyncClient, method: str, path: str, takes: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405 and answer.headers["allow"] == takes
    if method != "HEAD":
        assert answer.json()["detail"] == f"the method is not allowed: {path} takes {takes}"


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/chat/edits", "/v1/embeddings", "/v1/completions", "/v1/models/a/b"])
async def test_unknown_routes_of_openai_answer_in_openais_form(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={})
    assert answer.status_code in {404, 405} and answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_another_model_is_not_found_as_openai_says_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models/other")
    error = answer.json()["error"]
    assert answer.status_code == 404 and "'other'" in error["message"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "model_not_found", "model")
