"""No version of constraints.txt has a known vulnerability. Skipped, and said why, where no database is in reach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("pypi", "osv")
LEAST_SHARE = 0.9
"""Of the packages must have been looked up: what a database does not know is not what it calls safe."""
ACCEPTED: dict[str, str] = {}
"""Ids of vulnerabilities that do not concern us, and why."""


def looked_up(service: str) -> list[dict[str, Any]] | str:
    """pip-audit's answer for each package, or why there is none."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(ROOT / "constraints.txt"), "--no-deps", "--disable-pip"]
    command += ["-s", service, "-f", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        answers: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return f"{service}: no answer within 180 s"
    except ValueError:
        return f"{service}: {(done.stderr.strip().splitlines() or ['no answer'])[-1][:300]}"
    return judged(service, answers)


def judged(service: str, answers: list[dict[str, Any]]) -> list[dict[str, Any]] | str:
    """The answers, if they are about enough packages to say something."""
    known = [answer for answer in answers if "skip_reason" not in answer]
    if len(known) < LEAST_SHARE * len(answers):
        reasons = next((str(answer["skip_reason"]) for answer in answers if "skip_reason" in answer), "")
        return f"{service}: {len(known)} of {len(answers)} packages could be looked up ({reasons[:120]})"
    return answers


def vulnerable(answers: list[dict[str, Any]]) -> list[str]:
    """Each known vulnerability that is not accepted: package, version, id, and where it is fixed."""
    return [
        f"{answer['name']} {answer['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for answer in answers
        for found in answer.get("vulns", ())
        if found["id"] not in ACCEPTED
    ]


def test_an_answer_about_nothing_is_no_all_clear() -> None:
    lost = [{"name": f"p{n}", "skip_reason": "Dependency not found on PyPI"} for n in range(9)]
    fine = {"name": "a", "version": "1", "vulns": []}
    assert judged("pypi", [*lost, fine]) == ("pypi: 1 of 10 packages could be looked up (Dependency not found on PyPI)")
    bad = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
    assert judged("pypi", [fine, bad]) == [fine, bad]
    assert vulnerable([fine, bad]) == ["b 2: PYSEC-1, fixed in 2.1"]


@pytest.mark.slow
def test_no_dependency_has_a_known_vulnerability() -> None:
    why = []
    for service in SERVICES:
        answers = looked_up(service)
        if isinstance(answers, list):
            assert vulnerable(answers) == []
            return
        why.append(answers)
    pytest.skip("no database of vulnerabilities is in reach: " + "; ".join(why))
