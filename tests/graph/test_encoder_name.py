"""The name that an encoder's vectors are kept under: its files decide, not where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.text import encoder_name


def encoder(folder: Path, weights: bytes = b"w", config: str = "{}") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "README.md").write_text(str(folder))
    return folder


def test_a_copy_elsewhere_has_the_same_name(tmp_path: Path) -> None:
    first, copy = encoder(tmp_path / "a" / "model"), encoder(tmp_path / "b" / "model")
    assert encoder_name(first) == encoder_name(copy)
    assert encoder_name(first).startswith("model-")


@pytest.mark.parametrize("other", [{"weights": b"v"}, {"config": '{"hidden_size": 8}'}])
def test_another_encoder_in_a_folder_of_the_same_name_has_another(tmp_path: Path, other: dict[str, str]) -> None:
    first, second = encoder(tmp_path / "a" / "model"), encoder(tmp_path / "b" / "model", **other)  # type: ignore[arg-type]
    assert encoder_name(first) != encoder_name(second)


def test_replaced_weights_have_another(tmp_path: Path) -> None:
    folder = encoder(tmp_path / "model")
    before = encoder_name(folder)
    (folder / "model.safetensors").write_bytes(b"trained further")
    assert encoder_name(folder) != before
