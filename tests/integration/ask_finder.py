"""`python -m tests.integration.ask_finder`: asks the Finder of the running copy, as the routes do.

Reads lines `[tenant, text, n]` and answers each with a line: the ids and their cosines, best first.
"""

from __future__ import annotations

import asyncio
import json
import sys

from cluster.config import load_settings
from cluster.launch import attach_ray
from cluster.serve_app import APP_NAME
from deployments.finding import FinderClient


async def main() -> None:
    """Answer until the input ends."""
    settings = load_settings()
    attach_ray(settings)
    from ray import serve

    client = FinderClient(serve.get_deployment_handle("Finder", APP_NAME), settings.finder.timeout_s)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await client.search(*json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
