"""A unit test cannot start Ray, and no test waits for the collector to go through what other files left alive."""

from __future__ import annotations

import gc
import os

import pytest

# A setting in the environment wins over one given in code: tests see none of the shell's.
for _name in [name for name in os.environ if name.startswith("TAILORBIRD_")]:
    del os.environ[_name]


@pytest.fixture(autouse=True, scope="module")
def _the_collector_looks_at_this_file_only() -> None:
    """After some hundred files one look at all of their objects takes a second of a test of time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _ray_only_in_integration_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the marker `integration`, `ray.init` raises."""
    if request.node.get_closest_marker("integration") is not None:
        return
    import ray

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("a unit test may not start Ray: mark it `integration`")

    monkeypatch.setattr(ray, "init", refuse)
