"""Items in the plane, to be looked at: the two directions in which their vectors differ most."""

from __future__ import annotations

import numpy as np

_EDGE = 0.98
"""Share of the points that the picture is scaled by; what lies further out is drawn closer to its edge, never on it."""


def plane(vectors: np.ndarray) -> np.ndarray:
    """The principal components of vectors.

    Args:
        vectors: (n, d).

    Returns:
        (n, 2), each coordinate from -1 to 1. Signs are fixed, so that the same vectors give the same picture.

    Source: K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901.
    """
    centred = np.asarray(vectors, dtype=np.float64) - np.mean(vectors, axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, ::-1][:, :2]
    if axes.shape[1] < 2:
        axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(2)] < 0, -1.0, 1.0)
    places: np.ndarray = centred @ axes
    edge = np.quantile(np.abs(places), _EDGE, axis=0)
    scaled: np.ndarray = np.tanh(1.2 * places / np.where(edge > 0, edge, 1.0))
    return scaled
