from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT, RunJob

JOB = "tests.jobs.a_job"


def test_the_result_is_the_only_line_of_standard_output(run_job: RunJob) -> None:
    ran = run_job(JOB, "--do", "count")
    assert (ran.code, len(ran.stdout.splitlines())) == (0, 1)
    assert ran.result["job"] == "a_job"
    assert ran.result["ok"] is True
    assert (ran.result["answer"], ran.result["nothing"]) == (42, None)
    assert 0.08 <= ran.result["stages_s"]["counting"] < 5
    assert "noise of Python" in ran.stderr
    assert "noise of a child" in ran.stderr
    assert "counting: 3 of 4 (75%)" in ran.stderr
    assert "counting ... 0." in ran.stderr


@pytest.mark.parametrize(
    ("what", "code", "error"),
    [
        ("bad", 2, "f.csv, line 7: is not a number"),
        ("conflict", 1, "somebody was faster"),
        ("boom", 1, "RuntimeError: boom"),
    ],
)
def test_a_failure_is_an_exit_code_and_a_line(run_job: RunJob, what: str, code: int, error: str) -> None:
    ran = run_job(JOB, "--do", what)
    assert (ran.code, ran.result["ok"], ran.result["error"]) == (code, False, error)
    assert ("Traceback" in ran.stderr) == (what == "boom")
    if what == "bad":
        assert ran.result["place"] == "f.csv, line 7"


def test_a_wrong_command_line_and_wrong_settings(run_job: RunJob, tmp_path: Path) -> None:
    for args in ((), ("--do", "count", "--nonsense"), ("--do", "count", "--config", "missing.yaml")):
        ran = run_job(JOB, *args)
        assert (ran.code, ran.result["ok"]) == (2, False)
    (tmp_path / "bad.yaml").write_text("prt: 8000\n")
    assert "'prt'" in run_job(JOB, "--do", "count", "--config", "bad.yaml").result["error"]


def test_help(run_job: RunJob) -> None:
    for job in ("ingest", "export", "demo", "promote", "prune"):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", f"jobs.{job}", "--help"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0
        assert "--config" in done.stdout


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(sent: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", JOB, "--do", "wait"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("counting"):
                break
        process.send_signal(sent)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert json.loads(out)["error"] == "interrupted"


def test_a_bar_on_a_terminal() -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", JOB, "--do", "count"],
        cwd=ROOT,
        stderr=follower,
        capture_output=False,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert done.returncode == 0
    assert json.loads(done.stdout)["answer"] == 42
    assert "━".encode() in shown
