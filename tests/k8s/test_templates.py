"""One test for each template: what it makes, and that it makes nothing when it is off."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.k8s.chart import CHART, MINIMAL, NAME, NAMESPACE, merged, minimal, render, texts

ON: dict[str, dict[str, Any]] = {
    "artifacts-pvc": {"artifacts": {"url": "", "persistence": {"enabled": True}}},
    "dashboards-configmap": {"dashboards": {"enabled": True}},
    "httproute": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
    "ingress": {"ingress": {"enabled": True, "host": "example.com"}},
    "metrics-service": {"serviceMonitor": {"enabled": True}},
    "models-pvc": {"models": {"persistence": {"enabled": True}}},
    "networkpolicy": {},
    "poddisruptionbudget": {},
    "postgresql-networkpolicy": {
        "database": {"existingSecret": ""},
        "postgresql": {"enabled": True, "password": "secret1"},
    },
    "postgresql-secret": {"database": {"existingSecret": ""}, "postgresql": {"enabled": True, "password": "secret1"}},
    "postgresql-service": {"database": {"existingSecret": ""}, "postgresql": {"enabled": True, "password": "secret1"}},
    "postgresql-statefulset": {
        "database": {"existingSecret": ""},
        "postgresql": {"enabled": True, "password": "secret1"},
    },
    "prometheusrule": {"prometheusRule": {"enabled": True}},
    "rayservice": {},
    "refresh-configmap": {},
    "refresh-cronjob": {},
    "refresh-raycronjob": {"refresh": {"kind": "RayCronJob"}},
    "refresh-role": {},
    "refresh-rolebinding": {},
    "refresh-serviceaccount": {},
    "scripts-configmap": {},
    "secret": {"apiKey": {"existingSecret": "", "value": "a-long-key"}},
    "serviceaccount": {},
    "servicemonitor": {"serviceMonitor": {"enabled": True}},
    "settings-configmap": {},
    "tests/recommendation": {},
}
"""The least values on top of the minimal ones that make each template render."""

OFF: dict[str, list[dict[str, Any]]] = {
    "artifacts-pvc": [{}, {"artifacts": {"url": "", "persistence": {"enabled": True, "existingClaim": "mine"}}}],
    "dashboards-configmap": [{}],
    "httproute": [{}],
    "ingress": [{}],
    "metrics-service": [{}],
    "models-pvc": [{}, {"models": {"persistence": {"enabled": True, "existingClaim": "mine"}}}],
    "networkpolicy": [{"networkPolicy": {"enabled": False}}],
    "poddisruptionbudget": [{"podDisruptionBudget": {"enabled": False}}],
    "postgresql-networkpolicy": [
        {},
        merged(ON["postgresql-networkpolicy"], {"networkPolicy": {"enabled": False}}),
    ],
    "postgresql-secret": [
        {},
        {"database": {"existingSecret": ""}, "postgresql": {"enabled": True, "existingSecret": "mine"}},
    ],
    "postgresql-service": [{}],
    "postgresql-statefulset": [{}],
    "prometheusrule": [{}],
    "refresh-configmap": [{"refresh": {"enabled": False}}, {"refresh": {"kind": "RayCronJob"}}],
    "refresh-cronjob": [{"refresh": {"enabled": False}}, {"refresh": {"kind": "RayCronJob"}}],
    "refresh-raycronjob": [{}, {"refresh": {"enabled": False, "kind": "RayCronJob"}}],
    "refresh-role": [{"refresh": {"enabled": False}}, {"refresh": {"kind": "RayCronJob"}}],
    "refresh-rolebinding": [{"refresh": {"enabled": False}}, {"refresh": {"kind": "RayCronJob"}}],
    "refresh-serviceaccount": [{"refresh": {"enabled": False}}, {"refresh": {"kind": "RayCronJob"}}],
    "secret": [{}],
    "serviceaccount": [{"serviceAccount": {"create": False, "name": "mine"}}],
    "servicemonitor": [{}],
    "tests/recommendation": [{"test": {"enabled": False}}],
}

ALWAYS = {"rayservice", "scripts-configmap", "settings-configmap"}


def made(template: str, *more: dict[str, Any]) -> dict[str, Any]:
    """What a template makes when it is on."""
    return minimal(ON[template], *more)[template]


def test_every_template_is_listed_here() -> None:
    folder = CHART / "templates"
    names = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml")}
    assert names == ON.keys()
    assert names - OFF.keys() == ALWAYS


@pytest.mark.parametrize("template", sorted(ON))
def test_renders_when_on(template: str) -> None:
    thing = made(template)
    assert thing["metadata"]["name"].startswith(NAME)
    assert thing["metadata"]["labels"]["app.kubernetes.io/instance"] == "shop"


@pytest.mark.parametrize(("template", "values"), [(name, values) for name in sorted(OFF) for values in OFF[name]])
def test_renders_nothing_when_off(template: str, values: dict[str, Any]) -> None:
    assert texts(MINIMAL, values)[f"{template}.yaml"].strip() == ""


def test_artifacts_pvc() -> None:
    claim = made("artifacts-pvc", {"artifacts": {"persistence": {"size": "3Gi", "storageClassName": "fast"}}})
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "3Gi"}},
    }
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_models_pvc() -> None:
    claim = made("models-pvc")
    assert "storageClassName" not in claim["spec"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"


def test_dashboards_configmap() -> None:
    config = made("dashboards-configmap", {"dashboards": {"annotations": {"folder": "Shop"}}})
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"folder": "Shop"}
    assert config["data"].keys() == {path.name for path in (CHART / "dashboards").glob("*.json")}
    for text in config["data"].values():
        json.loads(text)


def test_httproute() -> None:
    route = made("httproute", {"httpRoute": {"hostnames": ["a.example.com"], "timeout": "90s"}})
    (rule,) = route["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": NAME, "port": 80}]
    assert rule["timeouts"] == {"request": "90s"}
    assert route["spec"]["hostnames"] == ["a.example.com"]


def test_ingress() -> None:
    ingress = made("ingress", {"ingress": {"className": "nginx", "tlsSecret": "tls"}, "service": {"port": 8080}})
    (rule,) = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": NAME, "port": {"number": 8080}}}
    assert ingress["spec"]["tls"] == [{"hosts": ["example.com"], "secretName": "tls"}]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    plain = made("ingress")["spec"]
    assert "tls" not in plain and "ingressClassName" not in plain


def test_metrics_service_finds_every_node_of_ray() -> None:
    service = made("metrics-service")
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True
    selector = dict(service["spec"]["selector"])
    assert selector.pop("ray.io/is-ray-node") == "yes"
    cluster = minimal()["rayservice"]["spec"]["rayClusterConfig"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert selector.items() <= group["template"]["metadata"]["labels"].items()
        ports = group["template"]["spec"]["containers"][0]["ports"]
        assert {"name": "metrics", "containerPort": 8080} in ports


def test_servicemonitor_finds_the_metrics_service() -> None:
    objects = minimal({"serviceMonitor": {"enabled": True, "labels": {"release": "p"}, "interval": "5s"}})
    monitor = objects["servicemonitor"]
    labels = objects["metrics-service"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "5s"}]
    assert monitor["metadata"]["labels"]["release"] == "p"
    # Nothing else of the release may be scraped by it.
    everything = {name for name, thing in objects.items() if thing["kind"] == "Service"}
    assert everything == {"metrics-service"}


def test_networkpolicy() -> None:
    client = {"namespaceSelector": {"matchLabels": {"name": "web"}}}
    spec = made("networkpolicy", {"networkPolicy": {"clients": [client]}})["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    inside, clients, operator, prometheus = spec["ingress"]
    assert "ports" not in inside and list(inside["from"][0]) == ["podSelector"]
    assert clients == {"ports": [{"port": 8000, "protocol": "TCP"}], "from": [client]}
    assert {port["port"] for port in operator["ports"]} == {8265, 52365, 8000}
    assert [port["port"] for port in prometheus["ports"]] == [8080]
    # The dashboard runs code: only the release itself and the operator may reach it.
    for rule in (clients, prometheus):
        assert not {8265, 6379, 10001} & {port["port"] for port in rule["ports"]}


def test_networkpolicy_egress() -> None:
    extra = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    spec = made("networkpolicy", {"networkPolicy": {"egress": {"enabled": True, "rules": [extra]}}})["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for port in spec["egress"][1]["ports"]] == [53, 53]
    assert spec["egress"][2] == extra


def test_poddisruptionbudget_counts_cpu_workers_only() -> None:
    spec = made("poddisruptionbudget", {"podDisruptionBudget": {"minAvailable": 2}})["spec"]
    assert spec["minAvailable"] == 2
    workers = minimal()["rayservice"]["spec"]["rayClusterConfig"]
    labels = workers["workerGroupSpecs"][0]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    head = workers["headGroupSpec"]["template"]["metadata"]["labels"]
    assert not spec["selector"]["matchLabels"].items() <= head.items()


def test_postgresql() -> None:
    objects = minimal(ON["postgresql-statefulset"])
    pod = objects["postgresql-statefulset"]["spec"]["template"]
    for selecting in ("postgresql-service", "postgresql-networkpolicy"):
        spec = objects[selecting]["spec"]
        selector = spec.get("selector") or spec["podSelector"]["matchLabels"]
        assert selector.items() <= pod["metadata"]["labels"].items()
    secret = objects["postgresql-secret"]["stringData"]
    assert secret["database-url"] == f"postgresql://tailorbird:secret1@{NAME}-postgresql:5432/tailorbird"
    assert objects["postgresql-service"]["metadata"]["name"] == f"{NAME}-postgresql"
    head = objects["rayservice"]["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    url = next(item for item in head["containers"][0]["env"] if item["name"] == "TAILORBIRD_DATABASE_URL")
    assert url["valueFrom"]["secretKeyRef"] == {"name": f"{NAME}-postgresql", "key": "database-url"}
    # Ray's own policy must not close the database's port, nor the database's pods count as Ray's.
    ray = objects["networkpolicy"]["spec"]["podSelector"]["matchExpressions"]
    assert ray == [{"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["postgresql"]}]


def test_refresh_cronjob_makes_a_rayjob() -> None:
    objects = minimal({"refresh": {"args": ["--force"], "workers": 2, "suspend": True, "timeZone": "Europe/Berlin"}})
    cron = objects["refresh-cronjob"]["spec"]
    assert (cron["concurrencyPolicy"], cron["suspend"], cron["timeZone"]) == ("Forbid", True, "Europe/Berlin")
    job = json.loads(objects["refresh-configmap"]["data"]["rayjob.json"])
    assert (job["kind"], "name" in job["metadata"]) == ("RayJob", False)
    spec = job["spec"]
    assert spec["entrypoint"] == "python -m jobs.refresh --config /etc/tailorbird/tailorbird.yaml --force"
    assert spec["shutdownAfterJobFinishes"] is True and spec["rayClusterSpec"]["authOptions"]["mode"] == "token"
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 2
    launcher = cron["jobTemplate"]["spec"]
    assert launcher["activeDeadlineSeconds"] > spec["activeDeadlineSeconds"]
    pod = launcher["template"]["spec"]
    assert pod["containers"][0]["command"][1:] == ["/etc/tailorbird/run_rayjob.py", "/etc/tailorbird/rayjob.json"]
    assert pod["serviceAccountName"] == objects["refresh-serviceaccount"]["metadata"]["name"]


def test_refresh_pods_do_not_count_as_serving() -> None:
    objects = minimal()
    job = json.loads(objects["refresh-configmap"]["data"]["rayjob.json"])["spec"]
    labels = job["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert not objects["poddisruptionbudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_refresh_may_make_rayjobs_and_nothing_else() -> None:
    objects = minimal()
    assert objects["refresh-role"]["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get"]}
    ]
    binding = objects["refresh-rolebinding"]
    assert binding["roleRef"]["name"] == objects["refresh-role"]["metadata"]["name"]
    assert binding["subjects"] == [
        {
            "kind": "ServiceAccount",
            "name": objects["refresh-serviceaccount"]["metadata"]["name"],
            "namespace": NAMESPACE,
        }
    ]


def test_refresh_raycronjob_runs_the_same_job() -> None:
    cron = made("refresh-raycronjob")["spec"]
    job = json.loads(minimal()["refresh-configmap"]["data"]["rayjob.json"])["spec"]
    assert cron["jobTemplate"] == job
    assert cron["schedule"] == "17 3 * * *"


def test_secret_holds_only_what_was_given() -> None:
    assert made("secret")["stringData"] == {"api-key": "a-long-key"}
    url = "postgresql://user:p%40ss@host/db"
    both = made("secret", {"database": {"existingSecret": "", "url": url}})
    assert both["stringData"] == {"api-key": "a-long-key", "database-url": url}


def test_serviceaccount() -> None:
    account = made("serviceaccount", {"serviceAccount": {"name": "ray", "annotations": {"role": "reader"}}})
    assert (account["metadata"]["name"], account["metadata"]["annotations"]) == ("ray", {"role": "reader"})
    objects = minimal({"serviceAccount": {"annotations": {"role": "reader"}}})
    name = objects["serviceaccount"]["metadata"]["name"]
    cluster = objects["rayservice"]["spec"]["rayClusterConfig"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert group["template"]["spec"]["serviceAccountName"] == name
    mine = minimal({"serviceAccount": {"create": False, "name": "mine"}})["rayservice"]["spec"]["rayClusterConfig"]
    assert mine["headGroupSpec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_settings_configmap() -> None:
    values = {"settings": {"model": "some/model"}, "artifacts": {"url": "gs://bucket/x"}}
    settings = yaml.safe_load(made("settings-configmap", values)["data"]["tailorbird.yaml"])
    assert settings["model"] == "some/model" and settings["artifacts_url"] == "gs://bucket/x"
    assert not {"database_url", "api_key", "pseudonymise_key"} & settings.keys()


def test_scripts_configmap() -> None:
    script = made("scripts-configmap")["data"]["check_database.py"]
    assert script.strip() == (CHART / "files" / "check_database.py").read_text().strip()


def test_helm_test_asks_through_the_service() -> None:
    pod = made("tests/recommendation", {"service": {"port": 8080}, "test": {"allowEmpty": True}})
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    found = {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}
    assert found["SERVICE_URL"] == f"http://{NAME}:8080" and found["ALLOW_EMPTY"] == "true"
    assert found["API_KEY"] == {"secretKeyRef": {"name": "api", "key": "api-key"}}
    assert container["command"][:2] == ["python", "-c"]
    compile(container["command"][2], "ask.py", "exec")


def test_names_can_be_overridden() -> None:
    assert render(MINIMAL, {"fullnameOverride": "recs"})["rayservice"]["metadata"]["name"] == "recs"
    assert render(MINIMAL, {"nameOverride": "recs"})["rayservice"]["metadata"]["name"] == "shop-recs"
    assert render(MINIMAL, name="tailorbird")["rayservice"]["metadata"]["name"] == "tailorbird"
