"""A 4-bit model on a CPU with fewer and larger operations: at one text a time, calling them costs as much as they do.

- Layers that read the same input (query, key and value; gate and up) become one matrix.
- The output layer, which bitsandbytes leaves in 16 bits and which is read whole for every token, is kept in 8, by row.
- Norms are one operation.

Whatever a model has that is not of the usual form stays as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from bitsandbytes import functional
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import nn

TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that most models call with the same input."""


def fuse(model: Any) -> None:
    """Change a model in place, before its first forward: bitsandbytes packs weights then.

    Args:
        model: from transformers, on a CPU, with weights quantised by bitsandbytes.
    """
    for module in list(model.modules()):
        for names in TOGETHER:
            layers = [getattr(module, name, None) for name in names]
            if _fits(layers):
                for name, part in zip(names, _together(layers), strict=True):
                    setattr(module, name, part)
        for name, child in list(module.named_children()):
            if type(child).__name__.endswith("RMSNorm") and (norm := _norm(child)) is not None:
                setattr(module, name, norm)
    head = model.get_output_embeddings()
    if type(head) is nn.Linear and head.bias is None and head.weight.dtype == torch.bfloat16:
        model.set_output_embeddings(ByteLinear(head.weight.detach()))


class ByteLinear(nn.Module):
    """A linear layer whose weights are 8 bits each, with one scale a row.

    Args:
        weight: (out, in), bfloat16.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        scale = (weight.abs().amax(dim=1).float() / 127).clamp_min(1e-12)
        self.weight = nn.Parameter((weight.float() / scale[:, None]).round().to(torch.int8), requires_grad=False)
        self.scale = nn.Parameter(scale.to(torch.bfloat16), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out), bfloat16."""
        found = torch._weight_int8pack_mm(x.reshape(-1, x.shape[-1]), self.weight, self.scale)
        return found.view(*x.shape[:-1], -1)


class _Together:
    """The last input of layers that are one, and what is left of its output. Used by one thread."""

    def __init__(self, layer: Linear4bit, sizes: list[int]) -> None:
        self.layer, self._sizes = layer, sizes
        self._input: torch.Tensor | None = None
        self._left: dict[int, torch.Tensor] = {}

    def part(self, number: int, x: torch.Tensor) -> torch.Tensor:
        """The output of one of the layers."""
        if x is not self._input or number not in self._left:
            self._input = x
            self._left = dict(enumerate(self.layer(x).split(self._sizes, dim=-1)))
        found = self._left.pop(number)
        if not self._left:
            self._input = None
        return found


class _Part(nn.Module):
    """One of several layers that are computed together. The first of them owns the weights."""

    def __init__(self, together: _Together, number: int) -> None:
        super().__init__()
        self._together, self._number = together, number
        if number == 0:
            self.layer = together.layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer of its own would give."""
        return self._together.part(self._number, x)


def _fits(layers: list[Any]) -> bool:
    """Whether layers can become one: 4-bit, without bias, of the same width, no quantised block across two rows."""
    first = layers[0]
    return all(
        isinstance(layer, Linear4bit)
        and layer.bias is None
        and layer.in_features == first.in_features
        and layer.weight.quant_state is not None
        and layer.in_features % layer.weight.quant_state.blocksize == 0
        for layer in layers
    )


def _together(layers: list[Any]) -> list[_Part]:
    weights = [functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state) for layer in layers]
    state, sizes = layers[0].weight.quant_state, [len(weight) for weight in weights]
    one = Linear4bit(
        layers[0].in_features,
        sum(sizes),
        bias=False,
        compute_dtype=layers[0].compute_dtype,
        compress_statistics=state.nested,
        quant_type=state.quant_type,
        device="meta",
    )
    weight: Any = Params4bit(
        torch.cat(weights),
        requires_grad=False,
        quant_type=state.quant_type,
        compress_statistics=state.nested,
        blocksize=state.blocksize,
        module=one,
    )
    one.weight = weight.to("cpu")
    together = _Together(one.eval(), sizes)
    return [_Part(together, number) for number in range(len(layers))]


def _norm(module: nn.Module) -> nn.Module | None:
    """torch's own norm in the place of a model's; None where that computes something else."""
    weight, eps = getattr(module, "weight", None), getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not isinstance(weight, torch.Tensor) or not isinstance(eps, float):
        return None
    norm = nn.RMSNorm(len(weight), eps, dtype=weight.dtype)
    norm.weight = nn.Parameter(weight.detach(), requires_grad=False)
    probe = torch.linspace(-2, 2, len(weight)).to(weight.dtype)[None]
    with torch.inference_mode():
        same = torch.allclose(module(probe).float(), norm(probe).float(), rtol=0.02, atol=0.02)
    return norm.eval() if same else None
