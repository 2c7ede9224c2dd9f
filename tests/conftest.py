"""A unit test cannot start Ray: without the marker `integration`, `ray.init` raises."""

from __future__ import annotations

import os

import pytest

# A setting in the environment wins over one given in code: tests see none of the shell's.
for _name in [name for name in os.environ if name.startswith("TAILORBIRD_")]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def _ray_only_in_integration_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("integration") is not None:
        return
    import ray

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("a unit test may not start Ray: mark it `integration`")

    monkeypatch.setattr(ray, "init", refuse)
