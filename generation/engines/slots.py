"""Keys and values of a batch whose members come and go.

One tensor per layer holds `slots` rows of `tokens` positions. The running texts always fill rows 0 to n - 1, so that a
decode step reads a slice and copies nothing; whoever leaves is replaced by the last row. Positions beyond a row's
length hold rubbish that the attention mask hides.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, Cache, PreTrainedConfig

ATTENTION = "tailorbird_slots"


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Grouped attention without repeating keys: a single query's heads of one group become the rows of a query matrix.

    Shapes: query (batch, heads, q, dim), key and value (batch, groups, kv, dim), mask (batch, 1, q, kv) of booleans.
    Returns (batch, q, heads, dim). transformers' own function copies every key once per head of its group.
    """
    batch, heads, length, dim = query.shape
    groups = key.shape[1]
    if length == 1 and groups != heads:
        rows = query.reshape(batch, groups, heads // groups, dim)
        out = torch.nn.functional.scaled_dot_product_attention(
            rows, key, value, attn_mask=attention_mask, scale=scaling
        )
        return out.reshape(batch, 1, heads, dim), None
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=groups != heads
    )
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
        self._device = device
        self._rows: slice = slice(0, 0)
        self._index: torch.Tensor | None = None
        self._positions: Any = None
        self._upto = 0

    def read_rows(self, row: int, start: int, length: int) -> torch.Tensor:
        """Point at `length` new tokens of one row, from position `start`. Returns the mask (1, 1, length, kv)."""
        self._rows, self._index = slice(row, row + 1), None
        self._positions, self._upto = slice(start, start + length), start + length
        kv = torch.arange(self._upto, device=self._device)
        return (kv[None, :] <= kv[start:, None])[None, None]

    def step_rows(self, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Point at one new token for each of the first rows, row i at position `lengths[i]`.

        Returns position ids (n, 1) and the mask (n, 1, 1, kv).
        """
        n = len(lengths)
        self._rows, self._upto = slice(0, n), max(lengths) + 1
        self._positions = torch.tensor(lengths, device=self._device)
        self._index = torch.arange(n, device=self._device)
        kv = torch.arange(self._upto, device=self._device)
        mask = (kv[None, :] <= self._positions[:, None])[:, None, None]
        return self._positions[:, None], mask

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values (batch, heads, q, dim); return all that this step attends to."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        if self._index is None:
            keys[self._rows, :, self._positions] = key_states
            values[self._rows, :, self._positions] = value_states
        else:
            keys[self._index, :, self._positions] = key_states[:, :, 0]
            values[self._index, :, self._positions] = value_states[:, :, 0]
        return keys[self._rows, :, : self._upto], values[self._rows, :, : self._upto]

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
