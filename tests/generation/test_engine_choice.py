"""Which engine a name stands for, and which models and settings are taken."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.config import parse_section
from cluster.errors import ConfigError
from cluster.launch import ROOT
from generation import engines
from generation.config import GenerationConfig
from generation.demo import prepare_model
from generation.engines import make, resolve
from generation.engines.openvino import prepare as prepare_openvino
from generation.engines.openvino import reads


def test_auto_is_the_best_engine_for_machine_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_cuda", lambda: False)
    assert resolve("auto", "demo") == resolve("auto", "/a/file.gguf") == "openvino"
    assert resolve("auto", "Qwen/Qwen2.5-0.5B-Instruct") == "bitsandbytes"
    monkeypatch.setattr(engines, "has_cuda", lambda: True)
    assert resolve("auto", "demo") == "bitsandbytes"
    assert resolve("auto", "demo", "cpu") == "openvino"
    assert resolve("openvino", "demo") == "openvino"
    with pytest.raises(ConfigError, match="known are auto, bitsandbytes"):
        resolve("abacus", "demo")


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere.gguf", "~/nowhere", "gpt", "a/b/c"])
def test_models_that_cannot_be_are_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        prepare_model(model, tmp_path)


def test_hugging_face_ids_and_folders_pass(tmp_path: Path) -> None:
    assert prepare_model("Qwen/Qwen2.5-0.5B-Instruct", tmp_path) == "Qwen/Qwen2.5-0.5B-Instruct"
    (tmp_path / "config.json").write_text("{}")
    assert prepare_model(str(tmp_path), tmp_path) == tmp_path


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"generation\.max_batch"):
        parse_section(GenerationConfig, {"max_batch": 0}, "generation")
    with pytest.raises(ConfigError, match=r"generation\.colour"):
        parse_section(GenerationConfig, {"colour": 1}, "generation")


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-0.5B-Instruct", "/nowhere.gguf"])
async def test_what_openvino_cannot_read_is_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await make("openvino", model, GenerationConfig(), tmp_path).start()


def test_openvino_reads_its_own_folders(tmp_path: Path) -> None:
    assert reads("demo") and not reads(str(tmp_path))
    (tmp_path / "openvino_model.xml").touch()
    assert reads(str(tmp_path))


def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """Its own package would send an event at import and keep a client id in the home folder."""
    script = """
import sys
heard = []
sys.addaudithook(lambda event, _: heard.append(event) if event.startswith(("socket.", "urllib", "os.fork")) else None)
from generation.engines.openvino_runtime import genai, openvino
openvino.Core().available_devices, genai().SchedulerConfig
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")], "telemetry is loaded"
assert not heard, heard
"""
    home = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=home, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_openvino_is_imported_in_one_place() -> None:
    others = [
        file
        for folder in ("generation", "benchmarks", "deployments", "jobs")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "openvino_runtime.py"
        and re.search(r"^\s*(import|from) openvino", file.read_text(), re.MULTILINE)
    ]
    assert others == []


@pytest.mark.integration
def test_openvino_needs_no_torch(models_dir: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from generation.config import GenerationConfig
from generation.engines import make
asyncio.run(make("openvino", "demo", GenerationConfig(kv_bytes=8 << 20, threads=1), Path(sys.argv[1])).start())
assert "torch" not in sys.modules
"""
    prepare_openvino("demo", models_dir)  # converting does need it
    command = [sys.executable, "-c", script, str(models_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
