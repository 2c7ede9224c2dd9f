"""`python -m benchmarks.access`: what access costs each request, in microseconds of CPU. Prints one JSON line.

    --seconds 0.5        per measurement; the least of five counts
    --keys 1000          API keys that the replica knows

Measured is what a request really passes (`Access.enter`): an API key, the same with two rates, the page's session. Then
what personal data costs: the pseudonym of a user id, and sealing a context. The peer is what nobody can do without: the
`hmac.compare_digest` of two digests, called in the same way.

CPU time and not time on the wall, so that a busy machine says the same as an idle one.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import platform
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cluster.api_keys import KeyTable, new_key
from cluster.cipher import FieldCipher
from cluster.config import Settings
from cluster.identity import Identity
from deployments.access import Access
from deployments.limiter import Limiter
from deployments.page_session import PageSessions

REPEATS = 5
CALLS = 200
"""Between two looks at the clock."""
REQUEST = {"type": "http", "method": "POST", "path": "/v1/recommendations"}


async def least_us(call: Callable[[], Awaitable[Any]], seconds: float) -> float:
    """Microseconds of CPU of one call: the least of several measurements."""
    found = []
    for _ in range(REPEATS):
        calls, began = 0, time.process_time()
        while time.process_time() - began < seconds / REPEATS:
            for _ in range(CALLS):
                await call()
            calls += CALLS
        found.append((time.process_time() - began) / calls * 1e6)
    return round(min(found), 2)


def entering(access: Access, headers: dict[bytes, bytes]) -> Callable[[], Awaitable[Any]]:
    """A request with these headers, on its way in."""

    async def enter() -> Any:
        return await access.enter(dict(REQUEST), headers)

    return enter


def plain(work: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """The same for what does not wait."""

    async def call() -> Any:
        return work()

    return call


async def measure(folder: Path, seconds: float, count: int) -> dict[str, float]:
    """All figures, by what was measured."""
    settings = Settings(
        state_dir=folder,
        api_key=SecretStr("the-bootstrap-key-of-a-benchmark"),
        pseudonymise_key=SecretStr("the-key-of-pseudonyms-of-a-benchmark"),
        encryption_keys=[SecretStr("the-key-that-seals-texts-of-a-benchmark")],
    )
    table = KeyTable(settings)
    made = [new_key(table.hasher, "acme", f"key {n}", ["read", "write"]) for n in range(count)]
    rates = ["1000000000/second", "1000000000000/day"]
    limited = new_key(table.hasher, "acme", "limited", ["read"], rates)
    table.load([stored for _, stored in [*made, limited]])
    sessions = PageSessions(settings, table)
    access = Access(table, settings.tenant, sessions, None, Limiter(settings.limits))
    value, token, _ = sessions.begin(made[0][1].key_id)
    cookie = {b"cookie": f"{sessions.cookie}={value}".encode(), b"x-csrf-token": token.encode()}
    digest = made[0][1].digest
    identity, cipher = Identity.of(settings), FieldCipher(settings)
    context = json.dumps({"page": "home", "position": 3, "campaign": "spring"})

    def bearer(key: str) -> dict[bytes, bytes]:
        return {b"authorization": f"Bearer {key}".encode()}

    return {
        "peer_compare_digest_us": await least_us(plain(lambda: hmac.compare_digest(digest, digest)), seconds),
        "key_us": await least_us(entering(access, bearer(made[-1][0])), seconds),
        "key_with_two_rates_us": await least_us(entering(access, bearer(limited[0])), seconds),
        "page_session_us": await least_us(entering(access, cookie), seconds),
        "pseudonym_us": await least_us(plain(lambda: identity.stored("acme", "a-user-id-of-a-usual-length")), seconds),
        "seal_us": await least_us(plain(lambda: cipher.seal(context)), seconds),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--keys", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(Path(folder), arguments.seconds, arguments.keys))
    line: dict[str, Any] = {"benchmark": "access", "keys": arguments.keys, **figures}
    print(json.dumps(line | {"cpus": os.cpu_count(), "machine": platform.machine()}))


if __name__ == "__main__":
    main()
