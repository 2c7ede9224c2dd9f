"""The page of the API and its files, without a browser: open like the other pages, and from here alone."""

from __future__ import annotations

import re

import httpx
import pytest

NO_KEY = {"Authorization": ""}


async def test_the_page_is_open_and_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs", headers=NO_KEY)
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert all(target.startswith("/") and not target.startswith("//") for target in loaded), loaded
    for target in (target for target in loaded if target.startswith("/static/")):
        file = await client.get(target, headers=NO_KEY)
        assert file.status_code == 200 and len(file.content) > 100, target
        assert file.headers["content-security-policy"] == page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["redoc.standalone.js", "favicon.png", "..%2f__init__.py", "nothing"])
async def test_no_other_file_of_the_package_is_served(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/static/swagger/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect"])
async def test_the_frameworks_own_pages_are_gone(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_the_document_itself_takes_a_key(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi.json", headers=NO_KEY)).status_code == 401
    document = (await client.get("/openapi.json")).json()
    events = document["paths"]["/v1/events"]["post"]
    assert events["x-scope"] == "write" and "`write`" in events["description"]
    assert events["requestBody"]["content"]["application/json"]["examples"]
    assert {"401", "403", "413", "422", "429", "503"} <= events["responses"].keys()
    assert document["paths"]["/healthz/live"]["get"]["security"] == []
