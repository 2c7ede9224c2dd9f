"""From interactions to a DGL heterograph of users and items (why of no more: docs/decisions/0037-relations.md)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from graph.dataset import Pairs

if TYPE_CHECKING:
    import dgl

MET = ("user", "met", "item")
MET_BY = ("item", "met_by", "user")


def build_graph(pairs: Pairs) -> dgl.DGLGraph:
    """The graph that the encoder works on.

    Edges `met` and `met_by` carry `strength`, signed, and `norm`: the weight of a symmetrically normalised propagation,
    zero for dislikes. Both have the order of `pairs`.

    Args:
        pairs: users and items, each pair once.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")
    import dgl
    import torch

    users, items = pairs.shape
    user, item = torch.from_numpy(pairs.user.astype(np.int64)), torch.from_numpy(pairs.item.astype(np.int64))
    edges = {MET: (user, item), MET_BY: (item, user)}
    g = dgl.heterograph(edges, num_nodes_dict={"user": users, "item": items})
    strength = torch.from_numpy(pairs.strength.astype(np.float32))
    norm = torch.from_numpy(symmetric_norm(pairs.user, pairs.item, np.maximum(pairs.strength, 0.0)))
    for edge in (MET, MET_BY):
        g.edges[edge].data["strength"] = strength
        g.edges[edge].data["norm"] = norm
    return g


def symmetric_norm(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(E,) float32: each edge's weight over the root of the two ends' sums of weights."""
    by_left = np.bincount(left, weights=weight)
    by_right = np.bincount(right, weights=weight)
    scale = np.sqrt(np.maximum(by_left[left] * by_right[right], 1e-12))
    return np.asarray(weight / scale, dtype=np.float32)
