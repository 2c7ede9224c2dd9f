"""Every scenario of `k8s/chart/ci` is linted, rendered and validated, object by object and pod by pod."""

from __future__ import annotations

import json
from typing import Any

import helm_python as helm
import jsonschema
import pytest

from tests.k8s.chart import CHART, MINIMAL, NAME, NAMESPACE, SCENARIOS, merged, pod_templates, render, scenario, texts
from tests.k8s.schemas import check

ALL = [*SCENARIOS, "minimal"]


def values_of(name: str) -> dict[str, Any]:
    return merged(MINIMAL) if name == "minimal" else scenario(name)


def objects_of(name: str) -> list[tuple[str, dict[str, Any]]]:
    """What a scenario makes, and the RayJob that its CronJob would make."""
    objects = render(values_of(name))
    found = list(objects.items())
    if "refresh-configmap" in objects:
        job = json.loads(objects["refresh-configmap"]["data"]["rayjob.json"])
        found.append(("rayjob.json", job))
    return found


def test_the_promised_scenarios_are_there() -> None:
    assert {"laptop", "one-gpu", "production"} <= set(SCENARIOS)


@pytest.mark.parametrize("name", ALL)
def test_lint_has_nothing_to_say(name: str) -> None:
    report = helm.lint(CHART, values_of(name), strict=True, namespace=NAMESPACE)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("name", ALL)
def test_every_object_is_valid(name: str) -> None:
    for where, thing in objects_of(name):
        try:
            check(thing)
        except jsonschema.ValidationError as error:
            pytest.fail(f"{where}: {error.json_path}: {error.message}")


@pytest.mark.usefixtures("kuberay_schemas")
def test_the_validation_finds_a_wrong_key() -> None:
    service = render(MINIMAL)["rayservice"]
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParam"] = {}
    with pytest.raises(jsonschema.ValidationError, match="rayStartParam"):
        check(service)
    policy = render(MINIMAL)["networkpolicy"]
    policy["spec"]["ingresses"] = []
    with pytest.raises(jsonschema.ValidationError, match="ingresses"):
        check(policy)


@pytest.mark.parametrize("name", ALL)
def test_every_pod_keeps_to_the_restricted_level(name: str) -> None:
    pods = [(f"{where}{place}", pod) for where, thing in objects_of(name) for place, pod in pod_templates(thing)]
    assert len(pods) >= 4
    for where, pod in pods:
        assert restricted(pod["spec"]) == [], where


def test_the_container_that_kuberay_adds_for_the_autoscaler_does_too() -> None:
    """What KubeRay adds for waiting on workers copies the security of the first container."""
    cluster = render(MINIMAL)["rayservice"]["spec"]["rayClusterConfig"]
    pod = cluster["headGroupSpec"]["template"]["spec"]
    options = cluster["autoscalerOptions"]
    added = {"name": "autoscaler", "securityContext": options["securityContext"]}
    assert restricted(pod | {"containers": [*pod["containers"], added]}) == []
    assert {mount["name"] for mount in options["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


def test_a_pod_that_is_not_restricted_is_found() -> None:
    pod = {"containers": [{"name": "a", "ports": [{"hostPort": 1}]}], "volumes": [{"name": "v", "hostPath": {}}]}
    assert restricted(pod) == [
        "volume v",
        "a may be root",
        "a has no seccomp profile",
        "a may escalate",
        "a has capabilities",
        "a reaches the host",
    ]


@pytest.mark.parametrize("name", ALL)
def test_no_pod_gets_the_environment_of_services(name: str) -> None:
    """A Service called tailorbird would set TAILORBIRD_PORT, which the settings would read or refuse."""
    for where, thing in objects_of(name):
        for place, pod in pod_templates(thing):
            assert pod["spec"]["enableServiceLinks"] is False, f"{where}{place}"


@pytest.mark.parametrize("name", ALL)
def test_only_who_needs_kubernetes_gets_a_token(name: str) -> None:
    with_token = {
        container["name"]
        for _, thing in objects_of(name)
        for _, pod in pod_templates(thing)
        if pod["spec"]["automountServiceAccountToken"]
        for container in pod["spec"]["containers"]
    }
    assert with_token <= {"launcher", "ray"}
    cluster = render(values_of(name))["rayservice"]["spec"]["rayClusterConfig"]
    assert (
        cluster["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"]
        == (cluster["enableInTreeAutoscaling"])
    )
    for group in cluster["workerGroupSpecs"]:
        assert group["template"]["spec"]["automountServiceAccountToken"] is False


def test_a_long_release_name_leaves_room_for_suffixes() -> None:
    """KubeRay allows 47 characters for a RayService and a RayJob; Kubernetes appends 11 to a CronJob's name."""
    objects = render(MINIMAL, name="a-release-whose-name-is-as-long-as-helm-allows-it-ok")
    assert len(objects["rayservice"]["metadata"]["name"]) <= 47
    assert len(objects["refresh-cronjob"]["metadata"]["name"]) + 11 <= 47
    raycronjob = render(MINIMAL, {"refresh": {"kind": "RayCronJob"}}, name="a" * 53)["refresh-raycronjob"]
    assert len(raycronjob["metadata"]["name"]) <= 36


@pytest.mark.parametrize("name", ALL)
def test_notes_name_the_next_steps(name: str) -> None:
    notes = texts(values_of(name))["NOTES.txt"]
    for words in (f"rayservice/{NAME}", "helm test shop", "/v1/items:import"):
        assert words in notes
    assert ("no backups" in notes) == (name == "laptop")


def restricted(spec: dict[str, Any]) -> list[str]:
    """What the Pod Security Standard `restricted` has against a pod."""
    faults = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    pod = spec.get("securityContext", {})
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    faults += [
        f"volume {volume['name']}" for volume in spec.get("volumes", []) if not set(volume) - {"name"} <= allowed
    ]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = container.get("securityContext", {})
        both = pod | own
        name = container["name"]
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            faults.append(f"{name} may be root")
        if both.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
            faults.append(f"{name} has no seccomp profile")
        if own.get("allowPrivilegeEscalation") is not False:
            faults.append(f"{name} may escalate")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            faults.append(f"{name} has capabilities")
        if own.get("privileged") or any("hostPort" in port for port in container.get("ports", [])):
            faults.append(f"{name} reaches the host")
    return faults
