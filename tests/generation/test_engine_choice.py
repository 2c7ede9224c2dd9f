"""Which engine a name stands for, and which models and settings are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import parse_section
from cluster.errors import ConfigError
from generation import engines
from generation.config import GenerationConfig
from generation.demo import prepare_model
from generation.engines import make, resolve
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
