"""The OpenAPI document and the server that it describes: one on a port, asked what the document allows and forbids.

Only the writers are away, so texts are templates.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from unittest import SkipTest

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from cluster.config import Settings
from cluster.ports import free_ports
from cluster.sections import IngressConfig
from cluster.sessions.pool import SessionPool
from cluster.store import Store
from deployments.content_cache import CacheShard
from deployments.http_app import create_app
from deployments.services import Services
from tests.deployments.conftest import KEY, LocalShard
from tests.deployments.small_world import ITEMS, publish
from tests.deployments.test_tenants import AWAY

# Its own strategies ask the module `random`, in a thread of a server or not.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module:Warning")

UNWRITTEN = {"/v1/models", "/v1/models/{model}", "/metrics", "/v1/ops"}
"""What asks writers and agents of a Ray, and is tested on a whole copy."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a whole application on a port, in a thread with an event loop of its own."""
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("state")
    chosen = Settings(state_dir=folder, api_key=SecretStr(KEY), ingress=IngressConfig(timeout_s=8))
    with Store.open(chosen) as store:
        store.migrate()
        store.items.put(ITEMS)
        publish(store, folder)
    running = uvicorn.Server(uvicorn.Config("", host="127.0.0.1", port=port, log_level="error", lifespan="on"))

    def serve() -> None:
        async def main() -> None:
            shard = LocalShard(chosen)
            services = Services(chosen, AWAY, None, SessionPool(chosen, [shard]), [CacheShard(1 << 20)])
            running.config.app = create_app(services)
            await running.serve()
            await shard.stop()

        asyncio.run(main())

    thread = threading.Thread(target=serve)
    thread.start()
    while not running.started and thread.is_alive():
        thread.join(0.05)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(30)


def ask_everything(server: str, examples: int) -> int:
    """Ask each operation so many things that the document allows, and some that it does not. How many operations."""
    headers = {"Authorization": f"Bearer {KEY}"}
    document = schemathesis.openapi.from_url(f"{server}/openapi.json", headers=headers)
    operations = [found.ok() for found in document.get_all_operations()]
    operations = [operation for operation in operations if operation.path not in UNWRITTEN]
    faults = []
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            faults += ask(operation, mode, headers, examples)
    assert not faults, "\n\n".join(dict.fromkeys(faults))
    return len(operations)


def ask(
    operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode, headers: dict[str, str], examples: int
) -> list[str]:
    """Ask one operation; what was wrong with an answer."""
    faults: list[str] = []

    @seed(1)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case) -> None:
        answer = case.call(headers=headers, timeout=10)
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as failed:
            faults.append(f"{operation.label}: {failed}")

    with contextlib.suppress(Unsatisfiable, SkipTest):  # nothing can be wrong with a request that takes nothing
        run()
    return faults


def test_the_server_keeps_what_its_document_says(server: str) -> None:
    assert ask_everything(server, examples=2) > 30


@pytest.mark.slow
def test_the_server_keeps_what_its_document_says_at_length(server: str) -> None:
    assert ask_everything(server, examples=60) > 30
