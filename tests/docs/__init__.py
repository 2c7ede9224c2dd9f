"""Tests of `deployments` without Ray's processes. Ray's own modules warn when they are imported; ours must not."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray.serve  # noqa: F401
