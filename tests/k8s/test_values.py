"""Values: every one is commented, known to the schema and used; contradictions and SQLite are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import helm_python as helm
import pytest
import yaml

from tests.k8s.chart import CHART, MINIMAL, merged, render
from tests.k8s.settings_schema import SCHEMA, dumped, with_settings

FREE = {
    "affinity",
    "alertLabels",
    "annotations",
    "commonLabels",
    "egress.rules",
    "labels",
    "limits",
    "nodeSelector",
    "podAnnotations",
    "requests",
}
"""Mappings whose keys are the user's, by the end of their path."""


def defaults() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Paths of values that a user sets; `resources` and the like count as one."""
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and key not in {"resources", "launcherResources", *FREE}:
            yield from leaves(value, here)
        else:
            yield here


def test_every_value_is_commented() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    path: list[tuple[int, str]] = []
    commented: set[str] = set()
    for number, line in enumerate(lines):
        match = re.match(r"^( *)([A-Za-z][A-Za-z0-9]*|[a-z_]+):", line)
        if match is None:
            continue
        indent = len(match[1])
        path = [(depth, key) for depth, key in path if depth < indent] + [(indent, match[2])]
        block = number - 1
        while lines[block].lstrip().startswith("#"):
            if lines[block].lstrip().startswith("# -- "):
                commented.add(".".join(key for _, key in path))
            block -= 1
    assert set(leaves(defaults())) <= commented


def test_no_two_comments_are_the_same_by_mistake() -> None:
    """A comment that starts with `# --` stands directly above its value."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.lstrip().startswith("# -- "):
            below = number + 1
            while lines[below].lstrip().startswith("#"):
                assert not lines[below].lstrip().startswith("# -- "), f"line {below + 1}"
                below += 1
            assert lines[below].strip(), f"line {number + 1} comments nothing"


def test_every_value_is_used_in_a_template() -> None:
    folder = CHART / "templates"
    text = "".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file())
    for path in leaves(defaults()):
        if not path.startswith("settings."):
            assert re.search(rf"\b{path.rpartition('.')[2]}\b", text), path


def test_the_schema_is_closed_and_knows_every_value() -> None:
    top = schema()

    def resolved(node: dict[str, Any]) -> dict[str, Any]:
        return top["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    def walk(values: dict[str, Any], node: dict[str, Any], path: str) -> None:
        node = resolved(node)
        if any(path.endswith(free) for free in FREE) or "properties" not in node:
            assert any(path.endswith(free) for free in FREE), f"{path} is not described"
            return
        assert node["additionalProperties"] is False, f"{path or 'the top'} takes unknown keys"
        assert values.keys() <= node["properties"].keys(), path
        for key, value in values.items():
            if isinstance(value, dict):
                walk(value, node["properties"][key], f"{path}.{key}".lstrip("."))

    walk(defaults(), top, "")
    unused = top["properties"].keys() - defaults().keys()
    assert unused == {"global"}


def test_the_settings_part_of_the_schema_is_what_the_models_say() -> None:
    assert SCHEMA.read_text() == dumped(with_settings(schema())), (
        "settings have changed: run `python -m tests.k8s.settings_schema` and commit values.schema.json"
    )


def refused(values: dict[str, Any], words: str) -> None:
    """The schema or a template refuses these values with these words."""
    with pytest.raises(helm.HelmError, match=words):
        render(MINIMAL, values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"unknown": 1}, "'unknown' not allowed"),
        ({"serve": {"writer": {"replicas": 1}}}, "'replicas' not allowed"),
        ({"settings": {"writers": {}}}, "'writers' not allowed"),
        ({"settings": {"writer": {"min_replicas": 1}}}, "'min_replicas' not allowed"),
        ({"settings": {"database_url": "postgresql://h/d"}}, "'database_url' not allowed"),
        ({"settings": {"api_key": "12345678"}}, "'api_key' not allowed"),
        ({"settings": {"generation": {"quantisation": "nf4"}}}, "'quantisation' not allowed"),
        ({"settings": {"sessions": {"shards": 0}}}, "/settings/sessions/shards"),
        ({"cpuWorkers": {"minReplicas": "two"}}, "/cpuWorkers/minReplicas"),
        ({"cpuWorkers": {"resources": {"limits": {"memory": "lots"}}}}, "/cpuWorkers/resources/limits/memory"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"podDisruptionBudget": {"minAvailable": "50%"}}, "/podDisruptionBudget/minAvailable"),
        ({"extraEnv": [{"name": "TAILORBIRD_PORT", "value": "1"}]}, "/extraEnv/0/name"),
        ({"extraEnv": [{"name": "RAY_AUTH_MODE", "value": "disabled"}]}, "/extraEnv/0/name"),
        ({"refresh": {"args": ["; rm -rf /"]}}, "/refresh/args/0"),
        ({"podSecurity": {"runAsUser": 0}}, "/podSecurity/runAsUser"),
        ({"fullnameOverride": "1st"}, "/fullnameOverride"),
    ],
    ids=str,
)
def test_the_schema_refuses(values: dict[str, Any], words: str) -> None:
    refused(values, re.escape(words))


