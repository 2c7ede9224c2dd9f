"""Dashboards and alerts ask only for metrics that exist: ours are found in the code, Ray's in the installed Ray."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from tests.k8s.chart import CHART, NAME, ROOT, minimal

PACKAGES = ("cluster", "graph", "generation", "deployments", "jobs")
ELSEWHERE = {"up", "kube_job_status_failed"}
"""Made by Prometheus and by kube-state-metrics."""
LEFT_OUT: dict[str, str] = {}
"""Metrics that no dashboard shows, and why."""
LABELS = {"action", "code", "direction", "kind", "method", "queue", "result", "route", "rule", "shard", "source"}
LABELS |= {"table", "tenant"}


def our_metrics() -> set[str]:
    """Names under which Prometheus sees the metrics that the code makes.

    Ray's agent puts `ray_` in front, `_total` behind a counter, and makes three series of a histogram.
    """
    return set().union(*(_exported(call) for call in _metric_calls()))


def _exported(call: ast.Call) -> set[str]:
    kind = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else next((word.value for word in call.keywords if word.arg == "name"), None)
    if kind not in {"Counter", "Gauge", "Histogram"} or not isinstance(first, ast.Constant):
        return set()
    name = f"ray_{first.value!s}"
    if kind == "Counter":
        return {f"{name.removesuffix('_total')}_total"}
    if kind == "Histogram":
        return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {name}


def _family(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


def _metric_calls() -> Iterator[ast.Call]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _exported(node):
                    yield node


def _labels(call: ast.Call) -> Iterator[str]:
    for given in call.args[1:]:
        if isinstance(given, ast.Tuple):
            yield from (str(label.value) for label in given.elts if isinstance(label, ast.Constant))
        elif isinstance(given, ast.Name) and given.id == "shard":
            yield "shard"


def selectors_of(expression: str) -> list[promql_parser.VectorSelector]:
    """The selectors of series in a PromQL expression. Raises ValueError when it is none."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    # Grafana fills this in.
    promql_parser.walk(promql_parser.parse(expression.replace("$__rate_interval", "5m")), visit)
    return found


def metrics_of(expression: str) -> set[str]:
    """Names of series in a PromQL expression."""
    return {str(selector.name) for selector in selectors_of(expression)}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            yield path.name, panel


def alerts() -> list[dict[str, Any]]:
    (group,) = minimal({"prometheusRule": {"enabled": True}})["prometheusrule"]["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def expressions() -> Iterator[tuple[str, str]]:
    for name, panel in panels():
        for target in panel["targets"]:
            yield f"{name}: {panel['title']}", target["expr"]
    for rule in alerts():
        yield rule["alert"], rule["expr"]


def ray_knows(name: str) -> bool:
    """Whether the installed Ray's code or programs hold a metric of this name."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0])
    files = [root / "_raylet.so", root / "core/src/ray/raylet/raylet", root / "core/src/ray/gcs/gcs_server"]
    files += [*(root / "dashboard").rglob("*.py"), *(root / "_private").rglob("*.py")]
    bare = name.removeprefix("ray_").encode()
    return any(bare in path.read_bytes() for path in files if path.is_file())


def test_the_scan_finds_what_is_exported() -> None:
    """As seen on the agent of a Ray 2.60 that ran these metrics."""
    assert {
        "ray_tailorbird_http_requests_total",
        "ray_tailorbird_http_request_seconds_bucket",
        "ray_tailorbird_version_load_seconds",
    } <= our_metrics()


def test_what_is_no_promql_is_found() -> None:
    assert metrics_of('sum by (le) (rate(a_total{x="b"}[$__rate_interval])) / max(c) > 0.5') == {"a_total", "c"}
    with pytest.raises(ValueError, match="unclosed"):
        metrics_of("sum(rate(a_total[5m])")


def test_our_metrics_in_dashboards_and_alerts_exist() -> None:
    known = our_metrics()
    for where, expression in expressions():
        ours = {name for name in metrics_of(expression) if "tailorbird" in name}
        assert ours <= known, f"{where} asks for {sorted(ours - known)}"


def test_every_metric_that_the_code_makes_is_on_a_dashboard() -> None:
    """Of a histogram one of its three series is enough."""
    shown = {name for _, panel in panels() for target in panel["targets"] for name in metrics_of(target["expr"])}
    missing = {_family(name) for name in our_metrics()} - {_family(name) for name in shown} - set(LEFT_OUT)
    assert not missing, f"on no dashboard: {sorted(missing)}; show them, or say in LEFT_OUT why not"
    assert not set(LEFT_OUT) - {_family(name) for name in our_metrics()}


def test_no_label_of_a_metric_can_name_a_person() -> None:
    """Labels are few and known: what a user, item or request is called is none of them."""
    assert {label for call in _metric_calls() for label in _labels(call)} == LABELS


def test_other_metrics_in_dashboards_and_alerts_exist() -> None:
    names = {name for _, expression in expressions() for name in metrics_of(expression) if "tailorbird" not in name}
    assert {name for name in names if not name.startswith("ray_")} <= ELSEWHERE
    assert [name for name in sorted(names) if name.startswith("ray_") and not ray_knows(name)] == []
    assert not ray_knows("ray_node_memory_that_is_not_measured")


def test_every_series_is_limited_to_the_release() -> None:
    for where, expression in expressions():
        for selector in selectors_of(expression):
            labels = {matcher.name for matcher in selector.matchers.matchers}
            if selector.name == "kube_job_status_failed":
                assert labels == {"namespace", "job_name"}
            else:
                assert {"namespace", "service"} <= labels, f"{where}: {selector.name}"


def test_alerts_say_what_they_mean() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert len(alerts()) >= 6
    assert re.findall(r"^### `(Tailorbird\w+)`$", guide, re.MULTILINE) == [rule["alert"] for rule in alerts()]
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")


def test_alerts_carry_the_limits_and_labels_of_the_values() -> None:
    values = {"prometheusRule": {"enabled": True, "maxErrorRatio": 0.25, "alertLabels": {"team": "a"}}}
    (group,) = minimal(values)["prometheusrule"]["spec"]["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert rules["TailorbirdErrors"]["expr"].endswith("> 0.25")
    assert f'service="{NAME}-metrics"' in rules["TailorbirdErrors"]["expr"]
    assert all(rule["labels"]["team"] == "a" for rule in rules.values())


@pytest.mark.parametrize("path", sorted((CHART / "dashboards").glob("*.json")), ids=lambda path: path.name)
def test_dashboards_are_whole(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"].startswith("tailorbird-") and board["title"].startswith("Tailorbird")
    names = [variable["name"] for variable in board["templating"]["list"]]
    assert names == ["datasource", "namespace", "service"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        covered = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not covered & cells, panel["title"]
        cells |= covered
        assert panel["targets"] and panel["fieldConfig"]["defaults"]["unit"]
