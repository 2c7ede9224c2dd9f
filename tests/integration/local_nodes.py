"""A cloud of one machine for Ray's autoscaler: its nodes are `RayNode`s. Runs in the autoscaler's process on the head.

Ray's own `AutoscalingCluster` does the same with nodes that share a state directory, and ends every Ray of the machine
(`ray stop`) before it starts one.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

from tests.integration.nodes import RayNode

HEAD = "head"
HEAD_ENVIRONMENT = {
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": HEAD,
    "RAY_NODE_TYPE_NAME": HEAD,
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}
"""What the head's Ray needs to know itself."""


def write_config(file: Path, temp_dir: Path, folder: Path, kinds: Mapping[str, Mapping[str, Any]], idle_s: int) -> None:
    """The file of `ray start --autoscaling-config`.

    Args:
        temp_dir: the head's. folder: where nodes have their state and logs.
        kinds: of each kind of node `resources`, `min_workers` and `max_workers`.
        idle_s: after so many seconds without work a node goes.
    """
    provider = {"type": "external", "module": f"{__name__}.{LocalNodes.__name__}", "disable_node_updaters": True}
    none = {"resources": {"CPU": 1}, "min_workers": 0, "max_workers": 0}
    config = {
        "cluster_name": "local",
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "cluster_synced_files": [],
        "max_workers": sum(kind["max_workers"] for kind in kinds.values()),
        "idle_timeout_minutes": idle_s / 60,
        "provider": provider | {"temp_dir": str(temp_dir), "folder": str(folder)},
        "head_node_type": HEAD,
        "available_node_types": {
            name: {"node_config": {}} | dict(kind) for name, kind in ({HEAD: none} | dict(kinds)).items()
        },
    }
    file.write_text(json.dumps(config))


class LocalNodes(NodeProvider):
    """Starts and ends nodes. An id is that of the process `ray start`, of the head it is `HEAD`."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        (self._address,) = (word.partition("=")[2] for word in sys.argv if word.startswith("--gcs-address="))
        self._temp_dir, self._folder = Path(provider_config["temp_dir"]), Path(provider_config["folder"])
        self._numbers = itertools.count(1)
        self._nodes: dict[str, RayNode] = {}
        self._tags = {
            HEAD: {
                TAG_RAY_NODE_KIND: NODE_KIND_HEAD,
                TAG_RAY_USER_NODE_TYPE: HEAD,
                TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
            }
        }
        self._lock = threading.RLock()

    def non_terminated_nodes(self, tag_filters: Mapping[str, str]) -> list[str]:
        """Ids of the nodes that have these tags."""
        with self._lock:
            return [node_id for node_id, tags in self._tags.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        """Whether it is there."""
        return node_id in self._tags

    def is_terminated(self, node_id: str) -> bool:
        """Whether it is gone."""
        return node_id not in self._tags

    def node_tags(self, node_id: str) -> dict[str, str]:
        """What the autoscaler has tagged it with."""
        with self._lock:
            return dict(self._tags[node_id])

    def set_node_tags(self, node_id: str, tags: Mapping[str, str]) -> None:
        """Tag it."""
        with self._lock:
            self._tags[node_id] |= tags

    def internal_ip(self, node_id: str) -> str:
        """Its address."""
        return "127.0.0.1" if node_id == HEAD else f"127.0.0.{int(node_id.removeprefix('node-')) + 1}"

    external_ip = internal_ip

    def create_node_with_resources_and_labels(
        self,
        node_config: Mapping[str, Any],
        tags: Mapping[str, str],
        count: int,
        resources: Mapping[str, float],
        labels: Mapping[str, str],
    ) -> None:
        """Start so many; known at once, for the autoscaler waits for Ray on them by itself."""
        for _ in range(count):
            with self._lock:
                number = next(self._numbers)
                node_id = f"node-{number}"
                self._tags[node_id] = dict(tags) | {TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}
            own = {"RAY_CLOUD_INSTANCE_ID": node_id, "RAY_NODE_TYPE_NAME": tags[TAG_RAY_USER_NODE_TYPE]}
            try:
                self._nodes[node_id] = RayNode(
                    os.getpid(), self._address, number, resources["CPU"], self._temp_dir, self._folder, own
                )
            except BaseException:
                del self._tags[node_id]
                raise

    def terminate_node(self, node_id: str) -> None:
        """End it and all of its processes."""
        with self._lock:
            self._tags.pop(node_id, None)
            node = self._nodes.pop(node_id, None)
        if node is not None:
            node.kill()

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return cluster_config


def nodes_of(ray_pid: int) -> dict[str, psutil.Process]:
    """The nodes that run beside a head, by their addresses: the process `ray start` of each."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.Process(ray_pid).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "ray.scripts.scripts" in words:
            found |= {word.partition("=")[2]: process for word in words if word.startswith("--node-ip-address=")}
    return found
