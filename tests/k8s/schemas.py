"""Strict validation of rendered objects: Kubernetes' schemas, KubeRay's, and small ones of what we render besides."""

from __future__ import annotations

import copy
import functools
import gzip
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

from tests.k8s.chart import ROOT, pod_templates

OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
"""The chart's kubeVersion begins at OLDEST."""

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def _closed(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


_METADATA = _closed("name labels", name={"type": "string"}, labels=_STRINGS, annotations=_STRINGS)

_OTHERS = {
    "ServiceMonitor": _closed(
        "selector endpoints",
        selector=_closed("matchLabels", matchLabels=_STRINGS),
        namespaceSelector=_closed("matchNames", matchNames={"type": "array", "items": {"type": "string"}}),
        podTargetLabels={"type": "array", "items": {"type": "string"}},
        endpoints={
            "type": "array",
            "items": _closed(
                "port", port={"type": "string"}, path={"type": "string"}, interval={"pattern": "^[0-9]+(ms|s|m)$"}
            ),
        },
    ),
    "PrometheusRule": _closed(
        "groups",
        groups={
            "type": "array",
            "minItems": 1,
            "items": _closed(
                "name rules",
                name={"type": "string"},
                rules={
                    "type": "array",
                    "minItems": 1,
                    "items": _closed(
                        "alert expr for labels annotations",
                        alert={"type": "string"},
                        expr={"type": "string"},
                        **{"for": {"pattern": "^[0-9]+(s|m|h)$"}},
                        labels=_STRINGS,
                        annotations=_STRINGS,
                    ),
                },
            ),
        },
    ),
    "HTTPRoute": _closed(
        "parentRefs rules",
        parentRefs={
            "type": "array",
            "minItems": 1,
            "items": _closed(
                "name",
                group={"type": "string"},
                kind={"type": "string"},
                name={"type": "string"},
                namespace={"type": "string"},
                sectionName={"type": "string"},
                port={"type": "integer"},
            ),
        },
        hostnames={"type": "array", "items": {"type": "string"}},
        rules={
            "type": "array",
            "items": _closed(
                "backendRefs",
                matches={
                    "type": "array",
                    "items": _closed(
                        path=_closed(
                            "type value",
                            type={"enum": ["Exact", "PathPrefix", "RegularExpression"]},
                            value={"type": "string"},
                        )
                    ),
                },
                timeouts=_closed(request={"pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}),
                backendRefs={
                    "type": "array",
                    "items": _closed("name port", name={"type": "string"}, port={"type": "integer"}),
                },
            ),
        },
    ),
}
"""Specs of kinds whose schemas come with neither package: from their API references, only what the chart renders."""


def crd_folder() -> Path | None:
    """Where KubeRay's schemas are: TB_CRD_DIR, or `shared/crds` beside the repository."""
    folder = Path(os.environ.get("TB_CRD_DIR") or ROOT.parent / "shared" / "crds")
    return folder if (folder / "rayservices.v1.schema.json.gz").is_file() else None


@functools.cache
def kuberay_validator(kind: str) -> jsonschema.Draft202012Validator:
    """By KubeRay's schema of a kind, unknown keys refused."""
    folder = crd_folder()
    assert folder is not None
    with gzip.open(folder / f"{kind.lower()}s.v1.schema.json.gz") as file:
        return jsonschema.Draft202012Validator(_strict(json.load(file)))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        node.setdefault("additionalProperties", False)
    return node


def check(thing: dict[str, Any]) -> None:
    """Validate an object strictly. Raises `jsonschema.ValidationError`.

    KubeRay's kinds are checked where their schemas are at hand; the pods inside them always, as Kubernetes' pods.
    """
    group = thing["apiVersion"].split("/")[0]
    if group == "ray.io":
        if crd_folder() is not None:
            kuberay_validator(thing["kind"]).validate(thing)
        for _, template in pod_templates(thing["spec"]):
            check(_as_pod(template))
    elif thing["kind"] in _OTHERS:
        top = _closed(
            "apiVersion kind metadata spec",
            apiVersion={"type": "string"},
            kind={"type": "string"},
            metadata=_METADATA,
            spec=_OTHERS[thing["kind"]],
        )
        jsonschema.Draft202012Validator(top).validate(thing)
    else:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(thing, version, strict=True)


def _as_pod(template: dict[str, Any]) -> dict[str, Any]:
    metadata = copy.deepcopy(template.get("metadata", {})) | {"name": "pod"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
