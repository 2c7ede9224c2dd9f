"""What a GGUF file says of its model."""

from __future__ import annotations

from pathlib import Path


def quantization_of(path: Path) -> str:
    """The quantisation of most weights, as llama.cpp names it: `q4_1`.

    Raises:
        OSError, ValueError: it is no GGUF file.
    """
    import gguf

    field = gguf.GGUFReader(str(path)).get_field("general.file_type")
    if field is None:
        return "unknown"
    return gguf.LlamaFileType(field.contents()).name.removeprefix("MOSTLY_").lower()
