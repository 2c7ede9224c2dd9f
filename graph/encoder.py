"""The graph encoder: LightGCN's propagation over DGL, made inductive.

Items have two vectors: what having met the item says (source) and what it takes to be recommended (target). Both travel
item -> user -> item over the normalised graph, as in LightGCN (He et al., 2020), with learnt weights per hop. There are
no user parameters: a user's vector is the sum of the source vectors of the items met, over a power of their number, so
that a stranger's session and a regular's history take the same way, in training and in serving.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dgl.function as fn
import torch
from torch import Tensor, nn

from graph.build import MET, MET_BY

if TYPE_CHECKING:
    import dgl

POWER = 0.5
"""Exponent of the sum of strengths that a user vector is divided by."""


class GraphEncoder(nn.Module):
    """Item vectors and biases, which begin as `prior` (N,), the items' log popularity."""

    def __init__(self, items: int, dim: int, layers: int, prior: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = layers
        self.source = nn.Parameter(torch.randn(items, dim, generator=generator) * 0.1)
        self.target = nn.Parameter(torch.randn(items, dim, generator=generator) * 0.1)
        self.bias = nn.Parameter(prior.clone())
        self.hops = nn.Parameter(torch.ones(layers + 1, 2))

    def forward(self, g: dgl.DGLGraph) -> tuple[Tensor, Tensor]:
        """Propagated source and target vectors, (N, d) each."""
        source, target = self.source * self.hops[0, 0], self.target * self.hops[0, 1]
        both = torch.cat([self.source, self.target], dim=1)
        dim = self.source.shape[1]
        for hop in range(1, self.layers + 1):
            both = _propagate(g, MET, _propagate(g, MET_BY, both))
            source = source + self.hops[hop, 0] * both[:, :dim]
            target = target + self.hops[hop, 1] * both[:, dim:]
        return source, target


def _propagate(g: dgl.DGLGraph, edge: tuple[str, str, str], vectors: Tensor) -> Tensor:
    relation = g[edge]
    with relation.local_scope():
        relation.srcnodes[edge[0]].data["h"] = vectors
        relation.update_all(fn.u_mul_e("h", "norm", "m"), fn.sum("m", "h"))
        return relation.dstnodes[edge[2]].data["h"]


def user_vectors(g: dgl.DGLGraph, source: Tensor, kept: Tensor) -> Tensor:
    """User vectors (U, d) by message passing over the edges that `kept` (E,) marks with 1, the others with 0."""
    relation = g[MET_BY]
    with relation.local_scope():
        weight = relation.edata["strength"] * kept
        relation.srcnodes["item"].data["h"] = source
        relation.edata["w"], relation.edata["size"] = weight, weight.abs()
        relation.update_all(fn.u_mul_e("h", "w", "m"), fn.sum("m", "h"))
        relation.update_all(fn.copy_e("size", "m"), fn.sum("m", "n"))
        total = relation.dstnodes["user"].data["n"].clamp(min=1e-6)
        return relation.dstnodes["user"].data["h"] / total.unsqueeze(1) ** POWER
