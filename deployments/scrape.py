"""What the Ray agents of the nodes export, as text, and as figures that can be added up over nodes and processes."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from cluster.errors import UnavailableError

TIMEOUT_S = 10.0
PREFIX = "tailorbird_"
_EXPORTED = ("ray_" + PREFIX, PREFIX)
"""Ray puts its own prefix before a metric's name."""

Labels = tuple[tuple[str, str], ...]


Histogram = list[list[float | None]]
"""`[[bound, count], ...]`, cumulative, by upper bound (s) as Prometheus has them; the last bound is None: infinity."""


class Figures:
    """Sums over everything that was scraped, by metric and the labels that matter."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sums: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        for text in texts:
            for family in text_string_to_metric_families(text):
                if not family.name.startswith(_EXPORTED):
                    continue
                for sample in family.samples:
                    labels = tuple(sorted(sample.labels.items()))
                    self._sums[sample.name.removeprefix("ray_")][labels] += sample.value

    def by(self, metric: str, *labels: str) -> dict[Any, float]:
        """The metric's sums by a label's value (a tuple of values for several)."""
        found: dict[Any, float] = defaultdict(float)
        for pairs, value in self._sums.get(metric, {}).items():
            named = dict(pairs)
            key = tuple(named.get(label, "") for label in labels)
            found[key[0] if len(labels) == 1 else key] += value
        return dict(found)

    def total(self, metric: str) -> float:
        """The sum over all labels."""
        return sum(self._sums.get(metric, {}).values())

    def histograms(self, metric: str, label: str) -> dict[str, Histogram]:
        """A histogram for each value of the label."""
        found: dict[str, Histogram] = defaultdict(list)
        buckets = self.by(f"{metric}_bucket", label, "le")
        for value, bound in sorted(buckets, key=lambda key: (key[0], float(key[1]))):
            found[value].append([None if float(bound) == math.inf else float(bound), buckets[value, bound]])
        return dict(found)


def agent_urls(here_only: bool = False) -> list[str]:
    """Where the agents of the living nodes export (of this node only, if so asked).

    Raises:
        UnavailableError: Ray does not know this node.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    urls = [
        f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        for node in ray.nodes()
        if node["Alive"] and (not here_only or node["NodeID"] == here)
    ]
    if not urls:
        raise UnavailableError("this node is not known to Ray")
    return urls


async def scrape(url: str) -> httpx.Response:
    """One agent's answer.

    Raises:
        UnavailableError: it does not answer.
    """
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(url)
        return answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError("a node's metrics agent does not answer") from error


async def all_figures() -> tuple[Figures, int]:
    """Sums over all nodes that answer, and how many nodes did not."""
    urls = await asyncio.to_thread(agent_urls)
    answers = await asyncio.gather(*(scrape(url) for url in urls), return_exceptions=True)
    texts = [answer.text for answer in answers if isinstance(answer, httpx.Response)]
    figures = await asyncio.to_thread(Figures, texts)
    return figures, len(urls) - len(texts)
