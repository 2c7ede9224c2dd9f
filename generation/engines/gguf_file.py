"""What a GGUF file says of its model: quantisation, context, and how much memory a token takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class GgufFacts:
    """Read from the file's metadata.

    Raises:
        OSError, ValueError: it is no GGUF file.
    """

    def __init__(self, path: Path) -> None:
        import gguf

        reader = gguf.GGUFReader(str(path))

        def value(name: str, default: Any = None) -> Any:
            field = reader.get_field(name)
            return default if field is None else field.contents()

        arch = value("general.architecture")
        heads = value(f"{arch}.attention.head_count")
        kv_heads = value(f"{arch}.attention.head_count_kv", heads)
        head_dim = value(f"{arch}.attention.key_length", value(f"{arch}.embedding_length") // heads)
        self.bytes_per_token = int(value(f"{arch}.block_count") * 2 * kv_heads * head_dim * 2)
        self.trained_tokens = int(value(f"{arch}.context_length", 2048))
        file_type = value("general.file_type")
        names = {member.value: member.name for member in gguf.LlamaFileType}
        self.quantization = names.get(file_type, "unknown").removeprefix("MOSTLY_").lower()
