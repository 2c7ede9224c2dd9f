"""Protocols: which events train, which a person is known by, and which are to be found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from graph.dataset import Interactions
from graph.kernels import Sessions


@dataclass(frozen=True, eq=False)
class Split:
    """One division of the events.

    `train` makes the model. `visible` are the events that the users asked about, `users` (Q,), are known by. `truth`
    (Q, N) marks what they met afterwards; `candidates` (N,), where given, are the only items to rank.
    """

    train: Interactions
    visible: Interactions
    users: np.ndarray
    truth: sp.csr_matrix
    candidates: np.ndarray | None = None

    def sessions(self) -> Sessions:
        """The sessions of the users asked about."""
        pairs = self.visible.pairs
        rows = [slice(pairs.offsets[user], pairs.offsets[user + 1]) for user in self.users]
        return Sessions.join([(pairs.item[row], pairs.strength[row]) for row in rows])

    def seen(self) -> sp.csr_matrix:
        """(Q, N): the items that the users asked about have met, and which are no candidates for them."""
        matrix = sp.csr_matrix(
            (np.ones(len(self.visible), dtype=np.float32), (self.visible.user, self.visible.item)),
            shape=self.visible.shape,
        )
        return matrix[self.users]


def random_split(data: Interactions, share: float = 0.25, seed: int = 0) -> Split:
    """Of each user's events a random share is to be found (stratified by user)."""
    held = _held_rank(data, np.random.default_rng(seed).random(len(data))) < _quota(data, share)[data.user]
    return _split(data, held)


def temporal_split(data: Interactions, share: float = 0.2, seed: int = 0) -> Split:
    """Of each user's events the last share is to be found; events of one moment are in random order."""
    newest = np.empty(len(data))
    newest[np.lexsort((np.random.default_rng(seed).random(len(data)), -data.time_ms))] = np.arange(len(data))
    held = _held_rank(data, newest) < _quota(data, share)[data.user]
    return _split(data, held)


def cold_session_split(data: Interactions, first: int, share: float = 0.2, seed: int = 0) -> Split:
    """A share of the users is unseen in training and known by the `first` events; the later ones are the truth."""
    rng = np.random.default_rng(seed)
    users = np.flatnonzero(np.diff(data.offsets) > 0)
    cold = np.sort(rng.permutation(users)[: max(1, round(len(users) * share))])
    is_cold = np.zeros(data.shape[0], dtype=bool)
    is_cold[cold] = True
    of_cold = is_cold[data.user]
    place = np.arange(len(data)) - data.offsets[data.user]
    truth = _truth(data, of_cold & (place >= first), cold)
    return Split(data.take(~of_cold), data.take(of_cold & (place < first)), cold, truth)


def cold_item_split(data: Interactions, share: float = 0.1, seed: int = 0) -> Split:
    """A share of the items is absent from training and ranked among itself."""
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(np.bincount(data.item, minlength=data.shape[1]) > 0)
    is_cold = np.zeros(data.shape[1], dtype=bool)
    is_cold[rng.permutation(items)[: max(1, round(len(items) * share))]] = True
    split = _split(data, is_cold[data.item])
    return Split(split.train, split.visible, split.users, split.truth, is_cold)


def learning_split(data: Interactions, held_out: float, random_share: float, cold_share: float, seed: int) -> Split:
    """The division that a model learns its own weights on: all the situations at once.

    Some users are unknown and met with their first 1 to 20 events; of the others some miss random events, the rest
    their last ones.
    """
    rng = np.random.default_rng(seed)
    lengths = np.diff(data.offsets)
    kind = rng.random(data.shape[0])
    is_cold = (kind < cold_share) & (lengths >= 3)
    at_random = ~is_cold & (rng.random(data.shape[0]) < random_share)
    key = np.where(at_random[data.user], rng.random(len(data)) * len(data), -np.arange(len(data)).astype(float))
    held = _held_rank(data, key) < _quota(data, held_out)[data.user]
    place = np.arange(len(data)) - data.offsets[data.user]
    first = np.minimum(np.round(np.exp(rng.uniform(0, np.log(20.5), data.shape[0]))), lengths // 2 + 1)
    held = np.where(is_cold[data.user], place >= first[data.user], held)
    visible = data.take(~held)
    users = np.flatnonzero(np.bincount(data.user[held], minlength=data.shape[0]) > 0)
    return Split(visible.take(~is_cold[visible.user]), visible, users, _truth(data, held, users))


def _held_rank(data: Interactions, key: np.ndarray) -> np.ndarray:
    """(E,): the place of each event among those of its user when sorted by `key`."""
    order = np.lexsort((key, data.user))
    rank = np.empty(len(data), dtype=np.int64)
    rank[order] = np.arange(len(data)) - data.offsets[data.user[order]]
    return rank


def _quota(data: Interactions, share: float) -> np.ndarray:
    lengths = np.diff(data.offsets)
    return np.where(lengths >= 2, np.minimum(np.round(lengths * share), lengths - 1), 0).astype(np.int64)


def _truth(data: Interactions, held: np.ndarray, users: np.ndarray) -> sp.csr_matrix:
    rows = sp.csr_matrix((np.ones(int(held.sum())), (data.user[held], data.item[held])), shape=data.shape)[users]
    rows.data[:] = 1.0
    return rows.tocsr()


def _split(data: Interactions, held: np.ndarray) -> Split:
    train = data.take(~held)
    users = np.flatnonzero(np.bincount(data.user[held], minlength=data.shape[0]) > 0)
    return Split(train, train, users, _truth(data, held, users))