@pytest.mark.parametrize("url", ["sqlite:///tailorbird.db", "sqlite+pysqlite:////data/x.db", "mysql://h/d", "file.db"])
def test_sqlite_and_other_databases_are_refused(url: str) -> None:
    refused({"database": {"existingSecret": "", "url": url}}, "/database/url")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"database": {"existingSecret": ""}}, "exactly one of database.url"),
        ({"database": {"url": "postgresql://u:p@h/d"}}, "exactly one of database.url"),
        ({"postgresql": {"enabled": True, "password": "a"}}, "exactly one of database.url"),
        ({"database": {"existingSecret": ""}, "postgresql": {"enabled": True}}, "postgresql.password"),
        ({"apiKey": {"existingSecret": ""}}, "exactly one of apiKey.value"),
        ({"apiKey": {"value": "long-enough"}}, "exactly one of apiKey.value"),
        ({"artifacts": {"url": ""}}, "exactly one of artifacts.url"),
        ({"artifacts": {"persistence": {"enabled": True}}}, "exactly one of artifacts.url"),
        ({"gcsFaultTolerance": {"enabled": True}}, "gcsFaultTolerance.redisAddress"),
        ({"upgrade": {"type": "NewClusterWithIncrementalUpgrade"}}, "gatewayClassName"),
        (
            {
                "upgrade": {
                    "type": "NewClusterWithIncrementalUpgrade",
                    "incremental": {"gatewayClassName": "istio"},
                },
                "ingress": {"enabled": True, "host": "example.com"},
            },
            "turn ingress and httpRoute off",
        ),
        ({"cpuWorkers": {"minReplicas": 0, "maxReplicas": 0}}, "nothing can serve"),
        ({"cpuWorkers": {"minReplicas": 9}}, "cpuWorkers.minReplicas is 9 and cpuWorkers.maxReplicas is 6"),
        ({"serve": {"writer": {"minReplicas": 5}}}, "serve.writer.minReplicas is 5"),
        ({"gpuWorkers": {"enabled": True}, "autoscaler": {"enabled": False}}, "no GPU would ever come"),
        ({"serve": {"drainS": 90}}, "terminationGracePeriodS is 90"),
        ({"ingress": {"enabled": True}}, "ingress.host"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"serviceAccount": {"create": False}}, "set serviceAccount.name"),
    ],
    ids=str,
)
def test_contradictions_are_refused_in_words(values: dict[str, Any], words: str) -> None:
    refused(values, re.escape(words))


def test_what_has_no_default_is_asked_for() -> None:
    for missing in MINIMAL:
        with pytest.raises(helm.HelmError, match="exactly one of"):
            render({key: value for key, value in merged(MINIMAL).items() if key != missing})
