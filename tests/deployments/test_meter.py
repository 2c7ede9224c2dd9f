"""What a replica tells of itself: figures for every gauge, ages that grow while the store is away, counts of acts."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from ray.util import metrics

from cluster.errors import UnavailableError
from deployments.meter import IngressMeter
from deployments.services import Services

App = tuple[httpx.AsyncClient, Services]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What metrics are told, by name and labels."""
    told: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}

    def inc(self: metrics.Counter, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
        of = told.setdefault(str(self.info["name"]), {})
        labels = tuple(sorted((tags or {}).items()))
        of[labels] = of.get(labels, 0.0) + value

    monkeypatch.setattr(metrics.Counter, "inc", inc)
    return told


def test_every_gauge_has_its_figure(app: App) -> None:
    figures, waiting = app[1]._figures()
    IngressMeter().record(figures, waiting)
    assert figures["catalogue_items"] == 40 and figures["keys"] == 0 and figures["in_work"] == 0
    assert waiting == {"events": 0, "sessions": 0, "ranking": 0}
    assert figures["catalogue_age_s"] < 1 and figures["keys_age_s"] < 1


async def test_ages_grow_while_the_store_is_away_and_fall_when_it_is_back(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = app[1]

    def away(*_: Any) -> Any:
        raise UnavailableError("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr(services.store.items, "changes", away)
        broken.setattr(services.store.api_keys, "version", away)
        await asyncio.sleep(0.9)
        figures, _ = services._figures()
        assert figures["catalogue_age_s"] > 0.5 and figures["keys_age_s"] > 0.5
    await asyncio.sleep(0.6)
    figures, _ = services._figures()
    assert figures["catalogue_age_s"] < 0.6 and figures["keys_age_s"] < 0.6


async def test_what_an_admin_does_and_what_exceeds_a_rate_is_counted(app: App, counted: dict[str, Any]) -> None:
    client, services = app
    made = (await client.post("/v1/admin/keys", json={"name": "a", "scopes": ["read"], "limits": ["2/minute"]})).json()
    await services.keys.refresh()
    headers = {"Authorization": f"Bearer {made['key']}"}
    codes = [(await client.get("/v1/popular", headers=headers)).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    await client.get("/v1/users:export", params={"user_id": "u"})
    await client.delete("/v1/users/u")
    await client.delete(f"/v1/admin/keys/{made['key_id']}")
    acts = {labels[0][1]: count for labels, count in counted["tailorbird_admin_acts"].items()}
    assert acts == {"key.create": 1, "user.export": 1, "user.erase": 1, "key.revoke": 1}
    assert counted["tailorbird_rate_refusals"] == {(): 2}


async def test_a_list_without_the_session_is_counted(
    app: App, counted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, services = app

    async def away(*_: Any, **__: Any) -> Any:
        raise UnavailableError("no shard")

    await client.post("/v1/recommendations", json={"user_id": "u"})
    assert "tailorbird_lists_degraded" not in counted
    monkeypatch.setattr(services.pool, "view", away)
    answer = await client.post("/v1/recommendations", json={"user_id": "u"})
    assert answer.json()["degraded"] and counted["tailorbird_lists_degraded"] == {(): 1}
