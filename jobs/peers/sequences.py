"""Sequence models, as small as faithful: GRU4Rec and SASRec, both with a softmax over the items as their loss.

A softmax in place of sampled negatives is what makes both strong (Hidasi and Karatzoglou 2018; Klenitskiy and Vasilev,
Turning dross into gold loss, RecSys 2023). The encoder reads a session; what comes next is the item whose vector fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from graph.dataset import Interactions
from graph.fit import Content
from graph.splits import Split
from jobs.peers.base import Choice, Peer, Scorer

LENGTH = 100
"""Events that are read at most, the last ones; longer histories are trained on in pieces."""
BATCH = 64
EVERY = 5
"""Epochs between two looks at the validation part."""
SAMPLED = 4000
"""With more items the softmax runs over those of the batch and as many drawn ones."""


def _sequences(data: Interactions, rows: np.ndarray, whole: bool) -> list[np.ndarray]:
    """The item numbers, from 1, of each user of `rows` in order; with `whole` in pieces, else the last piece."""
    pairs = data.pairs
    made = []
    for user in rows:
        start, end = pairs.offsets[user], pairs.offsets[user + 1]
        items = pairs.item[start:end][pairs.strength[start:end] > 0].astype(np.int64) + 1
        if whole:
            made += [items[max(0, stop - LENGTH - 1) : stop] for stop in range(len(items), 1, -LENGTH)]
        else:
            made.append(items[-LENGTH:])
    return made


def _padded(sequences: list[np.ndarray], width: int) -> np.ndarray:
    """(B, width) with zeros behind."""
    out = np.zeros((len(sequences), width), dtype=np.int64)
    for row, items in enumerate(sequences):
        out[row, : len(items)] = items
    return out


def _gru(items: int, choice: Choice) -> Any:
    from torch import nn

    class Gru4Rec(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            dim = int(choice["dim"])
            self.item = nn.Embedding(items + 1, dim, padding_idx=0)
            self.bias = nn.Parameter(_zeros(items + 1))
            self.drop = nn.Dropout(choice["dropout"])
            self.gru = nn.GRU(dim, dim, batch_first=True)
            nn.init.normal_(self.item.weight, std=dim**-0.5)

        def forward(self, x: Any) -> Any:
            return self.drop(self.gru(self.drop(self.item(x)))[0])

    return Gru4Rec()


def _transformer(items: int, choice: Choice) -> Any:
    import torch
    from torch import nn

    class SasRec(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            dim = int(choice["dim"])
            self.item = nn.Embedding(items + 1, dim, padding_idx=0)
            self.place = nn.Embedding(LENGTH, dim)
            self.bias = nn.Parameter(_zeros(items + 1))
            self.drop = nn.Dropout(choice["dropout"])
            layer = nn.TransformerEncoderLayer(
                dim, 2, dim * 2, choice["dropout"], activation="gelu", batch_first=True, norm_first=True
            )
            self.blocks = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(dim), enable_nested_tensor=False)
            nn.init.normal_(self.item.weight, std=0.1)
            nn.init.normal_(self.place.weight, std=0.1)

        def forward(self, x: Any) -> Any:
            width = x.shape[1]
            later = torch.triu(torch.ones(width, width, dtype=torch.bool), diagonal=1)
            found = self.drop(self.item(x) + self.place.weight[:width])
            return self.blocks(found, mask=later)

    return SasRec()


def _zeros(count: int) -> Any:
    import torch

    return torch.zeros(count)


def _epochs(
    make: Callable[[int, Choice], Any], train: Interactions, choice: Choice, seed: int
) -> Iterator[tuple[int, Scorer]]:
    """Train for ever; after each epoch its number and a scorer by the parameters of that moment."""
    import torch

    torch.set_num_threads(1)  # two wait for each other, spinning
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    items = train.shape[1]
    model = make(items, choice)
    optimiser = torch.optim.Adam(model.parameters(), lr=choice["rate"], weight_decay=choice["decay"])
    sequences = _sequences(train, np.arange(train.shape[0]), whole=True)
    sequences.sort(key=len)
    batches = [_padded(part, len(part[-1])) for part in _parts(sequences)]

    def score(split: Split) -> np.ndarray:
        model.eval()
        rows = []
        with torch.inference_mode():
            for part in _parts(_sequences(split.visible, split.users, whole=False)):
                width = max(1, *(len(sequence) for sequence in part))
                last = torch.tensor([max(len(sequence), 1) - 1 for sequence in part])
                state = model(torch.from_numpy(_padded(part, width)))[torch.arange(len(part)), last]
                rows.append((state @ model.item.weight.T + model.bias)[:, 1:].numpy())
        return np.concatenate(rows)

    epoch = 0
    while True:
        model.train()
        for place in rng.permutation(len(batches)):
            batch = torch.from_numpy(batches[place])
            x, y = batch[:, :-1], batch[:, 1:]
            wanted = y > 0
            state, target = model(x)[wanted], y[wanted]
            vectors, bias = model.item.weight, model.bias
            if items > SAMPLED:
                drawn = torch.from_numpy(rng.integers(1, items + 1, SAMPLED))
                kept, target = torch.unique(torch.cat([target, drawn]), return_inverse=True)
                target = target[: len(state)]
                vectors, bias = vectors[kept], bias[kept]
            loss = torch.nn.functional.cross_entropy(state @ vectors.T + bias, target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        epoch += 1
        yield epoch, score


def _parts(sequences: list[np.ndarray]) -> list[list[np.ndarray]]:
    return [sequences[start : start + BATCH] for start in range(0, len(sequences), BATCH)]


def _peer(name: str, paper: str, make: Callable[[int, Choice], Any], settings: tuple[Choice, ...], most: int) -> Peer:
    def fit(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
        steps = _epochs(make, train, choice, seed)
        return next(score for epoch, score in steps if epoch >= choice["epochs"])

    def trials(train: Interactions, content: Content, seed: int) -> Iterator[tuple[Choice, Scorer]]:
        for choice in settings:
            for epoch, score in _epochs(make, train, choice, seed):
                if epoch % EVERY == 0:
                    yield {**choice, "epochs": epoch}, score
                if epoch >= most:
                    break

    return Peer(name, paper, fit, settings, trials, one_model=True)


GRU4REC = _peer(
    "gru4rec",
    "Hidasi and Karatzoglou, Recurrent neural networks with top-k gains, CIKM 2018",
    _gru,
    (
        {"dim": 64, "dropout": 0.3, "rate": 0.003, "decay": 1e-6},
        {"dim": 128, "dropout": 0.5, "rate": 0.003, "decay": 0.0},
    ),
    40,
)
SASREC = _peer(
    "sasrec",
    "Kang and McAuley, Self-attentive sequential recommendation, ICDM 2018",
    _transformer,
    (
        {"dim": 64, "dropout": 0.4, "rate": 0.002, "decay": 0.0},
        {"dim": 64, "dropout": 0.2, "rate": 0.001, "decay": 0.0},
    ),
    60,
)
