"""Keys and values of a batch whose members come and go, and attention over them.

One tensor per layer holds `slots` rows of `tokens` positions. The texts in work fill rows 0 to n - 1; whoever leaves is
replaced by the last row. The new tokens of all rows go through the model as one long sequence, so that every matrix is
read once for all of them and nothing is padded; only attention takes them apart again, by `Span`.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, Cache, PreTrainedConfig

from generation.engines.decode import Part

ATTENTION = "tailorbird_slots"


class Span(NamedTuple):
    """Neighbours in the long sequence that attend together: one new token of each of several rows, or several of one.

    `mask` (rows, 1, q, kv) is None where all of the keys up to `upto` are seen.
    """

    begin: int
    end: int
    rows: slice | torch.Tensor
    upto: int
    mask: torch.Tensor | None


class _Step(threading.local):
    """What the forward of this thread attends to. transformers has no way to pass it on in every model."""

    spans: tuple[Span, ...] = ()


_step = _Step()


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Grouped attention of each span over its own rows, without repeating keys.

    The queries of one group's heads become the rows of one matrix; transformers' own function copies every key once per
    head of its group. Shapes: query (1, heads, q, dim), key and value (slots, groups, tokens, dim). Returns (1, q,
    heads, dim).
    """
    heads, dim = query.shape[1], query.shape[3]
    groups = key.shape[1]
    out = torch.empty_like(query)
    for begin, end, rows, upto, mask in _step.spans:
        keys, values = key[rows, :, :upto], value[rows, :, :upto]
        length = (end - begin) // len(keys)
        # (heads, rows * q, dim) -> (rows, groups, heads of a group * q, dim); of rows and q one is 1
        own = query[0, :, begin:end].reshape(groups, heads // groups, len(keys), length, dim).permute(2, 0, 1, 3, 4)
        matrix = own.reshape(len(keys), groups, -1, dim)
        found = torch.nn.functional.scaled_dot_product_attention(matrix, keys, values, attn_mask=mask, scale=scaling)
        parts = found.reshape(len(keys), heads, length, dim).transpose(0, 1)
        out[0, :, begin:end] = parts.reshape(heads, end - begin, dim)
    return out.transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend)


class SlotCache(Cache):
    """The cache that is handed to the model's forward. Used by one thread."""

    def __init__(self, config: PreTrainedConfig, slots: int, kv_bytes: int, dtype: torch.dtype, device: Any) -> None:
        super().__init__(layers=[])
        text = config.get_text_config(decoder=True)
        heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
        dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        per_token = 2 * text.num_hidden_layers * heads * dim * dtype.itemsize
        self.tokens = min(int(text.max_position_embeddings), kv_bytes // (slots * per_token))
        shape = (slots, heads, self.tokens, dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(text.num_hidden_layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(text.num_hidden_layers)]
        self.per_token_bytes = per_token
        self._group_heads = text.num_attention_heads // heads
        self._device = device
        self._rows = self._positions = torch.zeros(0, dtype=torch.long, device=device)
        self._upto = 0

    def point(self, parts: list[Part]) -> torch.Tensor:
        """Say where the next forward writes and what it sees, for parts in the order of the long sequence.

        Those of one token come first, by row. Returns position ids (1, q).
        """
        ends = [part.start + len(part.tokens) for part in parts]
        rows = [part.row for part in parts for _ in part.tokens]
        positions = [place for part, end in zip(parts, ends, strict=True) for place in range(part.start, end)]
        self._rows = torch.tensor(rows, device=self._device)
        self._positions = torch.tensor(positions, device=self._device)
        self._upto = max(ends)
        singles = next((n for n, part in enumerate(parts) if len(part.tokens) > 1), len(parts))
        spans = [self._single(parts[:singles])] if singles else []
        begin = singles
        for part, end in zip(parts[singles:], ends[singles:], strict=True):
            own = self._positions[begin : begin + len(part.tokens)].repeat(self._group_heads)
            mask = torch.arange(end, device=self._device) <= own[:, None]
            spans.append(Span(begin, begin + len(part.tokens), slice(part.row, part.row + 1), end, mask[None, None]))
            begin += len(part.tokens)
        _step.spans = tuple(spans)
        return self._positions[None]

    def _single(self, parts: list[Part]) -> Span:
        """The span of parts of one token each."""
        n, rows, upto = len(parts), [part.row for part in parts], 1 + max(part.start for part in parts)
        in_order = rows == list(range(rows[0], rows[0] + n))
        where = slice(rows[0], rows[0] + n) if in_order else self._rows[:n]
        mask = torch.arange(upto, device=self._device) <= self._positions[:n, None]
        return Span(0, n, where, upto, None if n == 1 else mask[:, None, None])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values (1, heads, q, dim); return those of all rows."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self._rows, :, self._positions] = key_states[0].transpose(0, 1)
        values[self._rows, :, self._positions] = value_states[0].transpose(0, 1)
        return keys, values

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row over another."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    def save(self, row: int, length: int) -> torch.Tensor:
        """A copy of the beginning of a row: (2 * layers, heads, length, dim)."""
        return torch.stack([tensor[row, :, :length] for tensor in (*self.keys, *self.values)])

    def load(self, row: int, saved: torch.Tensor) -> None:
        """Write what `save` gave to the beginning of a row."""
        for tensor, part in zip((*self.keys, *self.values), saved, strict=True):
            tensor[row, :, : part.shape[1]] = part

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Longest text in work, as transformers wants to know."""
        return self._upto
