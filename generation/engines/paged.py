"""An OpenVINO model whose keys and values lie in blocks, as a `Backend` of the decode loop.

OpenVINO's PagedAttention reads each text's keys through a list of blocks. Here every row owns its blocks for good, and
rows change places by swapping their lists.

The keys are kept in 8 bits, with scales that are taken anew as a block fills; the tokens of one call see each other
exactly. So that this shows in no text, no part reads beyond the end of a block: what follows is a part of its own, and
sees what was stored. A token that is alone in its call would be added up in another order than in company: it gets a
second one for company, which costs it 3%. So a text depends on its own tokens alone, to the last bit.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from generation.engines.decode import Part

COMPANY = Part(-1, 0, [0])
"""For a token that would be alone in its call: another in the last row, which has one block and is nobody's."""


class PagedBackend:
    """See `generation.engines.decode.Backend`.

    Args:
        compiled: what `compile_paged` gives.
        rows: texts at a time.
        kv_bytes: memory for all keys and values; it is taken as it is filled.
        max_tokens: longest text that the model was made for.
    """

    def __init__(self, compiled: Any, rows: int, kv_bytes: int, max_tokens: int) -> None:
        from generation.engines.openvino_runtime import openvino

        ports = [port for port in compiled.inputs if "_cache." in port.get_any_name()]
        shapes = [[0 if dim.is_dynamic else dim.get_length() for dim in port.get_partial_shape()] for port in ports]
        self._block = next(
            shape[2]
            for shape, port in zip(shapes, ports, strict=True)
            if port.get_any_name().startswith("value")  # those of keys hold their scales in further places
        )
        per_block = sum(math.prod(shape[1:]) for shape in shapes)
        self.per_token_bytes = per_block // self._block
        blocks = max(1, min(max_tokens, kv_bytes // rows // self.per_token_bytes) // self._block)
        self.tokens = blocks * self._block
        self._blocks = [list(range(row * blocks, (row + 1) * blocks)) for row in range(rows)]
        self._blocks.append([rows * blocks])  # the row of `COMPANY`
        self._request = compiled.create_infer_request()
        self._caches: list[np.ndarray] = []
        for port, shape in zip(ports, shapes, strict=True):
            tensor = openvino.Tensor(port.get_element_type(), openvino.Shape([rows * blocks + 1, *shape[1:]]))
            self._request.set_tensor(port, tensor)
            self._caches.append(tensor.data)

    def step(self, parts: list[Part]) -> np.ndarray:
        """See the protocol."""
        from generation.engines.openvino_runtime import openvino

        wanted, divided = len(parts), [self._by_block(part) for part in parts]
        if len(parts) == 1 and len(parts[0].tokens) == 1:
            divided.append([COMPANY])
        ends = np.cumsum([len(pieces) for pieces in divided]) - 1
        parts = [piece for pieces in divided for piece in pieces]
        lengths = [len(tokens) for _, _, tokens in parts]
        used = [self._blocks[row][: -(-(start + len(tokens)) // self._block)] for row, start, tokens in parts]
        begins = np.cumsum([0, *lengths])
        feeds = {
            "input_ids": np.concatenate([np.array(tokens, np.int64) for _, _, tokens in parts]),
            "position_ids": np.concatenate([np.arange(start, start + len(t), dtype=np.int64) for _, start, t in parts]),
            "max_context_len": np.array(max(start + len(tokens) for _, start, tokens in parts), np.int32),
            "past_lens": np.array([start for _, start, _ in parts], np.int32),
            "subsequence_begins": begins.astype(np.int32),
            "block_indices": np.concatenate(used).astype(np.int32),
            "block_indices_begins": np.cumsum([0, *map(len, used)]).astype(np.int32),
            LAST: begins[1:][ends] - 1,
        }
        for name, values in feeds.items():
            self._request.set_tensor(name, openvino.Tensor(values))
        self._request.infer()
        logits: np.ndarray = self._request.get_output_tensor(0).data[:, 0]
        return logits[:wanted]

    def _by_block(self, part: Part) -> list[Part]:
        """The tokens of a part that lie in one block each."""
        row, start, tokens = part
        end = start + len(tokens)
        edges = [start, *range((start // self._block + 1) * self._block, end, self._block), end]
        return [Part(row, a, tokens[a - start : b - start]) for a, b in pairwise(edges)]

    def move(self, source: int, target: int, length: int) -> None:
        """See the protocol. The rows change places, nothing is copied."""
        self._blocks[source], self._blocks[target] = self._blocks[target], self._blocks[source]

    def save(self, row: int, length: int) -> list[np.ndarray]:
        """See the protocol. Whole blocks, the last of them perhaps begun only."""
        blocks = self._blocks[row][: -(-length // self._block)]
        return [cache[blocks] for cache in self._caches]

    def load(self, row: int, saved: list[np.ndarray]) -> None:
        """See the protocol."""
        blocks = self._blocks[row][: len(saved[0])]
        for cache, part in zip(self._caches, saved, strict=True):
            cache[blocks] = part


LAST = "last_tokens"
"""The model's input that says of which tokens logits are wanted."""


def compile_paged(folder: Path, threads: int) -> Any:
    """Compile the model in a folder for the CPU, with paged attention, and logits only where they are asked for.

    Raises:
        RuntimeError: OpenVINO cannot read it, or it is no language model of the usual form.
    """
    from generation.engines.openvino_runtime import openvino, opset13, paged_attention_transformation

    core = openvino.Core()
    model = core.read_model(str(folder / "openvino_model.xml"))
    paged_attention_transformation(model)
    head = model.get_results()[0].input_value(0).get_node()
    last = opset13.parameter([-1], np.int64, name=LAST)
    last.output(0).set_names({LAST})
    hidden = opset13.gather(head.input_value(0), last, opset13.constant(np.int64(0)))
    head.input(0).replace_source_output(hidden.output(0))
    model.add_parameters([last])
    model.validate_nodes_and_infer_types()
    return core.compile_model(
        model,
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # several writers on one machine would be pinned to the same cores
            "KV_CACHE_PRECISION": "u8",
        },
    )
