"""Fixtures of the chart's tests."""

from __future__ import annotations

import pytest

from tests.k8s.schemas import crd_folder


@pytest.fixture
def kuberay_schemas() -> None:
    """Skip where KubeRay's schemas are not at hand."""
    if crd_folder() is None:
        pytest.skip("KubeRay's schemas are neither in TB_CRD_DIR nor in ../shared/crds")
