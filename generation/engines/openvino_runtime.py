"""OpenVINO as this project imports it: without its telemetry.

`import openvino` tells Google Analytics that it was imported and keeps a client id in `~/intel`, unless the package
`openvino_telemetry` is absent. It comes with every installation, so it is made absent here, in this process, before the
import. OpenVINO is imported from this module alone, inside the function that needs it.
"""

from __future__ import annotations

import sys
from typing import Any

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: an import raises ImportError

import openvino  # noqa: E402
from openvino import opset13  # noqa: E402
from openvino._offline_transformations import paged_attention_transformation  # noqa: E402


def genai() -> Any:
    """The module `openvino_genai`, which reads GGUF files."""
    import openvino_genai

    return openvino_genai


__all__ = ["genai", "openvino", "opset13", "paged_attention_transformation"]
