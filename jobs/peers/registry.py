"""All peers, by name."""

from __future__ import annotations

from cluster.errors import InputError
from jobs.peers.base import Peer
from jobs.peers.closed import EASE, ITEM_KNN, POPULARITY
from jobs.peers.content import TEXT_KNN
from jobs.peers.factorisation import ALS, ALS_FROM_CONTENT, BPR
from jobs.peers.sequences import GRU4REC, SASREC

PEERS = {
    peer.name: peer for peer in (POPULARITY, ITEM_KNN, EASE, ALS, BPR, GRU4REC, SASREC, TEXT_KNN, ALS_FROM_CONTENT)
}
QUICK = tuple(name for name in PEERS if name not in ("bpr", "gru4rec", "sasrec"))
"""Those that take seconds to make and tune."""


def peers_named(names: list[str] | None, cold_items: bool) -> list[Peer]:
    """The peers that are asked, of these names or of all, for items that somebody met or for cold ones.

    Raises:
        InputError: there is no such peer.
    """
    for name in names or ():
        if name not in PEERS:
            raise InputError(f"unknown peer {name!r}; there are {', '.join(PEERS)}")
    chosen = [peer for name, peer in PEERS.items() if names is None or name in names]
    return [peer for peer in chosen if peer.cold_items == cold_items or peer is POPULARITY]
