"""The RayService: Serve's configuration, switches on all nodes, scaling, fault tolerance, and what an upgrade does."""

from __future__ import annotations

import ast
import copy
import warnings
from typing import Any

import pytest
import yaml

from cluster.config import load_settings
from cluster.launch import RAY_SWITCHES
from generation.config import GenerationConfig
from graph.config import GraphConfig
from tests.k8s.chart import MINIMAL, NAME, ROOT, SCENARIOS, merged, minimal, render, scenario


def spec_of(*layers: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = minimal(*layers)["rayservice"]["spec"]
    return spec


def groups_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = spec["rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def ray_container(group: dict[str, Any]) -> dict[str, Any]:
    """KubeRay takes the first container for Ray's."""
    container: dict[str, Any] = group["template"]["spec"]["containers"][0]
    return container


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def without_scale(spec: dict[str, Any]) -> dict[str, Any]:
    """The cluster as KubeRay 1.7 compares it: without replicas and tolerations. A difference makes a new cluster."""
    cluster = copy.deepcopy(spec["rayClusterConfig"])
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        for key in ("replicas", "minReplicas", "maxReplicas"):
            group.pop(key, None)
        group["template"]["spec"].pop("tolerations", None)
    return cluster


@pytest.mark.parametrize("name", SCENARIOS)
def test_ray_serve_reads_its_configuration(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's models use what pydantic calls deprecated
        from ray.serve.config import AutoscalingConfig
        from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(render(scenario(name))["rayservice"]["spec"]["serveConfigV2"])
    schema = ServeDeploySchema.model_validate(config)
    (application,) = schema.applications
    assert (application.import_path, application.route_prefix) == ("deployments.app:build", "/")
    # Ray ignores keys that it does not know: a misspelt one would be lost in silence.
    assert config.keys() <= ServeDeploySchema.model_fields.keys()
    assert config["http_options"].keys() <= type(schema.http_options).model_fields.keys()
    assert config["logging_config"].keys() <= type(schema.logging_config).model_fields.keys()
    for deployment in config["applications"][0]["deployments"]:
        assert deployment.keys() == {"name", "autoscaling_config"}
        assert deployment["autoscaling_config"].keys() <= AutoscalingConfig.model_fields.keys()


def test_deployments_are_those_that_the_builder_binds() -> None:
    tree = ast.parse((ROOT / "deployments" / "app.py").read_text())
    source = {
        ast.unparse(call.args[0]).removeprefix("serve.ingress()(").removesuffix(")")
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "_deployment"
    }

    def named(spec: dict[str, Any]) -> set[str]:
        (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
        return {deployment["name"] for deployment in application["deployments"]}

    source.remove("Finder")  # is there or not, as there is an encoder: its replicas stand in the settings
    assert named(spec_of({"settings": {"recommender": {"binding": "deployment"}}})) == source
    assert named(spec_of()) == source - {"Recommender"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_settings_file_is_one_that_tailorbird_reads(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tailorbird.yaml"
    file.write_text(render(scenario(name))["settings-configmap"]["data"]["tailorbird.yaml"])
    monkeypatch.setenv("TAILORBIRD_DATABASE_URL", "postgresql://user:password@host/name")
    settings = load_settings(file)
    GraphConfig.model_validate(settings.graph)
    GenerationConfig.model_validate(settings.generation)
    assert (settings.host, settings.port, str(settings.state_dir)) == ("0.0.0.0", 8000, "/var/lib/tailorbird")


@pytest.mark.parametrize("name", SCENARIOS)
def test_all_nodes_have_the_same_switches(name: str) -> None:
    for group in groups_of(render(scenario(name))["rayservice"]["spec"]):
        found = environment(ray_container(group))
        for switch, value in RAY_SWITCHES.items():
            if switch == "RAY_AUTH_MODE":
                assert switch not in found, "KubeRay sets it from authOptions"
            elif switch == "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S":
                assert switch in found
            else:
                assert found[switch] == value, switch
        assert found["TAILORBIRD_CONFIG"] == "/etc/tailorbird/tailorbird.yaml"


def test_switches_can_be_turned_off() -> None:
    for group in groups_of(spec_of({"serve": {"haProxy": False, "throughputOptimized": False}})):
        found = environment(ray_container(group))
        assert (found["RAY_SERVE_ENABLE_HA_PROXY"], found["RAY_SERVE_THROUGHPUT_OPTIMIZED"]) == ("0", "0")


@pytest.mark.parametrize("name", SCENARIOS)
def test_ray_asks_for_its_token(name: str) -> None:
    auth = render(scenario(name))["rayservice"]["spec"]["rayClusterConfig"]["authOptions"]
    assert auth == ({"mode": "token", "secretName": "tailorbird-ray"} if name == "production" else {"mode": "token"})


def test_secrets_are_references() -> None:
    spec = spec_of(
        {
            "pseudonymise": {"existingSecret": "p", "oldKeysSecretKey": "old"},
            "models": {"huggingFaceTokenSecret": "h"},
            "secretKey": {"existingSecret": "s"},
            "encryption": {"existingSecret": "e"},
            "rateLimits": {"existingSecret": "r"},
        }
    )
    for group in groups_of(spec):
        found = environment(ray_container(group))
        for variable, name, key in (
            ("TAILORBIRD_DATABASE_URL", "db", "database-url"),
            ("TAILORBIRD_API_KEY", "api", "api-key"),
            ("TAILORBIRD_PSEUDONYMISE_KEY", "p", "pseudonymise-key"),
            ("TAILORBIRD_PSEUDONYMISE_OLD_KEYS", "p", "old"),
            ("TAILORBIRD_SECRET_KEY", "s", "secret-key"),
            ("TAILORBIRD_ENCRYPTION_KEYS", "e", "encryption-keys"),
            ("TAILORBIRD_LIMITS__STORAGE_URL", "r", "limits-storage-url"),
            ("HF_TOKEN", "h", "token"),
        ):
            assert found[variable] == {"secretKeyRef": {"name": name, "key": key}}


def test_the_head_waits_for_the_database_and_nobody_else_does() -> None:
    head, *workers = groups_of(spec_of({"database": {"waitS": 77}}))
    (check,) = head["template"]["spec"]["initContainers"]
    assert check["command"] == ["python", "/etc/tailorbird/scripts/check_database.py", "77"]
    assert all("initContainers" not in worker["template"]["spec"] for worker in workers)


def test_autoscaler_version_two() -> None:
    cluster = spec_of()["rayClusterConfig"]
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    for group in groups_of({"rayClusterConfig": cluster}):
        # Version 2 needs restartPolicy Never, and KubeRay sets it only where nothing is said.
        assert "restartPolicy" not in group["template"]["spec"]
    off = spec_of({"autoscaler": {"enabled": False}})["rayClusterConfig"]
    assert off["enableInTreeAutoscaling"] is False and "autoscalerOptions" not in off


def test_writers_on_gpus_may_scale_to_zero() -> None:
    values = scenario("one-gpu")
    objects = render(values)
    spec = objects["rayservice"]["spec"]
    head, cpu, gpu = groups_of(spec)
    assert (gpu["minReplicas"], gpu["maxReplicas"], gpu["idleTimeoutSeconds"]) == (0, 1, 600)
    assert ray_container(gpu)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert ray_container(gpu)["image"] == "tailorbird:0.1.0-cuda"
    assert ray_container(cpu)["image"] == ray_container(head)["image"] == "tailorbird:0.1.0"
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    writer = next(item for item in application["deployments"] if item["name"] == "Writer")
    assert writer["autoscaling_config"]["min_replicas"] == 0
    # A writer reserves a GPU, so that it can only run there; and nothing else reserves one.
    settings = yaml.safe_load(objects["settings-configmap"]["data"]["tailorbird.yaml"])
    assert settings["writer"] == {"num_cpus": 1, "num_gpus": 1}
    assert len(groups_of(spec_of())) == 2


def test_the_head_runs_nothing_unless_told() -> None:
    spec = spec_of()
    assert spec["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["excludeHeadPodFromServeSvc"] is True
    assert spec_of({"head": {"serveTraffic": True}})["excludeHeadPodFromServeSvc"] is False


def test_each_cluster_has_its_own_part_of_redis() -> None:
    options = {"enabled": True, "redisAddress": "redis://r:6379", "existingSecret": "redis", "redisUsername": "ray"}
    rendered = spec_of({"gcsFaultTolerance": options})["rayClusterConfig"]["gcsFaultToleranceOptions"]
    # A fixed externalStorageNamespace would let the two clusters of an upgrade overwrite each other.
    assert rendered == {
        "redisAddress": "redis://r:6379",
        "redisUsername": {"value": "ray"},
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "redis-password"}}},
    }
    assert "gcsFaultToleranceOptions" not in spec_of()["rayClusterConfig"]


def test_pods_are_spread_within_their_cluster() -> None:
    _, cpu = groups_of(spec_of())
    constraints = cpu["template"]["spec"]["topologySpreadConstraints"]
    assert [item["topologyKey"] for item in constraints] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    labels = cpu["template"]["metadata"]["labels"]
    for item in constraints:
        assert item["labelSelector"]["matchLabels"].items() <= labels.items()
        assert item["matchLabelKeys"] == ["ray.io/cluster"]


def test_the_service_has_a_name_of_its_own_and_no_selector() -> None:
    """KubeRay moves the selector to the cluster that serves; with ours it would point at both during an upgrade."""
    values = {"service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}}}
    service = spec_of(values)["serveService"]
    assert service["metadata"]["name"] == NAME
    assert service["metadata"]["annotations"] == {"a": "b"}
    assert service["spec"]["type"] == "LoadBalancer" and "selector" not in service["spec"]
    assert service["spec"]["ports"] == [{"name": "serve", "port": 8080, "targetPort": 8000, "appProtocol": "http"}]
    # KubeRay finds the port by this name.
    for group in groups_of(spec_of()):
        assert {"name": "serve", "containerPort": 8000} in ray_container(group)["ports"]


def test_replicas_change_in_place() -> None:
    before = spec_of()
    after = spec_of({"serve": {"ingress": {"maxReplicas": 20}, "writer": {"minReplicas": 0, "maxReplicas": 9}}})
    assert before["serveConfigV2"] != after["serveConfigV2"]
    assert before["rayClusterConfig"] == after["rayClusterConfig"]


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"log_level": "debug"}},
        {"image": {"tag": "0.2.0"}},
        {"podAnnotations": {"rotated": "2026-01-01"}},
        {"cpuWorkers": {"maxReplicas": 12}},
        {"cpuWorkers": {"minReplicas": 3}},
        {"gpuWorkers": {"enabled": True}},
    ],
    ids=str,
)
def test_everything_else_makes_a_new_cluster(change: dict[str, Any]) -> None:
    """Group sizes as well: KubeRay leaves a running cluster as it is when nothing else is different."""
    before, after = without_scale(spec_of()), without_scale(spec_of(change))
    shared = len(before["workerGroupSpecs"])
    after["workerGroupSpecs"] = after["workerGroupSpecs"][:shared]  # a group at the end is added in place
    assert before != after


def test_another_chart_version_alone_changes_no_pod() -> None:
    for group in groups_of(spec_of()):
        labels = group["template"]["metadata"]["labels"]
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def test_upgrade_strategies() -> None:
    assert spec_of()["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec_of({"upgrade": {"oldClusterS": 7}})["rayClusterDeletionDelaySeconds"] == 7
    values = {"upgrade": {"type": "NewClusterWithIncrementalUpgrade", "incremental": {"gatewayClassName": "istio"}}}
    assert spec_of(values)["upgradeStrategy"]["clusterUpgradeOptions"] == {
        "gatewayClassName": "istio",
        "stepSizePercent": 10,
        "intervalSeconds": 30,
        "maxSurgePercent": 100,
    }


def test_a_pod_keeps_the_settings_that_it_started_with() -> None:
    for group in groups_of(spec_of()):
        mounts = {mount["name"]: mount for mount in ray_container(group)["volumeMounts"]}
        assert mounts["settings"]["subPath"] == "tailorbird.yaml"


def test_volumes_and_extras_reach_every_node() -> None:
    values = merged(
        MINIMAL,
        {
            "artifacts": {"url": "", "persistence": {"enabled": True}, "credentialsSecret": "keys"},
            "models": {"persistence": {"enabled": True, "existingClaim": "mine"}},
            "extraEnv": [{"name": "A", "value": "b"}],
            "extraEnvFrom": [{"configMapRef": {"name": "c"}}],
            "extraVolumes": [{"name": "v", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
        },
    )
    objects = render(values)
    for group in groups_of(objects["rayservice"]["spec"]):
        container = ray_container(group)
        claims = {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in group["template"]["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        }
        assert claims == {"artifacts": f"{NAME}-artifacts", "models": "mine"}
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert paths["artifacts"] == "/var/lib/tailorbird-artifacts" and paths["v"] == "/v"
        assert environment(container)["A"] == "b"
        assert container["envFrom"] == [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "c"}}]
    settings = yaml.safe_load(objects["settings-configmap"]["data"]["tailorbird.yaml"])
    assert settings["artifacts_url"] == "/var/lib/tailorbird-artifacts"
