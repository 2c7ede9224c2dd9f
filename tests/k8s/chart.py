"""The chart as the tests see it: loaded and rendered by Helm's own engine."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "k8s" / "chart"
SCENARIOS = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))
RELEASE = "shop"
NAME = "shop-tailorbird"
NAMESPACE = "ns"

MINIMAL: Mapping[str, Any] = {
    "database": {"existingSecret": "db"},
    "apiKey": {"existingSecret": "api"},
    "artifacts": {"url": "s3://bucket/prefix"},
}
"""What has no default."""

Objects = dict[str, dict[str, Any]]
"""By template, without the folder and the ending."""


@functools.cache
def chart() -> helm.Chart:
    """The chart, loaded once."""
    return helm.Chart.load(CHART)


def scenario(name: str) -> dict[str, Any]:
    """The values of a scenario."""
    values: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}.yaml").read_text())
    return values


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values on top of values, as `helm -f a -f b` merges them."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in copy.deepcopy(dict(layer)).items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def texts(*layers: Mapping[str, Any], name: str = RELEASE) -> dict[str, str]:
    """Rendered text by template path below `templates/`. Fails where Helm does."""
    return dict(_rendered(json.dumps(merged(*layers), sort_keys=True), name))


@functools.cache
def _rendered(values: str, name: str) -> dict[str, str]:
    rendered = chart().render(json.loads(values), name=name, namespace=NAMESPACE)
    return {path.split("/templates/", 1)[1]: text for path, text in rendered.items()}


def render(*layers: Mapping[str, Any], name: str = RELEASE) -> Objects:
    """What the values make of the chart; each template makes one object or none."""
    objects: Objects = {}
    for path, text in texts(*layers, name=name).items():
        if not path.endswith(".yaml"):
            continue
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
        assert len(documents) <= 1, f"{path} makes {len(documents)} objects"
        if documents:
            objects[path.removesuffix(".yaml")] = documents[0]
    return objects


def minimal(*layers: Mapping[str, Any]) -> Objects:
    """The chart with the least values and these on top."""
    return render(MINIMAL, *layers)


def pod_templates(value: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod or pod template inside an object, with where it stands."""
    if isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and "containers" in spec:
            yield place, value
        for key, below in value.items():
            yield from pod_templates(below, f"{place}.{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from pod_templates(below, f"{place}[{index}]")
