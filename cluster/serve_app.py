"""The Serve application of a running Ray: deployed through Serve's REST API, watched, and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import yaml

from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.launch import ROOT, RunInfo, dashboard_client

APP_NAME = "tailorbird"
CONFIG_FILE = ROOT / "deployments" / "serve.yaml"
INGRESS = "Ingress"
_API = "/api/serve/applications/"


def serve_config(settings: Settings) -> dict[str, Any]:
    """The repository's Serve config with the host and port of the settings."""
    config: dict[str, Any] = yaml.safe_load(CONFIG_FILE.read_text(encoding="utf-8"))
    config["http_options"] |= {"host": settings.host, "port": settings.port}
    return config


def deploy(info: RunInfo, settings: Settings) -> None:
    """Ask Serve to deploy the application; it comes up in the background.

    Raises:
        UnavailableError: Serve refused the config.
    """
    with dashboard_client(info, timeout_s=60) as client:
        answer = client.put(_API, json=serve_config(settings))
    if answer.status_code != 200:
        raise UnavailableError(f"Serve refused the application: {answer.status_code} {answer.text[:500]}")


def resize(info: RunInfo, settings: Settings, shards: int) -> None:
    """Ask the running application to go over to another number of session shards, while it serves.

    Only `user_config` of the ingress changes, so Serve replaces no replica; it says `DEPLOYING` until all are over.

    Raises:
        UnavailableError: nothing is deployed, or Serve refused the config.
    """
    config = serve_config(settings)
    with dashboard_client(info, timeout_s=60) as client:
        found = client.get(_API)
        deployed = found.json().get("applications", {}).get(APP_NAME, {}) if found.status_code == 200 else {}
        if not deployed.get("deployed_app_config"):
            raise UnavailableError("the application is not deployed")
        app: dict[str, Any] = deployed["deployed_app_config"]
        others = [entry for entry in app.get("deployments", []) if entry["name"] != INGRESS]
        app["deployments"] = [*others, {"name": INGRESS, "user_config": {"session_shards": shards}}]
        config["applications"] = [app]
        answer = client.put(_API, json=config)
    if answer.status_code != 200:
        raise UnavailableError(f"Serve refused the change: {answer.status_code} {answer.text[:500]}")


def undeploy(info: RunInfo, settings: Settings, timeout_s: float) -> bool:
    """Have Serve end the application in order: no new requests, those in work are answered, what waits is written.

    The proxy goes on until the end (Serve's own shutdown would end it first, and cut off what is in work).

    Returns:
        Whether it was gone in time.
    """
    end = time.monotonic() + timeout_s
    with suppress(httpx.HTTPError), dashboard_client(info, timeout_s=timeout_s) as client:
        client.put(_API, json=serve_config(settings) | {"applications": []})
        while time.monotonic() < end:
            if not client.get(_API, timeout=2).json().get("applications"):
                return True
            time.sleep(0.1)
    return False


def application_state(info: RunInfo) -> tuple[str, str, dict[str, str]]:
    """Status, message and the status of each deployment."""
    with dashboard_client(info, timeout_s=10) as client:
        answer = client.get(_API)
    answer.raise_for_status()
    app = answer.json().get("applications", {}).get(APP_NAME, {})
    deployments = {name: part.get("status", "?") for name, part in app.get("deployments", {}).items()}
    return app.get("status", "NOT_STARTED"), app.get("message", ""), deployments


def wait_until_running(info: RunInfo, alive: Callable[[], bool], timeout_s: float, said: Callable[[str], None]) -> None:
    """Wait until every deployment is healthy. `said` is told each change of state.

    Raises:
        UnavailableError: Ray ended, the deployment failed, or time ran out.
    """
    end = time.monotonic() + timeout_s
    last = ""
    while time.monotonic() < end:
        if not alive():
            raise UnavailableError("Ray ended while the application was starting")
        try:
            status, message, deployments = application_state(info)
        except httpx.HTTPError as error:
            status, message, deployments = "UNKNOWN", str(error), {}
        if status == "RUNNING":
            return
        if status in {"DEPLOY_FAILED", "UNHEALTHY"}:
            raise UnavailableError(f"the application did not start: {message.strip()}")
        now = ", ".join(f"{name} {state.lower()}" for name, state in sorted(deployments.items()))
        if now and now != last:
            said(now)
            last = now
        time.sleep(0.3)
    raise UnavailableError(f"the application was not ready within {timeout_s:.0f} s ({last})")


def wait_until_answering(url: str, key: str, alive: Callable[[], bool], timeout_s: float, need_version: bool) -> str:
    """Wait for a real, authenticated answer, and return the model version that it carries.

    Before routes are loaded the proxy answers 404 on its own, so health is not enough.

    Raises:
        UnavailableError: no such answer in time.
    """
    end = time.monotonic() + timeout_s
    last = "no answer"
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False) as client:
        while time.monotonic() < end and alive():
            try:
                answer = client.get("/v1/popular", params={"n": 1})
                last = f"{answer.status_code} {answer.text[:200]}"
                if answer.status_code == 200:
                    version = str(answer.json().get("model_version"))
                    if version != "none" or not need_version:
                        return version
            except (httpx.HTTPError, ValueError) as error:
                last = repr(error)
            time.sleep(0.1)
    raise UnavailableError(f"{url} does not answer as it should: {last}")
