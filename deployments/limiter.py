"""Rates and quotas of keys, counted in a sliding window: in this replica's memory, or in Redis for all replicas.

What is left is told in the headers of the IETF draft: `RateLimit-Policy: "60s";q=100;w=60` is a rule, `RateLimit:
"60s";r=42;t=17` what is left of it and in how many seconds there is more. Redis that does not answer lets each replica
count for itself, and is asked again a little later: a limit is no reason not to serve.
"""

from __future__ import annotations

import asyncio
import logging
import time
from math import ceil
from typing import Any

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from ray.util.metrics import Counter
from redis.asyncio import ConnectionPool

from cluster.api_keys import Principal
from cluster.errors import OverloadError
from cluster.sections import LimitsConfig

log = logging.getLogger("tailorbird.access")

Headers = list[tuple[bytes, bytes]]

RETRY_SHARED_S = 5.0


class Limiter:
    """Belongs to one event loop."""

    def __init__(self, config: LimitsConfig) -> None:
        self._timeout_s = config.timeout_s
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._pool: ConnectionPool | None = None
        self._ask_shared_s = 0.0
        self._refused = Counter("tailorbird_rate_refusals", "Requests beyond the rate of their key.")
        self._alone = Counter("tailorbird_rates_unshared", "Times that Redis did not count, so each replica does.")
        if config.storage_url is not None:
            url = config.storage_url.get_secret_value()
            pool: Any = ConnectionPool.from_url(url)
            self._pool = pool
            storage = RedisStorage(
                f"async+{url}", implementation="redispy", key_prefix="tailorbird", connection_pool=pool
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def stop(self) -> None:
        """Let go of Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    async def admit(self, principal: Principal, headers: Headers) -> None:
        """Count one request. What is left is added to `headers`, also when it is refused.

        Raises:
            OverloadError: a rate is used up; it says when there is more.
        """
        try:
            await self._admit(principal, headers)
        except OverloadError:
            self._refused.inc()
            raise

    async def _admit(self, principal: Principal, headers: Headers) -> None:
        if self._shared is not None and time.monotonic() >= self._ask_shared_s:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await _count(self._shared, principal, headers)
                return
            except OverloadError:
                raise
            except Exception as error:  # redis-py has many; its messages may hold the address
                log.warning("Redis does not count rates, each replica counts for itself: %s", type(error).__name__)
                self._ask_shared_s = time.monotonic() + RETRY_SHARED_S
                self._alone.inc()
                headers.clear()
        await _count(self._own, principal, headers)


async def _count(limiter: SlidingWindowCounterRateLimiter, principal: Principal, headers: Headers) -> None:
    passed = True
    wait_s = 0.0
    for item in principal.limits:
        hit = await limiter.hit(item, principal.subject)
        window = await limiter.get_window_stats(item, principal.subject)
        left_s = max(0.0, window.reset_time - time.time())
        headers.append((b"ratelimit-policy", f'"{_name(item)}";q={item.amount};w={item.get_expiry()}'.encode()))
        headers.append((b"ratelimit", f'"{_name(item)}";r={max(0, window.remaining)};t={ceil(left_s)}'.encode()))
        if not hit:
            passed, wait_s = False, max(wait_s, left_s)
    if not passed:
        raise OverloadError("more requests than this key's rate allows", max(1.0, float(ceil(wait_s))))


def _name(item: RateLimitItem) -> str:
    return f"{item.get_expiry()}s"
