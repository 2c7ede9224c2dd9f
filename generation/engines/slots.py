"""Keys and values of a batch whose members come and go.

One tensor per layer holds `slots` rows of `tokens` positions. The texts in work fill rows 0 to n - 1, so that a step
of all of them reads a slice and copies nothing; whoever leaves is replaced by the last row. Positions beyond a row's
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
    """Grouped attention without repeating keys: the queries of one group's heads become the rows of one matrix.

    Shapes: query (batch, heads, q, dim), key and value (batch, groups, kv, dim), mask (batch, 1, q, kv) of booleans.
    Returns (batch, q, heads, dim). transformers' own function copies every key once per head of its group.
    """
    batch, heads, length, dim = query.shape
    groups = key.shape[1]
    rows = query.reshape(batch, groups, heads // groups * length, dim)
    if attention_mask is not None:
        attention_mask = attention_mask.repeat(1, 1, heads // groups, 1)
    out = torch.nn.functional.scaled_dot_product_attention(rows, key, value, attn_mask=attention_mask, scale=scaling)
    return out.reshape(batch, heads, length, dim).transpose(1, 2), None


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
        shape = (slots, heads, self.tokens + 1, dim)  # padding is written to the last place
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(text.num_hidden_layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(text.num_hidden_layers)]
        self.per_token_bytes = per_token
        self._device = device
        self._rows: slice | torch.Tensor = slice(0, 0)
        self._index = self._positions = torch.zeros(0, dtype=torch.long, device=device)
        self._upto = 0

    def point(self, rows: list[int], starts: list[int], lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Say where the next forward writes: so many new tokens of each row, in a batch padded on the left.

        Padding is written behind the end of the row, where nothing is read. Returns position ids (rows, q) and the
        mask (rows, 1, q, kv).
        """
        most, self._upto = max(lengths), max(start + n for start, n in zip(starts, lengths, strict=True))
        device = self._device
        first = torch.tensor([start + n - most for start, n in zip(starts, lengths, strict=True)], device=device)
        positions = first[:, None] + torch.arange(most, device=device)
        padding = positions < torch.tensor(starts, device=device)[:, None]
        kv = torch.arange(self._upto, device=device)
        mask = kv <= positions.clamp(min=0)[..., None]
        in_order = rows == list(range(rows[0], rows[0] + len(rows)))
        self._rows = slice(rows[0], rows[0] + len(rows)) if in_order else torch.tensor(rows, device=device)
        self._index = torch.tensor(rows, device=device)[:, None]
        self._positions = positions.masked_fill(padding, self.tokens)
        return positions.clamp(min=0), mask[:, None]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values (batch, heads, q, dim); return all that this step attends to."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self._index, :, self._positions] = key_states.transpose(1, 2)
        values[self._index, :, self._positions] = value_states.transpose(1, 2)
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
