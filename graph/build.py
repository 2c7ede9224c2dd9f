"""From interactions to a DGL heterograph of users, items and what is known about items."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from graph.dataset import Pairs

if TYPE_CHECKING:
    import dgl

MET = ("user", "met", "item")
MET_BY = ("item", "met_by", "user")


def build_graph(
    pairs: Pairs, relations: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None
) -> dgl.DGLGraph:
    """The graph that the encoder works on.

    Edges `met` and `met_by` carry `strength`, signed, and `norm`: the weight of a symmetrically normalised propagation,
    zero for dislikes. Both have the order of `pairs`.

    Args:
        pairs: users and items, each pair once.
        relations: further node types by name, each with edges from items: item numbers, node numbers, weights. A
            relation `category` adds the edges (item, has_category, category) and back.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")
    import dgl
    import torch

    users, items = pairs.shape
    user, item = torch.from_numpy(pairs.user.astype(np.int64)), torch.from_numpy(pairs.item.astype(np.int64))
    edges = {MET: (user, item), MET_BY: (item, user)}
    nodes = {"user": users, "item": items}
    weights = {}
    for name, (source, node, weight) in (relations or {}).items():
        a, b = torch.from_numpy(source.astype(np.int64)), torch.from_numpy(node.astype(np.int64))
        edges[("item", f"has_{name}", name)] = (a, b)
        edges[(name, f"of_{name}", "item")] = (b, a)
        nodes[name] = int(node.max()) + 1 if len(node) else 1
        weights[name] = torch.from_numpy(symmetric_norm(source, node, weight))
    g = dgl.heterograph(edges, num_nodes_dict=nodes)
    strength = torch.from_numpy(pairs.strength.astype(np.float32))
    norm = torch.from_numpy(symmetric_norm(pairs.user, pairs.item, np.maximum(pairs.strength, 0.0)))
    for edge in (MET, MET_BY):
        g.edges[edge].data["strength"] = strength
        g.edges[edge].data["norm"] = norm
    for name, weight_of in weights.items():
        g.edges[f"has_{name}"].data["norm"] = weight_of
        g.edges[f"of_{name}"].data["norm"] = weight_of
    return g


def symmetric_norm(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(E,) float32: each edge's weight over the root of the two ends' sums of weights."""
    by_left = np.bincount(left, weights=weight)
    by_right = np.bincount(right, weights=weight)
    scale = np.sqrt(np.maximum(by_left[left] * by_right[right], 1e-12))
    return np.asarray(weight / scale, dtype=np.float32)
