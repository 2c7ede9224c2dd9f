"""The engine `vllm` cannot run without CUDA: what it calls is compared with vLLM's sources.

They are those of an installed vLLM, or of a wheel (`pip download --no-deps vllm==0.26.0`) that TB_VLLM_WHEEL names.
"""

from __future__ import annotations

import ast
import os
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster.errors import EngineError
from generation.config import GenerationConfig
from generation.engines import make

ENGINE = Path(make.__code__.co_filename).parent / "vllm.py"


@pytest.fixture
def source() -> Callable[[str], str]:
    """The text of a file of vLLM."""
    if wheel := os.environ.get("TB_VLLM_WHEEL"):
        archive = zipfile.ZipFile(wheel)
        return lambda path: archive.read(f"vllm/{path}").decode()
    spec = find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vllm is not installed, and TB_VLLM_WHEEL names no wheel")
    folder = Path(spec.origin).parent
    return lambda path: (folder / path).read_text(encoding="utf-8")


def members(text: str, *classes: str) -> set[str]:
    """Fields and methods of classes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name in classes:
            found |= {n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
            found |= {n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return found


def used(call: str) -> set[str]:
    """The keywords by which our engine calls something."""
    calls = [node for node in ast.walk(ast.parse(ENGINE.read_text())) if isinstance(node, ast.Call)]
    return {
        word.arg for node in calls if isinstance(node.func, ast.Name) and node.func.id == call for word in node.keywords
    } - {None}  # type: ignore[return-value]


def test_what_is_called_is_there(source: Callable[[str], str]) -> None:
    arguments = members(source("engine/arg_utils.py"), "EngineArgs", "AsyncEngineArgs")
    assert used("AsyncEngineArgs") and used("AsyncEngineArgs") <= arguments
    sampling = source("sampling_params.py")
    assert used("SamplingParams") and used("SamplingParams") <= members(sampling, "SamplingParams")
    assert used("StructuredOutputsParams") <= members(sampling, "StructuredOutputsParams")
    assert "DELTA" in sampling
    engine = source("v1/engine/async_llm.py")
    assert {"from_engine_args", "generate", "shutdown", "errored", "get_tokenizer"} <= members(engine, "AsyncLLM")
    assert "self.model_config" in engine
    assert {"text", "token_ids", "finish_reason"} <= members(source("outputs.py"), "CompletionOutput")
    assert {"AsyncEngineArgs", "AsyncLLMEngine", "SamplingParams"} <= set(
        source("__init__.py").replace('"', " ").split()
    )
    assert "bitsandbytes" in source("model_executor/layers/quantization/__init__.py")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
async def test_without_vllm_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"0\.26"):
        await make("vllm", "demo", GenerationConfig(), tmp_path).start()
