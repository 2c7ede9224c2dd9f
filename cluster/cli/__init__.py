"""The `tailorbird` command: start a copy, look at it, ask it, and send it jobs."""

from __future__ import annotations

from cluster.cli.app import main

__all__ = ["main"]
