"""Protocols: which events train, which a person is known by, and which are to be found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from graph.dataset import Interactions
from graph.kernels import Sessions

COLD_FIRST = (1, 2, 4, 8, 14)
"""How few events strangers are met with, up to twice as many, when a model learns its weights."""
OPEN_SEED = 5000
"""Added to the seed for the draw of the items that come after training."""


@dataclass(frozen=True, eq=False)
class Split:
    """One division of the events.

    `train` makes the model. `visible` are the events that the users asked about, `users` (Q,), are known by. `truth`
    (Q, N) marks what they met afterwards; `candidates` (N,), where given, are the only items to rank. `fresh` (Q, N),
    where a moment was given, marks what of the truth happened after it. `new` (N,), where given, are the items that are
    to come after the model was made.
    """

    train: Interactions
    visible: Interactions
    users: np.ndarray
    truth: sp.csr_matrix
    candidates: np.ndarray | None = None
    fresh: sp.csr_matrix | None = None
    new: np.ndarray | None = None

    def sessions(self) -> Sessions:
        """The sessions of the users asked about."""
        pairs = self.visible.pairs
        rows = [slice(pairs.offsets[user], pairs.offsets[user + 1]) for user in self.users]
        timed = np.zeros(self.visible.shape[0])
        timed[self.visible.user[self.visible.time_ms != 0]] = 1.0
        return Sessions.join([(pairs.item[row], pairs.strength[row]) for row in rows], timed[self.users])

    def seen(self) -> sp.csr_matrix:
        """(Q, N): the items that the users asked about have met, and which are no candidates for them."""
        matrix = sp.csr_matrix(
            (np.ones(len(self.visible), dtype=np.float32), (self.visible.user, self.visible.item)),
            shape=self.visible.shape,
        )
        return matrix[self.users]


def random_split(data: Interactions, share: float = 0.25, seed: int = 0) -> Split:
    """Of each user's events a random share is to be found (stratified by user).

    What is to be found lies anywhere between the events that are visible; those have no times, for none is "now".
    """
    held = _held_rank(data, np.random.default_rng(seed).random(len(data))) < _quota(data, share)[data.user]
    split = _split(data, held)
    return replace(split, visible=without_times(split.visible))


def without_times(data: Interactions) -> Interactions:
    """The same events in the same order, of which it is not known when they were."""
    return replace(data, time_ms=np.zeros_like(data.time_ms))


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
    visible = data.take(of_cold & (place < first))
    return Split(data.take(~of_cold), visible, cold, _truth(data, of_cold & (place >= first), cold, visible))


def cold_item_split(data: Interactions, share: float = 0.1, seed: int = 0) -> Split:
    """A share of the items is absent from training and ranked among itself."""
    rng = np.random.default_rng(seed)
    items = np.flatnonzero(np.bincount(data.item, minlength=data.shape[1]) > 0)
    is_cold = np.zeros(data.shape[1], dtype=bool)
    is_cold[rng.permutation(items)[: max(1, round(len(items) * share))]] = True
    split = _split(data, is_cold[data.item])
    return Split(split.train, split.visible, split.users, split.truth, is_cold)


def open_item_split(data: Interactions, share: float = 0.1, held: float = 0.25, seed: int = 0) -> Split:
    """The random split, in which a share of the items comes after training; all items are ranked.

    Nobody is known by events with the new items. They are among what is to be found as often as the others are.
    """
    split = random_split(data, held, seed)
    rng = np.random.default_rng(seed + OPEN_SEED)
    new = np.zeros(data.shape[1], dtype=bool)
    met = rng.permutation(np.flatnonzero(np.bincount(data.item, minlength=data.shape[1]) > 0))
    new[met[: max(1, round(len(met) * share))]] = True
    train, visible = (events.take(~new[events.item]) for events in (split.train, split.visible))
    return replace(split, train=train, visible=visible, new=new)


def newest_split(data: Interactions, since_ms: int, held_out: float, max_users: int, seed: int) -> Split:
    """What came after a moment is to be found: of each user at most the last share, of `max_users` users at most."""
    rank = _held_rank(data, -np.arange(len(data)).astype(float))
    lengths = np.diff(data.offsets)
    quota = np.where(lengths >= 2, np.clip(np.round(lengths * held_out), 1, lengths - 1), 0)
    held = (data.time_ms > since_ms) & (rank < quota[data.user])
    users = np.flatnonzero(np.bincount(data.user[held], minlength=data.shape[0]) > 0)
    if len(users) > max_users:
        chosen = np.zeros(data.shape[0], dtype=bool)
        chosen[np.random.default_rng(seed).permutation(users)[:max_users]] = True
        held &= chosen[data.user]
    split = _split(data, held)
    return replace(split, fresh=split.truth)


def learning_split(
    data: Interactions,
    held_out: float,
    random_share: float,
    cold_share: float,
    seed: int,
    max_users: int | None = None,
    since_ms: int | None = None,
) -> Split:
    """The division that a model learns its own weights on: all the situations at once.

    Some users are left out of training and met several times, with a few of their events; of the others a part is
    visible. What is held out is drawn at random for `random_share` of the users, for the rest it is what came last. The
    users of `visible` are these situations, not people. Nothing is held out but of `max_users` users. Where there is no
    "now", for what is held out was drawn at random or the events have no times at all, the visible ones have no times.
    `since_ms` is the moment of `Split.fresh`.
    """
    rng = np.random.default_rng(seed)
    lengths = np.diff(data.offsets)
    asked = np.ones(data.shape[0], dtype=bool)
    if max_users is not None and max_users < data.shape[0]:
        asked[rng.permutation(data.shape[0])[max_users:]] = False
    is_cold = (rng.random(data.shape[0]) < cold_share) & (lengths >= 3) & asked
    at_random = rng.random(data.shape[0]) < (random_share if data.time_ms.any() else 1.0)
    key = np.where(at_random[data.user], rng.random(len(data)) * len(data), -np.arange(len(data)).astype(float))
    held = (_held_rank(data, key) < _quota(data, held_out)[data.user]) & (asked & ~is_cold)[data.user]
    rows, hidden = [], []
    for user in np.flatnonzero(is_cold | (np.bincount(data.user[held], minlength=data.shape[0]) > 0)):
        own = np.arange(data.offsets[user], data.offsets[user + 1])
        if is_cold[user]:
            for first in {int(k * rng.uniform(1.0, 2.0)) for k in COLD_FIRST if 2 * k < len(own)} or {1}:
                shown = np.sort(rng.permutation(own)[:first]) if at_random[user] else own[:first]
                rows.append(shown)
                hidden.append(np.setdiff1d(own, shown))
        else:
            rows.append(own[~held[own]])
            hidden.append(own[held[own]])
    train = data.take(~held & ~is_cold[data.user])
    if not rows:
        return Split(train, data.take(np.zeros(len(data), dtype=bool)), np.empty(0, np.int64), _ones(data, [], []))
    situation = np.repeat(np.arange(len(rows), dtype=np.int32), [len(own) for own in rows])
    visible = data.take(np.concatenate(rows))
    times = np.where(at_random[visible.user], 0, np.maximum(visible.time_ms, 1))
    visible = replace(
        visible, user=situation, user_ids=tuple(str(number) for number in range(len(rows))), time_ms=times
    )
    truth = _ones(data, hidden, rows)
    fresh = None
    if since_ms is not None:
        fresh = _ones(data, [own[data.time_ms[own] > since_ms] for own in hidden], rows)
    return Split(train, visible, np.arange(len(rows)), truth, fresh=fresh)


def _held_rank(data: Interactions, key: np.ndarray) -> np.ndarray:
    """(E,): the place of each event among those of its user when sorted by `key`."""
    order = np.lexsort((key, data.user))
    rank = np.empty(len(data), dtype=np.int64)
    rank[order] = np.arange(len(data)) - data.offsets[data.user[order]]
    return rank


def _quota(data: Interactions, share: float) -> np.ndarray:
    lengths = np.diff(data.offsets)
    return np.where(lengths >= 2, np.minimum(np.round(lengths * share), lengths - 1), 0).astype(np.int64)


def _truth(data: Interactions, held: np.ndarray, users: np.ndarray, visible: Interactions) -> sp.csr_matrix:
    """(Q, N) with 1 for what is held out of each user and not visible by another event."""
    hidden = sp.csr_matrix((np.ones(int(held.sum())), (data.user[held], data.item[held])), shape=data.shape) > 0
    shown = sp.csr_matrix((np.ones(len(visible)), (visible.user, visible.item)), shape=data.shape) > 0
    return (hidden > hidden.multiply(shown))[users].astype(np.float32).tocsr()


def _ones(data: Interactions, hidden: list[np.ndarray], shown: list[np.ndarray]) -> sp.csr_matrix:
    """(Q, N) with 1 for the items of the `hidden` rows that are not among the `shown` ones."""
    out = sp.lil_matrix((len(hidden), data.shape[1]), dtype=np.float32)
    for row, (later, before) in enumerate(zip(hidden, shown, strict=True)):
        wanted = np.setdiff1d(data.item[later], data.item[before])
        out.rows[row], out.data[row] = wanted.tolist(), [1.0] * len(wanted)
    return out.tocsr()


def _split(data: Interactions, held: np.ndarray) -> Split:
    train = data.take(~held)
    users = np.flatnonzero(np.bincount(data.user[held], minlength=data.shape[0]) > 0)
    return Split(train, train, users, _truth(data, held, users, train))
