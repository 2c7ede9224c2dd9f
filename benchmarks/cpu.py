"""CPU time by what a process is: on a few cores the sum over all of them decides how many requests a second there are.

Processes of one Ray are told apart by what Ray calls them; the load generator is the process that asks.
"""

from __future__ import annotations

import os
from collections import Counter

import psutil

from cluster.launch import RayHead, ray_family

ROLES = (
    ("haproxy", "haproxy"),
    ("SessionShard", "shard"),
    ("ServeReplica", "ingress"),
    ("ServeController", "serve"),
    ("HAProxyManager", "serve"),
    ("ProxyActor", "serve"),
)
"""Part of a command line, and the role that it gives away; everything else is `ray`."""
BEHIND = (":Recommender", ":Writer", ":NoWriter", ":Finder")
"""Replicas that are not the ingress."""


class CpuMeter:
    """CPU seconds of each role since `start`. Processes that come after it was made are not seen."""

    def __init__(self, head: RayHead) -> None:
        assert head.info is not None
        family = ray_family(head.info.ray_pid, head.temp_dir)
        self._processes = {"load": [psutil.Process(os.getpid())]}
        for process in family:
            self._processes.setdefault(role_of(process), []).append(process)
        self._begin = self._used()

    def start(self) -> None:
        """Count from now."""
        self._begin = self._used()

    def seconds(self) -> Counter[str]:
        """CPU seconds, user and system, of each role."""
        return Counter({role: used - self._begin[role] for role, used in self._used().items()})

    def _used(self) -> Counter[str]:
        used: Counter[str] = Counter()
        for role, processes in self._processes.items():
            for process in processes:
                try:
                    times = process.cpu_times()
                except psutil.Error:
                    continue
                used[role] += times.user + times.system
        return used


def role_of(process: psutil.Process) -> str:
    """What a process of a Ray is."""
    try:
        line = " ".join([process.name(), *process.cmdline()])
    except psutil.Error:
        return "ray"
    for part in BEHIND:
        if part in line:
            return part[1:].lower()
    return next((role for part, role in ROLES if part in line), "ray")
